"""Plans: connections of the tests' own process plan each statement once, and not for each test.

The driver prepares a statement at its sixth time, keeps a hundred of them and forgets all at a
rollback; the server plans a prepared one five times more. A test process runs many statements over
few connections for minutes, and often rolls back. No table changes under these connections.
"""

from typing import Any

import psycopg
from sqlalchemy import event

from billing.store.session import Database

STATEMENTS_MAX = 1_000


def kept(database: Database) -> Database:
    """Let connections of a database keep their plans; those that are made from now on."""
    event.listen(database._engine, "connect", lambda connection, _record: keep(connection))
    return database


def keep(connection: psycopg.Connection[Any]) -> None:
    """Prepare each statement at its second time, plan it once, and keep it.

    At its first time the driver does not know yet whether a text is several statements.
    """
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.commit()
    connection.prepare_threshold = 1
    connection.prepared_max = STATEMENTS_MAX
    prepared: Any = connection._prepared
    prepared.clear = lambda: False  # after a rollback; the server keeps them as well

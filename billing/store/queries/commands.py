"""Statements about idempotency keys: a repeated command acts once."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.domain.payloads import Json
from billing.store.statements import text


class Command(NamedTuple):
    """What an idempotency key was used for, and the result when there was one."""

    task: str
    arguments: Json
    result: Json | None


def begin(connection: Connection, key: str, task: str, arguments: Json, at: datetime) -> bool:
    """Insert a key; False when it exists. Waits for a concurrent insert of the same key."""
    from billing.store.tables import COMMANDS

    statement = (
        insert(COMMANDS)
        .values(key=key, task=task, arguments=arguments, created_at=at)
        .on_conflict_do_nothing()
    )
    return connection.execute(statement.returning(COMMANDS.c.key)).first() is not None


def finish(connection: Connection, key: str, result: Json) -> None:
    """Store the command's result."""
    from billing.store.tables import COMMANDS

    connection.execute(update(COMMANDS).where(COMMANDS.c.key == key).values(result=result))


def earlier(connection: Connection, key: str) -> Command:
    """Read what the key was used for."""
    from billing.store.tables import COMMANDS

    columns = (COMMANDS.c[name] for name in Command._fields)
    found = connection.execute(select(*columns).where(COMMANDS.c.key == key)).one()
    return Command._make(found)


def remove_old(connection: Connection, before: datetime, limit: int) -> int:
    """Remove at most `limit` keys of the HTTP interface that are older than an instant."""
    statement = text("""
        DELETE FROM commands WHERE key = ANY (ARRAY(
            SELECT key FROM commands WHERE key LIKE 'api:%' AND created_at < :before
            ORDER BY created_at LIMIT :limit))
    """)
    return connection.execute(statement, {"before": before, "limit": limit}).rowcount

"""Databases of one storm: a new one, copies of an older state, and a reader without faults.

It knows no table but by the statements that it is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from billing.local.processes import until
from tests import plans
from tests.servers import TEMPLATE, Servers

QUIET_TABLES = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', name);
    END LOOP;
END $$"""
"""Vacuum would move rows about at moments of its own, and the order of unordered rows with them."""

SAME_INSTALLATION = "UPDATE engine SET installation_id = '5707a11e-0d15-4a57-9c52-6f3a1b7d9e10'"
"""A seed plays the same again: ids that are derived from keys would differ from run to run."""


class Databases:
    """Makes, copies and drops databases, and reads the current one without faults."""

    def __init__(self, servers: Servers, admin: psycopg.Connection) -> None:
        self._servers = servers
        self._admin = admin
        self._made: list[str] = []
        self._reader: psycopg.Connection[dict[str, Any]] | None = None
        self.name = self._copy(TEMPLATE)
        self.write(QUIET_TABLES)
        self.write(SAME_INSTALLATION)

    @property
    def url(self) -> str:
        """The present database, as SQLAlchemy takes it."""
        return self._servers.url(self.name).replace("postgresql://", "postgresql+psycopg://", 1)

    def rows(self, statement: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        """Read rows as they are committed."""
        return self._connection().execute(statement.encode(), parameters or None).fetchall()

    def write(self, statement: str, **parameters: Any) -> None:
        """Change rows behind the engine's back."""
        self._connection().execute(statement.encode(), parameters or None)

    def snapshot(self) -> str:
        """Copy the current database, which must have no connections."""
        self._let_go()
        return self._copy(self.name)

    def restore(self, name: str) -> None:
        """Go on with an older copy; the present database is gone."""
        self._let_go()
        self._drop(self.name)
        self.name = name

    def close(self) -> None:
        """Drop everything that was made."""
        self._let_go()
        for name in list(self._made):
            self._drop(name)

    def _connection(self) -> psycopg.Connection[dict[str, Any]]:
        if self._reader is None:
            url = self._servers.url(self.name)
            self._reader = psycopg.connect(url, autocommit=True, row_factory=dict_row)
            plans.keep(self._reader)
            # A process that was killed in mid-transaction holds no locks for long, but some time.
            self._reader.execute("SET lock_timeout = '5s'")
        return self._reader

    def _let_go(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _copy(self, source: str) -> str:
        name = f"storm_{uuid4().hex}"
        until(lambda: not self._in_use(source), 0.5)
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY = file_copy")
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        until(lambda: not self._in_use(name), 0.5)
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self._made.remove(name)

    def _in_use(self, name: str) -> bool:
        query = "SELECT FROM pg_stat_activity WHERE datname = %s"
        return self._admin.execute(query, (name,)).fetchone() is not None


@contextmanager
def fresh(servers: Servers, admin: psycopg.Connection) -> Iterator[Databases]:
    """A migrated, empty database and all the copies that are made of it; dropped afterwards."""
    databases = Databases(servers, admin)
    try:
        yield databases
    finally:
        databases.close()

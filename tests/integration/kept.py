"""A test process's own database, which is emptied for each of its tests."""

from collections.abc import Callable
from dataclasses import dataclass, field

from billing.store.session import Database
from tests.integration.reader import Reader

_EMPTY = """
DO $$ DECLARE name text; BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
          AND xact_start IS NOT NULL AND pid <> pg_backend_pid();
    PERFORM set_config('session_replication_role', 'replica', true);  -- in no order
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP
        EXECUTE 'DELETE FROM ' || quote_ident(name);
    END LOOP;
    INSERT INTO engine (id) VALUES (1);
END $$"""
_SAVE = """
DO $$ DECLARE name text; BEGIN
    DROP SCHEMA IF EXISTS saved CASCADE;
    CREATE SCHEMA saved;
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP
        EXECUTE 'CREATE TABLE saved.' || quote_ident(name)
            || ' AS TABLE public.' || quote_ident(name);
    END LOOP;
END $$"""
_RESTORE = """
DO $$ DECLARE name text; BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);  -- in no order
    DELETE FROM engine;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'saved'
    LOOP
        EXECUTE 'INSERT INTO public.' || quote_ident(name)
            || ' OVERRIDING SYSTEM VALUE TABLE saved.' || quote_ident(name);
    END LOOP;
END $$"""


@dataclass
class Kept:
    """A database with its connections, which engines use one after another.

    It is emptied through a connection of its own: a session that sets its replication role forgets
    the plans of all its statements.
    """

    url: str
    database: Database
    saved: object = None
    _readers: dict[str, Reader] = field(default_factory=dict)

    def reader(self, of: str = "tests") -> Reader:
        """A connection for very frequent reads."""
        if of not in self._readers:
            self._readers[of] = Reader(self.url)
        return self._readers[of]

    def close(self) -> None:
        """Let go of the connections; the next use opens new ones."""
        for reader in self._readers.values():
            reader.close()
        self.database.dispose()

    def empty(self) -> None:
        """Empty the database; open transactions of others are terminated."""
        self._run(_EMPTY)

    def begin_with(self, key: object, set_up: Callable[[], None]) -> None:
        """Leave what `set_up` writes into an empty database; for the key before, it is a copy."""
        if self.saved == key:
            self._run(_EMPTY, _RESTORE)
            return
        self.empty()
        set_up()
        self._run(_SAVE)
        self.saved = key

    def _run(self, *blocks: str) -> None:
        self.reader("emptying").run(*blocks)


def empty(database: Database) -> None:
    """Empty a database through one of its own connections."""
    with database.transaction() as connection:
        connection.exec_driver_sql(_EMPTY)

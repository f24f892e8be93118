"""A test process's own database, which its tests meet empty one after another."""

from dataclasses import dataclass

from billing.store.session import Database

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


@dataclass(frozen=True)
class Kept:
    """A database with its connections, which engines use one after another."""

    url: str
    database: Database

    def empty(self) -> None:
        """Leave what a new database has; whoever is still in a transaction is thrown out."""
        with self.database.transaction() as connection:
            connection.exec_driver_sql(_EMPTY)

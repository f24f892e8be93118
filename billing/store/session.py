"""The engine and `transaction()`, the only place that commits.

Connections are made after a fork: `Database` is built in each process. It knows no table.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError

from billing.domain.errors import NotConfigured


class Database:
    """A pool of connections to one PostgreSQL database.

    Statement timeouts are set on the server's side, so that no lock or lost network holds a
    worker for ever; they are far above what any statement here needs.
    """

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self._engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=5,
            pool_pre_ping=True,
            # The one used last knows its statements already, and has their plans.
            pool_use_lifo=True,
            connect_args={
                "connect_timeout": 10,
                "options": "-c statement_timeout=60s -c lock_timeout=20s"
                " -c idle_in_transaction_session_timeout=120s -c timezone=UTC",
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit what was done inside, or nothing of it.

        An error that is raised at the commit itself leaves open whether it happened; callers
        that moved money read again instead of assuming.
        """
        with self._engine.begin() as connection:
            yield connection

    def check(self) -> None:
        """Raise NotConfigured with one line when the database cannot be reached."""
        try:
            with self._engine.connect():
                pass
        except OperationalError as error:
            cause = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
            where = self._engine.url.render_as_string(hide_password=True)
            raise NotConfigured(
                f"cannot reach PostgreSQL at {where}: {cause}; check BILLING_DATABASE_URL"
            ) from None

    def dispose(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

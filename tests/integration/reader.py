"""Rows for tests that read many states: one connection, one round trip for each statement."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import make_url

from tests import plans

_NAMED = re.compile(r"(?<![:\w]):(\w+)")  # as SQLAlchemy finds them


class Reader:
    """A connection that commits by itself; statements are written as for SQLAlchemy's `text`."""

    def __init__(self, url: str) -> None:
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._open = partial(psycopg.connect, plain, autocommit=True, row_factory=dict_row)
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def rows(self, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read rows."""
        written = _NAMED.sub(r"%(\1)s", statement.replace("%", "%%"))
        return self._connected().execute(written.encode(), parameters or {}).fetchall()

    def clock(self) -> datetime | None:
        """Return the time of the test clock: a fifth of all statements, so by libpq alone."""
        connection = self._connected()
        with connection.lock:
            found = connection.pgconn.exec_prepared(b"clock", ())
        if connection.closed:  # ended when a database is emptied while a thread of before reads
            connection = self._connected()
            with connection.lock:
                found = connection.pgconn.exec_prepared(b"clock", ())
        if found.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError(found.get_error_message())
        written = found.get_value(0, 0)
        return datetime.fromisoformat(written.decode()) if written else None

    def run(self, *statements: str) -> None:
        """Run statements in one transaction."""
        connection = self._connected()
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> psycopg.Connection[dict[str, Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = self._open()
            plans.keep(self._connection)
            self._connection.execute("SET timezone = 'UTC'")  # then a time is written as ISO 8601
            self._connection.pgconn.prepare(b"clock", b"SELECT clock_at FROM engine")
        return self._connection

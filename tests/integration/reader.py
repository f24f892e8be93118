"""Rows for those who look at many states: one connection, one round trip for each statement."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import make_url

_NAMED = re.compile(r"(?<!:):(\w+)")


class Reader:
    """A connection that commits by itself; statements are written as for SQLAlchemy's `text`."""

    def __init__(self, url: str) -> None:
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(plain, autocommit=True, row_factory=dict_row)

    def rows(self, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read rows."""
        written = _NAMED.sub(r"%(\1)s", statement.replace("%", "%%"))
        return self._connection.execute(written.encode(), parameters or {}).fetchall()

    def clock(self) -> datetime | None:
        """Where the test clock stands."""
        row = self._connection.execute("SELECT clock_at FROM engine").fetchone()
        return row and row["clock_at"]

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

"""Rows: pass many rows as one parameter, a JSON array that PostgreSQL unpacks.

One statement with a fixed text serves any number of rows: it is parsed, planned and sent once. A
statement for each row, or a list of VALUES, costs more than the work itself. This module knows no
table.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import orjson
from sqlalchemy import Connection

from billing.store.statements import text


def as_json(rows: Sequence[Mapping[str, object] | str | bytes]) -> str:
    """Encode rows, or texts, for PostgreSQL's JSON functions; bytes are encoded for a bytea."""
    return orjson.dumps(rows, default=_bytea).decode()


def as_array(ids: Iterable[UUID]) -> str:
    """Encode ids for `CAST(:ids AS uuid[])`, in a fifth of the driver's time for a list."""
    return "{" + ",".join([item.hex for item in ids]) + "}"


def insert_new(connection: Connection, table: str, rows: Sequence[Mapping[str, object]]) -> int:
    """Insert rows with the same columns, except those that exist; return how many were new."""
    if not rows:
        return 0
    names = ", ".join(rows[0])
    statement = text(
        f"INSERT INTO {table} ({names}) SELECT {names}"  # noqa: S608 - names of ours
        f" FROM json_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS json))"
        " ON CONFLICT DO NOTHING"
    )
    return connection.execute(statement, {"rows": as_json(rows)}).rowcount


def _bytea(value: object) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    raise TypeError(f"{type(value).__name__} has no place in a row")

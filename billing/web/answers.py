"""Answers: rows as JSON. Instants are in UTC, with their offset; amounts are whole rupiah."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import orjson
from starlette.responses import Response

from billing.domain.documents import ready

MEDIA_TYPE = "application/json"


def one(found: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with one resource."""
    return Response(encoded(ready(found)), status, headers=headers, media_type=MEDIA_TYPE)


def page(found: Sequence[object], next_cursor: str | None) -> Response:
    """Answer with a page of resources."""
    return Response(
        encoded({"data": [ready(each) for each in found], "next_cursor": next_cursor}),
        media_type=MEDIA_TYPE,
    )


def encoded(document: object) -> bytes:
    """Write JSON."""
    return orjson.dumps(document, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        # A time without a zone is a wall time of the plan's timezone, such as an anchor.
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")

"""Answers: rows as JSON. Instants are in UTC, with their offset; amounts are whole rupiah."""

from collections.abc import Sequence

import orjson
from starlette.responses import Response

from billing.domain.documents import ready, text

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


def encoded(document: object, *, sort: bool = False) -> bytes:
    """Write JSON, with the names of objects in order if they must not matter."""
    options = orjson.OPT_PASSTHROUGH_DATETIME | (orjson.OPT_SORT_KEYS if sort else 0)
    return orjson.dumps(document, default=text, option=options)

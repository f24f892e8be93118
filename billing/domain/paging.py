"""Paging: one page of a list, and the cursor with which the next page begins.

A cursor is the place of a page's last row in the order of its list, together with the list's name
and its filters: it is refused for another list, with other filters, and when it is damaged. It is
no secret and grants nothing. This module knows no list and no SQL.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Generic, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from billing.domain.errors import InvalidValue

T = TypeVar("T")
Value: TypeAlias = datetime | UUID | int | str
"""A value by which a list is ordered."""
PAGE_MAX = 500
"""Maximum number of rows of one page for programs."""
CURSOR_MAX = 1_000
"""Maximum number of characters of a cursor."""
_VERSION = 1
_BIGINT = 2**63


class Page(NamedTuple):
    """At most `limit` rows, from the beginning of the list or after a cursor."""

    limit: int
    after: str | None = None


class Listed(NamedTuple, Generic[T]):
    """One page of a list; `next_cursor` begins the next page, and is None on the last page."""

    rows: list[T]
    next_cursor: str | None


class Of(NamedTuple):
    """What a cursor belongs to: a list, by its name, and the filters that are set."""

    name: str
    filters: str

    @classmethod
    def wanted(cls, name: str, wanted: NamedTuple) -> "Of":
        """Describe a list and its filters; the filters as a short digest."""
        given = {key: _plain(value) for key, value in wanted._asdict().items() if value is not None}
        digest = sha256(_json(given)).hexdigest()
        return cls(name, digest[:16])


def checked_span(since: datetime | None, until: datetime | None) -> None:
    """Raise InvalidValue when a span ends before it begins."""
    if since is not None and until is not None and since >= until:
        raise InvalidValue("the start of the span must be before its end", field="from")


def cursor(of: Of, place: Sequence[Value]) -> str:
    """Write the cursor of a page whose last row has this place in the order of the list."""
    content = [_VERSION, of.name, of.filters, [_plain(value) for value in place]]
    return urlsafe_b64encode(_json(content)).decode().rstrip("=")


def place_of(text: str, of: Of, kinds: Sequence[type[Value]]) -> list[Value]:
    """Read a cursor: the place after which the page begins, with values of these types.

    Raises InvalidValue for a cursor of another list or of other filters, and for a damaged one.
    """
    version, name, filters, values = _content(text)
    if version != _VERSION:
        raise _damaged()
    if name != of.name:
        raise InvalidValue(
            f"the cursor is from another list, not from the list of {of.name}", field="after"
        )
    if filters != of.filters:
        raise InvalidValue(
            "the cursor is from a list with other filters; repeat them unchanged", field="after"
        )
    if len(values) != len(kinds):
        raise _damaged()
    place = [_value(value, kind) for value, kind in zip(values, kinds, strict=True)]
    if cursor(of, place) != text:
        raise _damaged()  # the same place, written in another way: not from us
    return place


def _damaged() -> InvalidValue:
    return InvalidValue(
        "the cursor is damaged; use it exactly as the previous page returned it", field="after"
    )


def _content(text: str) -> tuple[object, object, object, list[object]]:
    if not text.isascii() or len(text) > CURSOR_MAX:
        raise _damaged()
    try:
        found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        raise _damaged() from None
    match found:
        case [version, name, filters, list(values)]:
            return version, name, filters, values
    raise _damaged()


def _value(value: object, kind: type[Value]) -> Value:
    """Convert a value of a cursor to its type; raise InvalidValue unless a column can hold it."""
    try:
        if kind is int and type(value) is int and -_BIGINT <= value < _BIGINT:
            return value
        if kind is str and isinstance(value, str) and value.isprintable():
            return value
        if kind is UUID and isinstance(value, str):
            return UUID(value)
        if kind is datetime and isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _damaged()


def _plain(value: object) -> int | str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, int) else str(value)


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

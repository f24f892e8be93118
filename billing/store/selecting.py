"""Selecting: the fields of a NamedTuple are the columns that its statement selects.

A wrong field name is then a mypy error, not an error when the line first runs. Texts of an enum are
converted to its members. This module knows no table.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

from sqlalchemy import CursorResult

from billing.store.direct import values_of

R = TypeVar("R", bound=NamedTuple)


def columns(row: type[NamedTuple], of: str = "", **sources: str) -> str:
    """Build the select list of a row: each field is a column of the table alias `of`.

    `sources` gives the SQL of fields that are something else.
    """
    unknown = sources.keys() - set(row._fields)
    if unknown:
        raise ValueError(f"{row.__name__} has no field {', '.join(sorted(unknown))}")
    prefix = f"{of}." if of else ""
    return ", ".join(
        f"{sources[name]} AS {name}" if name in sources else prefix + name for name in row._fields
    )


def every(row: type[R], found: CursorResult[Any]) -> list[R]:
    """Return all rows that a statement with this row's select list found."""
    make: Callable[[Iterable[Any]], R] = _maker(row)
    return [make(values) for values in values_of(found)]


def at_most_one(row: type[R], found: CursorResult[Any]) -> R | None:
    """Return the row that such a statement found, or None; two rows are an error."""
    make: Callable[[Iterable[Any]], R] = _maker(row)
    values = found.one_or_none()
    return None if values is None else make(values)


def of_values(row: type[R], values: Iterable[Any]) -> R:
    """Build a row from the values of its columns, which are a part of a wider result."""
    make: Callable[[Iterable[Any]], R] = _maker(row)
    return make(values)


@cache
def _maker(row: type[R]) -> Callable[[Iterable[Any]], R]:
    """Return a function that builds a row from the values of its columns."""
    enums = [
        (place, _Members(kind))
        for place, hint in enumerate(get_type_hints(row).values())
        for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,))
        if isinstance(kind, type) and issubclass(kind, StrEnum)
    ]
    if not enums:
        return row._make

    make_plain = row._make

    def make(values: Iterable[Any]) -> R:
        read = list(values)
        for place, members in enums:
            read[place] = members[read[place]]
        return make_plain(read)

    return make


class _Members(dict[str | None, StrEnum | None]):
    """The members of an enum by value: a lookup takes a third of the time of a call."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__({member.value: member for member in kind})
        self[None] = None
        self._kind = kind

    def __missing__(self, value: str) -> StrEnum:
        return self._kind(value)  # raises ValueError with the enum's name

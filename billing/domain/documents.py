"""Documents: rows, and what belongs to them, as names and values that are ready for JSON.

A row says itself, beside a field, whether that is shown. Instants, ids and amounts stay values. It
knows no row and writes no JSON.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar, get_type_hints

if TYPE_CHECKING:
    from typing import NamedTuple

T = TypeVar("T")
_HIDDEN, _INLINE = "hidden", "inline"
Hidden = Annotated[T, _HIDDEN]
"""A field from which others are computed; it is not shown."""
Inline = Annotated[T, _INLINE]
"""A row whose fields are shown in its place, as if they were its holder's."""
Row: TypeAlias = "NamedTuple | Mapping[str, object]"
"""What has names and values: a row, or a document already."""


def document(row: Row) -> dict[str, object]:
    """The names and values of a row that are shown; rows inside it are documents, too."""
    if isinstance(row, tuple):
        return _shown(type(row), row._asdict())
    return {name: ready(value) for name, value in row.items()}


def ready(value: object) -> object:
    """A value with documents in place of the rows that are inside it."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _shown(type(value), value._asdict())
    if isinstance(value, dict):
        return document(value)
    return [ready(item) for item in value] if isinstance(value, (list, tuple)) else value


def _shown(kind: type, values: Mapping[str, object]) -> dict[str, object]:
    marks, found = _marks(kind), dict[str, object]()
    for name, value in values.items():
        mark, shown = marks.get(name), ready(value)
        if mark == _INLINE and isinstance(shown, dict):
            found |= shown
        elif mark != _HIDDEN:
            found[name] = shown
    return found


@cache
def _marks(kind: type) -> dict[str, str]:
    hints = get_type_hints(kind, include_extras=True)
    found = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: marks[0] for name, marks in found.items() if marks}

"""Documents: rows, and the rows inside them, as dicts that are ready for JSON.

The type of a field says whether it is shown. Instants and ids stay values until `text` writes them;
the HTTP interface and the commands use both. This module does not write JSON, and knows no row.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar, get_type_hints
from uuid import UUID

if TYPE_CHECKING:
    from typing import NamedTuple

T = TypeVar("T")
_HIDDEN, _INLINE, _WALL = "hidden", "inline", "wall time"
Hidden = Annotated[T, _HIDDEN]
"""A field that is not shown; others are computed from it."""
Inline = Annotated[T, _INLINE]
"""A row whose fields are shown in its place, like fields of the outer row."""
Wall = Annotated[T, _WALL]
"""A local time without an offset, in the timezone of the plan."""
Row: TypeAlias = "NamedTuple | Mapping[str, object]"
"""A row, or a document."""


_LEAVES = frozenset({str, int, bool, type(None), datetime, UUID})
"""Types of values that contain no row; most values of a document have one of them."""


def document(row: Row) -> dict[str, object]:
    """Return the shown fields of a row by name; rows inside it become documents too."""
    if isinstance(row, tuple):
        return _shown(type(row), row._asdict())
    return {name: ready(value) for name, value in row.items()}


def ready(value: object) -> object:
    """Replace every row inside a value by its document."""
    if type(value) in _LEAVES:
        return value
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _shown(type(value), value._asdict())
    if isinstance(value, dict):
        return document(value)
    return [ready(item) for item in value] if isinstance(value, (list, tuple)) else value


def text(value: object) -> str:
    """Write a value that JSON does not have: an instant in UTC with its offset, or an id.

    A wall time, such as an anchor, has no offset: it is in the plan's timezone.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, (UUID, Path)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")


def _shown(kind: type, values: Mapping[str, object]) -> dict[str, object]:
    marks, found = _marks(kind), dict[str, object]()
    for name, value in values.items():
        mark, shown = marks.get(name), value if type(value) in _LEAVES else ready(value)
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

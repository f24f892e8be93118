"""Schemas: the OpenAPI schemas of answers, made from the rows that the answers are made of.

A row that gets a field gets it in the documentation too. The models are never filled: an answer is
written straight from its rows.
"""

from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, ConfigDict, Field, create_model

WALL_TIME = Annotated[
    str | None,
    Field(description="Local time in the plan's timezone", examples=["2026-01-31T09:00:00"]),
]


@cache
def model_of(kind: type, name: str = "") -> type[BaseModel]:
    """Return the model of a NamedTuple as `billing.domain.documents` shows it."""
    fields: dict[str, Any] = {
        field: (annotation, ...) for field, annotation in _fields(kind).items()
    }
    return create_model(
        name or _name(kind),
        __config__=ConfigDict(extra="ignore"),
        __doc__=(kind.__doc__ or "").split("\n")[0],
        **fields,
    )


@cache
def page_of(kind: type, name: str = "") -> type[BaseModel]:
    """Return the model of a page of rows."""
    of = name or _name(kind)
    row: Any = model_of(kind, name)
    fields: dict[str, Any] = {"data": (list[row], ...), "next_cursor": (str | None, ...)}
    return create_model(
        f"{of}Page", __doc__="A page; `next_cursor` is null on the last one.", **fields
    )


def _name(kind: type) -> str:
    """Name the row of a list differently from the object in detail."""
    is_row = kind.__module__.endswith(".listing_rows")
    return f"{kind.__name__}Row" if is_row else kind.__name__


def _fields(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, hint in get_type_hints(kind, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        plain = get_args(hint)[0] if marks else hint
        if "hidden" in marks:
            continue
        if "inline" in marks:
            found |= _fields(plain)
        elif "wall time" in marks:
            found[field] = WALL_TIME
        else:
            found[field] = _shown(plain)
    return found


def _shown(hint: Any) -> Any:
    """Replace the rows inside a type by their models."""
    if isinstance(hint, type) and (hasattr(hint, "_fields") or is_typeddict(hint)):
        return model_of(hint) if hasattr(hint, "_fields") else dict[str, Any]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _shown(inner[0])
    if origin in (Union, UnionType):
        return reduce(or_, (_shown(each) for each in inner))
    if origin is list:
        return list.__class_getitem__(_shown(inner[0]))
    if hint is object:
        return Any
    if origin is dict:
        return dict[str, Any]
    return hint

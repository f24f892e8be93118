"""Convert a task's JSON arguments to typed values, or raise one line that says what is valid.

Types are strict: `true` is not accepted as 1, "5" is not accepted as a number, and 0 is not
accepted as a date in 1970. This module does not know what a task does with its arguments.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, get_args, get_type_hints
from uuid import UUID

from billing.domain.errors import InvalidValue
from billing.domain.escaping import escape
from schedules.walltime import quoted

EXAMPLE = "2026-01-31T09:00:00+07:00"
YEARS = range(2000, 2200)
WHOLE_MAX = 2**63 - 1
"""The largest value of PostgreSQL's BIGINT."""
# To the minute at least; Python also accepts weeks, days alone and commas.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:?\d\d)?")
_IDENTITY = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def names(function: Callable[..., Any], given_by_us: frozenset[str]) -> dict[str, Any]:
    """Return the arguments that a task accepts, with the type of each."""
    kinds = get_type_hints(function)
    taken = inspect.signature(function).parameters
    return {name: kinds[name] for name in taken if name not in given_by_us}


def read(kinds: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert each argument to its type; InvalidValue names the first invalid one."""
    return {name: _one(name, kinds[name], value) for name, value in given.items()}


def text(name: str, value: object, keep: str = "") -> str:
    """Accept text without control characters; those in `keep` are allowed."""
    if not isinstance(value, str):
        raise InvalidValue(f"{name} must be text, not {_seen(value)}")
    if escape(value, keep) != value:
        raise InvalidValue(f"{name} has characters that are not printable: {quoted(escape(value))}")
    return value


def instant(name: str, value: object) -> datetime:
    """Parse an ISO 8601 instant with offset, in a year that a subscription can have."""
    written = text(name, value)
    wrong = InvalidValue(f"{name} must be an instant such as {EXAMPLE}, not {quoted(written)}")
    if not _INSTANT.fullmatch(written):
        raise wrong
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise wrong from None
    if moment.tzinfo is None:
        raise InvalidValue(f"{name} needs an offset, such as {EXAMPLE}")
    if moment.year not in YEARS:
        raise InvalidValue(f"{name} must be between {YEARS.start} and {YEARS[-1]}, not {written}")
    return moment


def _one(name: str, kind: Any, value: object) -> Any:
    kinds = get_args(kind) or (kind,)
    if value is None and type(None) in kinds:
        return None
    [wanted] = [one for one in kinds if one is not type(None)]
    return _READERS[wanted](name, value) if wanted in _READERS else _choice(name, wanted, value)


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValue(f"{name} must be a whole number, not {_seen(value)}")
    if abs(value) > WHOLE_MAX:
        raise InvalidValue(f"{name} is too large")
    return value


def _yes_or_no(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue(f"{name} must be true or false, not {_seen(value)}")
    return value


def _identity(name: str, value: object) -> UUID:
    if not isinstance(value, str) or not _IDENTITY.fullmatch(value):
        raise InvalidValue(f"{name} must be an id as text, not {_seen(value)}")
    return UUID(value)


def _choice(name: str, wanted: type[Enum], value: object) -> Enum:
    known = [member.value for member in wanted]
    if not isinstance(value, str) or value not in known:
        raise InvalidValue(f"{name} must be one of {', '.join(known)}, not {_seen(value)}")
    return wanted(value)


def _seen(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return quoted(escape(value))
        case int() | float():
            return quoted(repr(value) if isinstance(value, float) else _digits(value))
        case _:
            return "a list" if isinstance(value, list | tuple) else "an object"


def _digits(value: int) -> str:
    return str(value) if abs(value) <= WHOLE_MAX else "a very large number"


_READERS: dict[Any, Callable[[str, object], Any]] = {
    str: text,
    int: _whole,
    bool: _yes_or_no,
    UUID: _identity,
    datetime: instant,
}

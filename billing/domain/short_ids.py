"""Short ids: the beginning and the end of an id, which fit into a list and can be typed.

Ids begin with a time, so that those of one morning begin alike; the end tells them apart. The
beginning finds the row by the index of ids.
"""

import re
from typing import NamedTuple
from uuid import UUID

_EDGE = 8
"""Hexadecimal digits of each end."""
_SHORT = re.compile(rf"([0-9a-f]{{{_EDGE}}})-([0-9a-f]{{{_EDGE}}})", re.ASCII)
_BEGINNING = re.compile(r"[0-9a-f]{4,8}|[0-9a-f]{8}-[0-9a-f-]{1,27}", re.ASCII)
_DIGITS = 32


class Part(NamedTuple):
    """What is known of an id: it is from `low` to `high`, and ends with `end`."""

    low: UUID
    high: UUID
    end: str


def short(whole: UUID) -> str:
    """Return the short form of an id."""
    return f"{whole.hex[:_EDGE]}-{whole.hex[-_EDGE:]}"


def part_of(text: str) -> Part | None:
    """Read a short id, or the beginning of an id; None when it is neither."""
    written = text.strip().lower()
    end = ""
    if (found := _SHORT.fullmatch(written)) is not None:
        written, end = found.groups()
    elif not _BEGINNING.fullmatch(written):
        return None
    digits = written.replace("-", "")
    if len(digits) >= _DIGITS:
        return None
    low, high = (UUID(digits.ljust(_DIGITS, fill)) for fill in "0f")
    return Part(low, high, end)

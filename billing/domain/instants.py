"""Instants for people: local time with its offset, to the second.

Rows are in UTC and JSON is ISO 8601; this format is for sentences, tables and files that people
read. This module knows the engine's time zone, but no rows.
"""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

HOME_TIMEZONE = "Asia/Jakarta"
HOME = ZoneInfo(HOME_TIMEZONE)
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_WITH_OFFSET = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)


def at_home(at: datetime) -> datetime:
    """Convert an instant to the engine's time zone."""
    return at.astimezone(HOME)


def spoken(at: datetime) -> str:
    """Write an instant for people: `2026-12-01 09:00:00+07:00`.

    An instant in UTC is shown in the engine's time zone; an instant in a plan's own zone stays in
    it. A time without an offset is not changed.
    """
    if at.tzinfo is not None and at.tzname() == "UTC":
        at = at_home(at)
    return at.isoformat(" ", "seconds")


YEARS = range(2000, 2200)
"""The years that a start, an end or a filter may have."""


def read(written: str) -> datetime | None:
    """Parse an ISO 8601 instant with its offset, in a plausible year; None for other texts."""
    if _WITH_OFFSET.fullmatch(written) is None:
        return None
    try:
        found = datetime.fromisoformat(written)
        return found if found.astimezone(HOME).year in YEARS else None
    except (ValueError, OverflowError):
        return None


def spoken_text(text: str) -> str:
    """Format an ISO 8601 instant with an offset as `spoken` does; return other texts unchanged."""
    if _ISO.fullmatch(text) is None:
        return text
    try:
        return spoken(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return text

"""Wall clocks and the time line: where a local time falls, and which zones exist.

A time in a spring gap becomes the first instant after the gap, a time in an autumn fold the first
of its two instants. This module does not know cron, plans or the present moment.
"""

import re
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

INDONESIAN = {"wib": "Asia/Jakarta", "wita": "Asia/Makassar", "wit": "Asia/Jayapura"}
SECOND = timedelta(seconds=1)


class ScheduleError(ValueError):
    """A schedule, duration or timezone is invalid; the text is one line that says what is valid."""


def quoted(text: str) -> str:
    """Quote a person's input in an error: on one line, and shortened."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f'"{line}"' if len(line) <= 60 else f'"{line[:60]}…"'


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # These two names mean a different zone on every host.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def parse_timezone(name: str) -> ZoneInfo:
    """
    Read the name of an IANA timezone, such as "Asia/Jakarta".

    Only listed zones are accepted: the "right/" trees on some hosts count leap seconds.
    Raises ScheduleError, with the closest name when there is one.
    """
    if name in _zones():
        return ZoneInfo(name)
    written = name.strip().lower().replace(" ", "_")
    known = {zone.lower(): zone for zone in _zones()}
    # An offset such as "UTC+7" resembles many names but belongs to none of them.
    close = [] if re.search(r"[0-9]", written) else get_close_matches(written, known, n=1)
    guess = INDONESIAN.get(written) or (known[close[0]] if close else None)
    hint = f'did you mean "{guess}"?' if guess else 'write a name such as "Asia/Jakarta"'
    raise ScheduleError(f"timezone {quoted(name)} is not known: {hint}")


def local_wall(instant: datetime, timezone: ZoneInfo) -> datetime:
    """Read a wall clock in the timezone at an aware instant; the result is naive."""
    if instant.utcoffset() is None:
        raise ScheduleError(f"an instant needs an offset, {instant.isoformat()} has none")
    return instant.astimezone(timezone).replace(tzinfo=None, fold=0)


def local_anchor(instant: datetime, timezone: ZoneInfo) -> datetime:
    """Turn an aware instant into a naive local anchor, truncated to whole seconds."""
    return local_wall(instant, timezone).replace(microsecond=0)


def asked_wall(moment: datetime, timezone: ZoneInfo) -> datetime:
    """
    Return the requested wall time: a naive time unchanged, an instant as its clock shows it.

    A naive time inside a spring gap keeps its hour, which is lost in its instant. The result is an
    anchor: naive, in whole seconds.
    """
    if moment.tzinfo is None:
        return moment.replace(microsecond=0, fold=0)
    return local_anchor(moment, timezone)


def place(wall: datetime, timezone: ZoneInfo) -> datetime:
    """
    Put a naive wall-clock time on the time line, as an aware UTC instant.

    Never decreases while `wall` increases; all times inside one gap share one instant.
    """
    before, after = _offsets(wall, timezone)
    if after > before:
        return _clock_change(wall, timezone)
    return (wall - before).replace(tzinfo=UTC)


def last_wall_not_later(instant: datetime, timezone: ZoneInfo) -> datetime:
    """
    Find the wall time that separates past from future: later walls are placed after `instant`.

    During the second pass of a fold, that is the last second of the fold, because every wall time
    in the fold was placed in the first pass.
    """
    wall = local_anchor(instant, timezone)
    if not instant.astimezone(timezone).fold:
        return wall
    before, after = _offsets(wall, timezone)
    first_again = local_anchor(_clock_change(wall, timezone), timezone)
    return first_again + (before - after) - SECOND


def _offsets(wall: datetime, timezone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """Return the UTC offsets around a wall time; they rise in a gap and fall in a fold."""
    before = timezone.utcoffset(wall.replace(fold=0))
    after = timezone.utcoffset(wall.replace(fold=1))
    # utcoffset returns None only for a time without a date, and a wall time has one.
    return before or timedelta(0), after or timedelta(0)


def _clock_change(wall: datetime, timezone: ZoneInfo) -> datetime:
    """
    Find the instant at which clocks change, for a wall time inside the gap or fold it makes.

    zoneinfo has no public list of transitions, so the offset is bisected, by whole seconds.
    """
    low, high = sorted(_offsets(wall, timezone))
    early = (wall.replace(microsecond=0) - high).replace(tzinfo=UTC)
    offset = early.astimezone(timezone).utcoffset()

    def changed(seconds: int) -> bool:
        return (early + seconds * SECOND).astimezone(timezone).utcoffset() != offset

    # The keys are False up to the change and True from it on; 1 is the first True.
    return early + bisect_left(range((high - low) // SECOND), 1, key=changed) * SECOND

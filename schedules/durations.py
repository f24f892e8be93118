"""Lengths of time as people write them: "2d", "12h", "1 month".

Days and longer are calendar lengths and keep the wall-clock time; hours and shorter are exact. This
module does not know the present moment, or the purpose of a duration.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from zoneinfo import ZoneInfo

from schedules.walltime import ScheduleError, local_wall, place, quoted

LAST_YEAR = 2999


class Unit(StrEnum):
    """The unit of a duration."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


# About ten years of each: enough for every plan, and inside the calendar's range.
LIMITS = {
    Unit.SECOND: 315_360_000,
    Unit.MINUTE: 5_256_000,
    Unit.HOUR: 87_600,
    Unit.DAY: 3_650,
    Unit.WEEK: 520,
    Unit.MONTH: 120,
    Unit.YEAR: 10,
}
EXACT = (Unit.SECOND, Unit.MINUTE, Unit.HOUR)
LENGTHS = {
    Unit.SECOND: timedelta(seconds=1),
    Unit.MINUTE: timedelta(minutes=1),
    Unit.HOUR: timedelta(hours=1),
    Unit.DAY: timedelta(days=1),
    Unit.WEEK: timedelta(weeks=1),
}
MONTHS = {Unit.MONTH: 1, Unit.YEAR: 12}

SHORT = {
    "s": Unit.SECOND,
    "m": Unit.MINUTE,
    "h": Unit.HOUR,
    "d": Unit.DAY,
    "w": Unit.WEEK,
}
SPELLINGS = SHORT | {unit.value: unit for unit in Unit} | {f"{unit.value}s": unit for unit in Unit}
IDIOMS = {
    "hourly": "1 hour",
    "daily": "1 day",
    "weekly": "1 week",
    "fortnight": "2 weeks",
    "fortnightly": "2 weeks",
    "biweekly": "2 weeks",
    "monthly": "1 month",
    "quarter": "3 months",
    "quarterly": "3 months",
    "annual": "1 year",
    "annually": "1 year",
    "yearly": "1 year",
}


@dataclass(frozen=True, slots=True)
class Duration:
    """A whole number of one unit. `anchor + duration` is calendar arithmetic on a wall clock."""

    count: int
    unit: Unit

    def __str__(self) -> str:
        return f"{self.count} {self.unit.value}{'' if self.count == 1 else 's'}"

    def __radd__(self, wall: datetime) -> datetime:
        """Move a wall-clock time; a day that does not exist becomes the last day of its month."""
        return move(wall, self.count, self.unit)


def move(wall: datetime, count: int, unit: Unit) -> datetime:
    """Move a wall-clock time by `count` units; raises ScheduleError past the year 2999."""
    try:
        if unit in MONTHS:
            months = wall.year * 12 + wall.month - 1 + count * MONTHS[unit]
            year, month = months // 12, months % 12 + 1
            last = monthrange(year, month)[1]
            moved = wall.replace(year=year, month=month, day=min(wall.day, last))
        else:
            moved = wall + count * LENGTHS[unit]
    except (OverflowError, ValueError):
        moved = wall.replace(year=LAST_YEAR + 1, day=1)
    if moved.year > LAST_YEAR:
        raise ScheduleError(
            f"{count} {unit.value}s after {wall.date()} is past the year {LAST_YEAR}"
        )
    return moved


def parse_duration(text: str) -> Duration:
    """
    Read "2d", "5 d", "12h", "30m", "10s", "2w", or long forms such as "7 days" and "1 month".

    "m" is minutes. Raises ScheduleError for anything else, with a suggestion where there is one.
    """
    written = " ".join(text.lower().split())
    match = re.fullmatch(r"([0-9]+) ?([a-z]+)", written)
    if match is None:
        raise ScheduleError(f"{quoted(text)} is not a duration: {_advice(written)}")
    unit = SPELLINGS.get(match[2])
    if unit is None:
        raise ScheduleError(f"{quoted(text)} has no known unit: {_advice(written)}")
    # The length is checked first: Python refuses to read numbers of thousands of digits.
    if len(match[1]) > 12 or not 1 <= int(match[1]) <= LIMITS[unit]:
        raise ScheduleError(
            f"{quoted(text)} is out of range: write 1 to {LIMITS[unit]} {unit.value}s"
        )
    return Duration(int(match[1]), unit)


def add(duration: Duration, instant: datetime, timezone: ZoneInfo) -> datetime:
    """
    Move an aware instant; the result is in UTC.

    Days, weeks, months and years keep the wall-clock time in the timezone; hours, minutes and
    seconds are exact.
    """
    wall = local_wall(instant, timezone)
    if duration.unit in EXACT:
        return move(instant.astimezone(UTC), duration.count, duration.unit)
    return place(wall + duration, timezone)


def add_to_wall(duration: Duration, wall: datetime, timezone: ZoneInfo) -> datetime:
    """
    Move a wall-clock time that may become an anchor; the result is naive.

    Unlike `add`, a calendar length that ends inside a spring gap keeps the hour there.
    """
    if duration.unit in EXACT:
        return local_wall(add(duration, place(wall, timezone), timezone), timezone)
    return wall + duration


def plain_notice(text: str) -> str:
    """
    Return a notice as it is stored: in small letters, without needless blanks.

    A notice is exact: a day of it is 24 hours. Raises ScheduleError unless the text is a duration
    of weeks, days or less.
    """
    duration = parse_duration(text)
    if duration.unit in MONTHS:
        raise ScheduleError(f'a notice has days, such as "3 days", and no {duration.unit.value}s')
    return " ".join(text.lower().split())


def _advice(written: str) -> str:
    """Suggest a valid form, as close as possible to what was written."""
    number, _, word = re.sub(r"^([-+0-9.,]*) ?", r"\1 ", written).partition(" ")
    if not number or number == "1":
        idiom = IDIOMS.get(word) or IDIOMS.get(next(iter(get_close_matches(word, IDIOMS, 1)), ""))
        close = get_close_matches(word, [unit.value for unit in Unit], 1)
        guess = idiom or (f"1 {close[0]}" if close else None)
    else:
        close = get_close_matches(word, [name for name in SPELLINGS if len(name) > 1], 1)
        guess = f"{number} {close[0]}" if number.isdigit() and close else None
    if guess:
        return f'did you mean "{guess}"?'
    return 'write a whole number and a unit, such as "2d", "12h", "2 weeks" or "1 month"'

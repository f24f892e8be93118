"""Intervals such as "3 months", compiled to cron expressions and a step.

This module knows the cron fires of an anchored interval, and the month or day of the n-th fire. The
calendar finds the instants.
"""

from datetime import date, datetime
from functools import lru_cache

from schedules.durations import LENGTHS, MONTHS, Duration, Unit, move, parse_duration
from schedules.walltime import ScheduleError, quoted

UNITS = (Unit.DAY, Unit.WEEK, Unit.MONTH, Unit.YEAR)


@lru_cache(maxsize=1_024)
def parse_interval(text: str) -> Duration:
    """Read "1 month", "2 weeks", "3 months", "10 days" or "1 year"; raises ScheduleError."""
    interval = parse_duration(text)
    if interval.unit not in UNITS:
        months = Duration(interval.count, Unit.MONTH)
        hint = f'; did you mean "{months}"?' if interval.unit is Unit.MINUTE else ""
        raise ScheduleError(
            f"{quoted(text)} is too short for an interval, which counts days, weeks, months or "
            f"years (a cron expression can be shorter){hint}"
        )
    return interval


def compile_crons(unit: Unit, anchor: datetime) -> tuple[str, ...]:
    """
    Write the fires that a step of one unit makes from an anchor, as cron expressions.

    No month is skipped: where the anchor's day does not exist, "L" (the last day) replaces it.
    """
    seconds = f" {anchor.second}" if anchor.second else ""
    dates = _dates(unit, anchor.date())
    return tuple([f"{anchor.minute} {anchor.hour} {fields}{seconds}" for fields in dates])


@lru_cache(maxsize=16_384)
def _dates(unit: Unit, anchored: date) -> tuple[str, ...]:
    """Write the day, month and weekday of those fires once for all anchors of one day."""
    day, month = str(anchored.day), str(anchored.month)
    match unit:
        case Unit.DAY:
            return ("* * *",)
        case Unit.WEEK:
            return (f"* * {anchored.isoweekday() % 7}",)
        case Unit.YEAR:
            # The last day of February is the 29th exactly in leap years.
            return ("L 2 *",) if (day, month) == ("29", "2") else (f"{day} {month} *",)
        case _ if anchored.day <= 28:
            return (f"{day} * *",)
        case _ if anchored.day <= 30:
            return f"{day} 1,3-12 *", "L 2 *"
        case _:
            return "31 1,3,5,7,8,10,12 *", "L 2,4,6,9,11 *"


def landing(anchor: datetime, count: int, unit: Unit) -> datetime:
    """Find the midnight from which the next fire is the one `count` units after the anchor."""
    midnight = anchor.replace(hour=0, minute=0, second=0)
    return move(midnight.replace(day=1) if unit in MONTHS else midnight, count, unit)


def units_between(anchor: datetime, wall: datetime, unit: Unit) -> int:
    """Count whole units from the anchor's month or day to that of another wall-clock time."""
    if unit in MONTHS:
        months = (wall.year - anchor.year) * 12 + wall.month - anchor.month
        return months // MONTHS[unit]
    return (wall.date() - anchor.date()) // LENGTHS[unit]

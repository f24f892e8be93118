"""Calendars: the due dates of a plan, from its anchor; the only module that imports croniter.

croniter always runs on naive wall-clock times (on aware ones it fires twice in a fold); the fires
are then placed on the time line. This module does not know plans, subscriptions or the present
moment.
"""

from bisect import bisect_right
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from schedules.crontab import each_alone, tidy
from schedules.durations import LAST_YEAR, Unit
from schedules.intervals import compile_crons, landing, parse_interval, units_between
from schedules.walltime import SECOND, ScheduleError, last_wall_not_later, local_wall, place, quoted

DAY = timedelta(days=1)
PERIODS_MAX = 10_000_000
# Due dates of a cron plan are stored at every 64th period.
STRIDE = 64


@dataclass(frozen=True, slots=True)
class Calendar:
    """
    The due dates of one plan from one anchor.

    `anchor` is a naive local wall-clock time in whole seconds. An interval has the `unit` in which
    its cron expressions fire, and takes every `step`-th fire; a cron plan has no unit and takes
    all.
    """

    crons: tuple[str, ...]
    step: int
    anchor: datetime
    timezone: ZoneInfo
    unit: Unit | None = None

    def __post_init__(self) -> None:
        if self.anchor.tzinfo or self.anchor.microsecond:
            raise ScheduleError(f"an anchor is naive and in whole seconds, not {self.anchor}")
        if not 1970 <= self.anchor.year <= 2199:
            raise ScheduleError(f"an anchor is in the years 1970 to 2199, not {self.anchor.year}")
        if self.step < 1 or (self.unit is None and (self.step, len(self.crons)) != (1, 1)):
            raise ScheduleError("a cron plan has one expression and takes every fire of it")

    @classmethod
    def every(cls, interval: str, *, anchor: datetime, timezone: ZoneInfo) -> Self:
        """Make the calendar of an interval: "1 month", "2 weeks", "3 months", "10 days"."""
        length = parse_interval(interval)
        crons = compile_crons(length.unit, anchor)
        return cls(crons, length.count, anchor, timezone, length.unit)

    @classmethod
    def cron(cls, expression: str, *, anchor: datetime, timezone: ZoneInfo) -> Self:
        """Make the calendar of a cron expression with five fields, or six with seconds last."""
        return cls((_checked(expression),), 1, anchor, timezone)

    def due(self, index: int) -> datetime:
        """Find the start of period `index`, in UTC; 0 is the first at or after the anchor."""
        if not 0 <= index <= PERIODS_MAX:
            raise ScheduleError(f"a period index is 0 to {PERIODS_MAX}, not {index}")
        return _start(self, index)

    def following(self, index: int, start: datetime) -> datetime:
        """Find due(index + 1), given that due(index) is `start`, without a walk to that index."""
        if self.unit is None:
            return next_fire(self.crons[0], after=start, timezone=self.timezone)
        return self.due(index + 1)

    def wall(self, start: datetime) -> datetime:
        """
        Find the wall time that the plan's schedule gives for the period that begins at `start`.

        The result differs from the clock at `start` only when a spring gap moved that start.
        """
        return _fire(self.crons, last_wall_not_later(start - SECOND, self.timezone))

    def first(self, count: int) -> list[datetime]:
        """
        List due dates 0 to `count` - 1, in the calendar's timezone.

        For people to read. Compare in UTC: Python finds two equal instants unequal (PEP 495) when
        one of them is written in a timezone that has that hour twice.
        """
        starts: list[datetime] = []
        for index in range(count):
            starts.append(self.following(index - 1, starts[-1]) if starts else self.due(0))
        return [start.astimezone(self.timezone) for start in starts]

    def index_at(self, instant: datetime) -> int:
        """Find the period that contains an aware instant; -1 if none has begun."""
        if instant < self.due(0):
            return -1
        if self.unit is None:
            marks = _marks(self)
            nearest = bisect_right(range(len(marks)), instant, key=marks.__getitem__) - 1
            walk = _walk(self, marks, nearest)
            return next(index - 1 for index, start in walk if start > instant)
        wall = local_wall(instant, self.timezone)
        guess = units_between(self.anchor, wall, self.unit) // self.step
        # The time of day, a clock change or a skipped day can make the number a little smaller.
        candidates = range(max(0, guess - 2), guess + 2)
        return candidates[bisect_right(candidates, instant, key=self.due) - 1]

    def index_of(self, start: datetime) -> int | None:
        """Find the period that begins exactly at an aware instant; None if none does."""
        if self.unit is not None:
            # Nearly always right; this saves time in large imports.
            wall = local_wall(start, self.timezone)
            guess = units_between(self.anchor, wall, self.unit) // self.step
            if guess >= 0 and self.due(guess) == start:
                return guess
        index = self.index_at(start)
        return index if index >= 0 and self.due(index) == start else None


def next_fire(expression: str, *, after: datetime, timezone: ZoneInfo) -> datetime:
    """Find the first fire strictly later than an aware instant, in UTC."""
    wall = last_wall_not_later(after, timezone)
    return place(_fire((expression,), wall), timezone)


def check_cron(expression: str) -> None:
    """
    Refuse a cron expression that is invalid, would be misread, or never fires.

    Five fields (minute hour day month weekday), or six with the seconds last. "L" and "#" have
    croniter's meaning; if day and weekday are both given, either matches, as in every cron.
    """
    _checked(expression)


@lru_cache(maxsize=1_024)
def _checked(expression: str) -> str:
    """Check an expression once, and return it with one space between its fields."""
    tidied = tidy(expression)
    for alone, refusal in each_alone(tidied):
        if not croniter.is_valid(alone):
            raise ScheduleError(refusal)
    if not croniter.is_valid(tidied, strict=True):
        raise ScheduleError(f"{quoted(expression)} never fires: its months have no such day")
    try:
        copy(_parsed(tidied)).get_next(datetime)
    except CroniterBadDateError:
        raise ScheduleError(f"{quoted(expression)} never fires: no day fits") from None
    return tidied


@lru_cache(maxsize=1_024)
def _parsed(expression: str) -> croniter:
    """Parse an expression once. A croniter has a position: each thread must use a copy."""
    return croniter(expression, start_time=0)


@lru_cache(maxsize=16_384)
def _fire(crons: tuple[str, ...], wall: datetime) -> datetime:
    """Find the first fire of several expressions that is strictly later on the wall clock."""
    fire: datetime = min(copy(_parsed(cron)).get_next(datetime, wall) for cron in crons)
    if fire.year > LAST_YEAR:
        raise ScheduleError(f"the next due date is past the year {LAST_YEAR}")
    return fire


@lru_cache(maxsize=16_384)
def _start(calendar: Calendar, index: int) -> datetime:
    """Compute a period's start once for all subscriptions that share a calendar."""
    if index == 0:
        fire = calendar.anchor if calendar.unit else _fire(calendar.crons, calendar.anchor - SECOND)
        return place(fire, calendar.timezone)
    if calendar.unit is None:
        marks = _marks(calendar)
        walk = _walk(calendar, marks, min(index // STRIDE, len(marks) - 1))
        return next(start for position, start in walk if position == index)
    start = _jump(calendar, calendar.unit, index)
    return _jump(calendar, calendar.unit, index + 1) if _merged(calendar, index, start) else start


def _jump(calendar: Calendar, unit: Unit, index: int) -> datetime:
    """
    Find the start of an interval's period: the anchor's time on the day of its `index`-th fire.

    All anchors of one day share that day: an import has many anchors on few days.
    """
    anchor = calendar.anchor
    day = _day(unit, anchor.date(), index * calendar.step)
    return place(datetime.combine(day, anchor.time()), calendar.timezone)


@lru_cache(maxsize=16_384)
def _day(unit: Unit, anchored: date, count: int) -> date:
    """Find the day `count` units after an anchor's day."""
    midnight = datetime.combine(anchored, time.min)
    days = compile_crons(unit, midnight)
    return _fire(days, landing(midnight, count, unit) - SECOND).date()


def _merged(calendar: Calendar, index: int, start: datetime) -> bool:
    """
    Whether two fires up to this one are the same instant, so that one index is skipped.

    This happens only to a plan for every midnight in a place that skipped a whole day, as Samoa did
    on 30 December 2011: that midnight and the next have the same first instant after them.
    """
    nightly = (calendar.unit, calendar.step, calendar.anchor.time()) == (Unit.DAY, 1, time.min)
    # Half a day is more than a daylight saving shift, and less than a skipped day.
    return nightly and index * DAY - (start - calendar.due(0)) > DAY / 2


def _marks(calendar: Calendar) -> dict[int, datetime]:
    """Return the marks that all anchors with the same first due date share."""
    return _marks_from(calendar.due(0), calendar.crons[0], calendar.timezone)


@lru_cache(maxsize=1_024)
def _marks_from(first: datetime, _cron: str, _timezone: ZoneInfo) -> dict[int, datetime]:
    """
    Store every 64th due date of a cron plan, as far as a walk has reached.

    Two threads may walk the same periods at once: both write the same value under the same key.
    """
    return {0: first}


def _walk(
    calendar: Calendar, marks: dict[int, datetime], mark: int
) -> Iterator[tuple[int, datetime]]:
    """Step through a cron plan's periods from a mark, leaving marks on the way."""
    start = marks[mark]
    for index in range(mark * STRIDE, PERIODS_MAX + 1):
        if index % STRIDE == 0:
            marks[index // STRIDE] = start
        yield index, start
        start = calendar.following(index, start)
    raise ScheduleError(f"a plan has at most {PERIODS_MAX} periods")

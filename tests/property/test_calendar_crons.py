"""Cron plans, compared with a reader of cron fields that checks every minute of a few days."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from schedules.calendar import Calendar, check_cron, next_fire
from schedules.durations import Unit, add, parse_duration
from schedules.walltime import ScheduleError, place

MINUTE = timedelta(minutes=1)
DAYS = 4

# Evenings before a change of clocks, and two quiet ones.
EVES = [
    ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Pacific/Apia", "2011-12-29"),
    ("America/Sao_Paulo", "2018-11-03"),
    ("Africa/Casablanca", "2026-02-14"),
    ("Asia/Jakarta", "2028-02-28"),
    ("Europe/London", "2026-12-30"),
]
MINUTES: dict[str, Callable[[int], bool]] = {
    "*": lambda _: True,
    "0": lambda minute: minute == 0,
    "30": lambda minute: minute == 30,
    "*/15": lambda minute: minute % 15 == 0,
    "10-50/20": lambda minute: minute in {10, 30, 50},
    "5,45": lambda minute: minute in {5, 45},
}
HOURS: dict[str, Callable[[int], bool]] = {
    "*": lambda _: True,
    "0": lambda hour: hour == 0,
    "1": lambda hour: hour == 1,
    "2": lambda hour: hour == 2,
    "0-3": lambda hour: hour <= 3,
    "22-2": lambda hour: hour >= 22 or hour <= 2,
    "*/6": lambda hour: hour % 6 == 0,
}
DATES: dict[str, Callable[[datetime], bool]] = {
    "* * *": lambda _: True,
    "L * *": lambda wall: (wall + timedelta(days=1)).day == 1,
    "*/2 * *": lambda wall: wall.day % 2 == 1,
    "* * sat,SUN": lambda wall: wall.weekday() >= 5,
    "* * 7": lambda wall: wall.weekday() == 6,
    "1 * 0": lambda wall: wall.day == 1 or wall.weekday() == 6,
    "* 10-12 *": lambda wall: wall.month >= 10,
}

crons = st.tuples(*(st.sampled_from(sorted(field)) for field in (MINUTES, HOURS, DATES)))
eves = st.sampled_from(EVES)
modest = settings(max_examples=80, deadline=None, derandomize=True)


@cache
def expected(cron: tuple[str, str, str], zone: str, eve: str) -> list[datetime]:
    """List the instants of all matching minutes after an eve, each instant once."""
    minute, hour, on = cron
    starts: list[datetime] = []
    wall = datetime.fromisoformat(eve)
    for _ in range(DAYS * 24 * 60):
        if MINUTES[minute](wall.minute) and HOURS[hour](wall.hour) and DATES[on](wall):
            start = place(wall, ZoneInfo(zone))
            if start not in starts[-1:]:
                starts.append(start)
        wall += MINUTE
    return starts


@modest
@given(crons, eves)
def test_due_dates_are_all_matching_minutes_once(
    cron: tuple[str, str, str], eve: tuple[str, str]
) -> None:
    """Over a change of clocks no fire is lost, and fires at one instant are one due date."""
    zone, on = eve
    starts = expected(cron, zone, on)
    calendar = Calendar.cron(
        " ".join(cron), anchor=datetime.fromisoformat(on), timezone=ZoneInfo(zone)
    )
    count = min(len(starts), 300)
    due = [start.astimezone(UTC) for start in calendar.first(count)]

    assert due == starts[:count]
    assert all(later > earlier for earlier, later in pairwise(due))
    if starts:
        assert calendar.due(count - 1) == due[-1]
        assert calendar.index_at(due[-1]) == count - 1
        assert calendar.index_at(due[-1] - MINUTE / 2) == count - 2


@modest
@given(crons, eves, st.integers(0, DAYS * 24 * 3600 - 1))
@example(("*/15", "*", "* * *"), ("America/New_York", "2026-10-31"), 25 * 3600 + 5400)
def test_the_next_fire_is_the_first_later_one(
    cron: tuple[str, str, str], eve: tuple[str, str], seconds: int
) -> None:
    """From any instant, also in the second pass of a fold, no fire is skipped and none repeated."""
    zone, on = eve
    after = place(datetime.fromisoformat(on), ZoneInfo(zone)) + timedelta(seconds=seconds)
    later = [start for start in expected(cron, zone, on) if start > after]

    fire = next_fire(" ".join(cron), after=after, timezone=ZoneInfo(zone))

    assert fire > after
    if later:
        assert fire == later[0]


def refused_or_fires(text: str) -> None:
    try:
        check_cron(text)
    except ScheduleError as refused:
        assert "\n" not in str(refused)  # noqa: PT017 - a refusal is one of two right answers
    else:
        after = datetime(2026, 1, 31, tzinfo=UTC)
        assert next_fire(text, after=after, timezone=ZoneInfo("Asia/Jakarta")) > after


@settings(modest, max_examples=300)
@given(st.text(alphabet="0123456789*/-,#LWRH?@ \n\tjanmonfriſ٣", max_size=24))
def test_any_text_is_a_schedule_or_refused_in_one_line(text: str) -> None:
    """Any text gives a schedule that fires, or one line that says why not."""
    refused_or_fires(text)


pieces = st.sampled_from(
    ["*", "0", "1", "5", "L", "31", "1-5", "*/3", "?", "2#5", "30W", "sat-mon"]
)


@settings(modest, max_examples=300)
@given(st.lists(pieces, min_size=5, max_size=6))
def test_any_fields_are_a_schedule_or_refused_in_one_line(fields: list[str]) -> None:
    """Fields that are right by themselves can make no schedule together; that is refused too."""
    refused_or_fires(" ".join(fields))


@modest
@given(st.sampled_from(list(Unit)), st.integers(1, 10), eves, st.integers(0, 2 * 24 * 3600))
def test_adding_a_duration_moves_forward(
    unit: Unit, count: int, eve: tuple[str, str], seconds: int
) -> None:
    """A wait always ends later than it began, and hours are hours on any night."""
    zone, on = eve
    duration = parse_duration(f"{count} {unit}s")
    instant = place(datetime.fromisoformat(on), ZoneInfo(zone)) + timedelta(seconds=seconds)
    later = add(duration, instant, ZoneInfo(zone))

    assert later > instant
    if unit is Unit.HOUR:
        assert later - instant == timedelta(hours=count)

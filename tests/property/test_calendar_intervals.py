"""Intervals against an independent idea of the calendar, over random anchors and timezones."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schedules import calendar as calendar_module
from schedules.calendar import Calendar
from schedules.durations import parse_duration
from schedules.walltime import local_anchor, place

ZONES = (
    "Asia/Jakarta",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Tehran",
)
SECOND = timedelta(seconds=1)

zones = st.sampled_from([ZoneInfo(name) for name in ZONES])
# Half of all clock times are in the small hours, where clocks change.
minutes = st.one_of(st.integers(0, 4 * 60), st.integers(0, 24 * 60 - 1))
anchors = st.builds(
    lambda on, minute, second: (
        datetime.fromisoformat(on.isoformat()) + timedelta(minutes=minute, seconds=second)
    ),
    st.dates(date(2004, 1, 1), date(2036, 12, 31)),
    minutes,
    st.sampled_from([0, 0, 0, 7]),
)
month_intervals = st.one_of(
    st.integers(1, 30).map(lambda count: (f"{count} months", count)),
    st.integers(1, 10).map(lambda count: (f"{count} years", 12 * count)),
)
day_intervals = st.one_of(
    st.integers(1, 100).map(lambda count: (f"{count} days", count)),
    st.integers(1, 30).map(lambda count: (f"{count} weeks", 7 * count)),
)
intervals = st.one_of(month_intervals, day_intervals).map(lambda made: made[0])
indexes = st.integers(0, 90)
modest = settings(max_examples=80, deadline=None, derandomize=True)


def placed_by_clock(wall: datetime, zone: ZoneInfo) -> datetime:
    """Wait in front of a local clock, minute by minute, until it first shows the time or more."""
    minute = wall.replace(second=0)
    instant = minute.replace(tzinfo=UTC) - timedelta(hours=15)
    for _ in range(42 * 60):
        shows = instant.astimezone(zone).replace(tzinfo=None)
        if shows >= minute:
            return instant + (wall - minute if shows == minute else timedelta(0))
        instant += timedelta(minutes=1)
    raise AssertionError(f"{wall} never came in {zone}")


def skipped_days(zone: ZoneInfo) -> set[date]:
    return {date(2011, 12, 30)} if zone.key == "Pacific/Apia" else set()


def may_merge(calendar: Calendar) -> bool:
    """Every midnight of a place that skipped a day: the unit tests say what happens then."""
    nightly = calendar.crons[0] == "0 0 * * *" and calendar.step == 1
    return nightly and bool(skipped_days(calendar.timezone))


@modest
@given(anchors, zones)
def test_wall_times_are_placed_where_a_local_clock_shows_them(
    wall: datetime, zone: ZoneInfo
) -> None:
    """The place of a wall time is the first instant at which a clock on the wall shows it."""
    assert place(wall, zone) == placed_by_clock(wall, zone)


@modest
@given(anchors, zones, month_intervals, indexes)
def test_months_keep_the_anchored_day_or_take_the_last(
    anchor: datetime, zone: ZoneInfo, interval: tuple[str, int], index: int
) -> None:
    """The n-th month has the anchor's day, or its own last day; nothing is carried over."""
    text, months = interval
    year, month0 = divmod(anchor.year * 12 + anchor.month - 1 + months * index, 12)
    day = min(anchor.day, monthrange(year, month0 + 1)[1])

    due = Calendar.every(text, anchor=anchor, timezone=zone).due(index)

    assert due == place(anchor.replace(year=year, month=month0 + 1, day=day), zone)


@modest
@given(anchors, zones, day_intervals, indexes)
def test_days_and_weeks_count_local_days(
    anchor: datetime, zone: ZoneInfo, interval: tuple[str, int], index: int
) -> None:
    """The n-th period starts n times the plan's days later on the local calendar."""
    text, days = interval
    calendar = Calendar.every(text, anchor=anchor, timezone=zone)
    assume(not may_merge(calendar))

    assert calendar.due(index) == place(anchor + timedelta(days=days * index), zone)


@modest
@given(anchors, zones, intervals, st.integers(0, 12))
def test_a_jump_equals_stepping_over_every_fire(
    anchor: datetime, zone: ZoneInfo, interval: str, index: int
) -> None:
    """Asking for one fire by arithmetic finds the same as taking every step-th of all fires."""
    calendar = Calendar.every(interval, anchor=anchor, timezone=zone)
    assume(not may_merge(calendar))
    wall = anchor
    for _ in range(index * calendar.step):
        wall = calendar_module._fire(calendar.crons, wall)

    assert calendar.due(index) == place(wall, zone)


@modest
@given(anchors, zones, intervals, indexes)
def test_a_start_is_found_by_its_instant_and_nothing_else_is(
    anchor: datetime, zone: ZoneInfo, interval: str, index: int
) -> None:
    """`index_of` undoes `due`, and knows that a second later no period begins."""
    calendar = Calendar.every(interval, anchor=anchor, timezone=zone)
    assume(not may_merge(calendar))
    start = calendar.due(index)

    assert calendar.index_of(start) == index
    assert calendar.index_of(start + SECOND) is None
    assert calendar.index_of(calendar.due(0) - SECOND) is None


@modest
@given(anchors, zones, intervals, indexes)
def test_following_is_the_next_due_date_and_later(
    anchor: datetime, zone: ZoneInfo, interval: str, index: int
) -> None:
    """Period starts rise strictly, and stepping by one agrees with asking by index."""
    calendar = Calendar.every(interval, anchor=anchor, timezone=zone)
    start = calendar.due(index)

    assert calendar.following(index, start) == calendar.due(index + 1)
    assert calendar.due(index + 1) > start


@modest
@given(anchors, zones, intervals, indexes, st.integers(0, 10**9))
def test_index_at_is_the_inverse_of_due(
    anchor: datetime, zone: ZoneInfo, interval: str, index: int, within: int
) -> None:
    """Every instant from a start until before the next belongs to that period."""
    calendar = Calendar.every(interval, anchor=anchor, timezone=zone)
    start, end = calendar.due(index), calendar.due(index + 1)

    assert calendar.index_at(start) == index
    assert calendar.index_at(start - SECOND) == index - 1
    assert calendar.index_at(start + (within % ((end - start) // SECOND)) * SECOND) == index


@modest
@given(anchors, zones, intervals, indexes)
def test_the_time_of_day_is_the_anchors_except_in_a_gap(
    anchor: datetime, zone: ZoneInfo, interval: str, index: int
) -> None:
    """A due date shows the anchored time, or the end of a gap that holds the anchored time."""
    due = Calendar.every(interval, anchor=anchor, timezone=zone).due(index)
    shows = local_anchor(due, zone)

    if shows.time() != anchor.time():
        just_before = local_anchor(due - SECOND, zone)
        assert just_before + SECOND < shows
        assert any(
            just_before < datetime.combine(on, anchor.time()) < shows
            for on in {just_before.date(), shows.date()} | skipped_days(zone)
        )


@settings(modest, max_examples=25)
@given(zones, st.integers(2005, 2030), minutes)
def test_no_day_of_a_year_is_lost_or_doubled(zone: ZoneInfo, year: int, minute: int) -> None:
    """A daily plan is due once on every local date of a year with all its clock changes."""
    anchor = datetime.fromisoformat(f"{year}-01-01") + timedelta(minutes=minute)
    daily = Calendar.every("1 day", anchor=anchor, timezone=zone)
    due = daily.first(375)
    on = [start.date() for start in due]

    assert all(later > earlier for earlier, later in pairwise(due))
    expected = {anchor.date() + timedelta(days=day) for day in range((on[-1] - on[0]).days + 1)}
    assert set(on) == expected - skipped_days(zone)
    if year != 2011 or not skipped_days(zone):
        assert len(on) == len(set(on))
    as_cron = Calendar.cron(daily.crons[0], anchor=anchor, timezone=zone)
    assert as_cron.first(375) == due


@modest
@given(anchors, st.sampled_from(["1 month", "3 months", "1 year", "10 days", "2 weeks"]))
def test_a_duration_and_an_interval_agree_on_the_first_step(
    anchor: datetime, interval: str
) -> None:
    """A trial of one interval ends when the second period would have begun."""
    zone = ZoneInfo("Asia/Jakarta")
    calendar = Calendar.every(interval, anchor=anchor, timezone=zone)

    assert place(anchor + parse_duration(interval), zone) == calendar.due(1)


@modest
@given(anchors, intervals, zones, indexes)
def test_the_wall_time_of_a_start_is_the_one_that_was_asked_for(
    anchor: datetime, interval: str, zone: ZoneInfo, index: int
) -> None:
    """In every zone the wall time of a start is the anchor's time of day, also after a gap.

    An anchor that is taken from such a start is at the same instant.
    """
    dates = Calendar.every(interval, anchor=anchor, timezone=zone)
    start = dates.due(index)

    wall = dates.wall(start)

    assert place(wall, zone) == start
    moved = local_anchor(start, zone)
    assert wall == moved or (wall < moved and place(wall, zone) == place(moved, zone))
    assert wall.time() == anchor.time()


gaps = st.sampled_from(
    [
        ("America/New_York", date(2026, 3, 8), 120, 60),
        ("America/Sao_Paulo", date(2018, 11, 4), 0, 60),
        ("Europe/London", date(2026, 3, 29), 60, 60),
        ("Australia/Lord_Howe", date(2026, 10, 4), 120, 30),
        ("Pacific/Chatham", date(2026, 9, 27), 165, 60),
        ("Asia/Tehran", date(2022, 3, 22), 0, 60),
        ("Africa/Casablanca", date(2026, 3, 22), 120, 60),
    ]
)


@modest
@given(gaps, st.data(), intervals)
def test_an_anchor_inside_a_gap_is_moved_on_that_day_only(
    gap: tuple[str, date, int, int], data: st.DataObject, interval: str
) -> None:
    """Period 0 begins when the clocks have changed; every other day has the anchor's own time."""
    name, day, first_minute, minutes_long = gap
    minute = first_minute + data.draw(st.integers(0, minutes_long - 1))
    anchor = datetime.fromisoformat(day.isoformat()) + timedelta(minutes=minute)
    zone = ZoneInfo(name)
    dates = Calendar.every(interval, anchor=anchor, timezone=zone)

    after = datetime.fromisoformat(day.isoformat()) + timedelta(minutes=first_minute + minutes_long)
    assert local_anchor(dates.due(0), zone) == after
    for index in (1, 2, 5):
        start = dates.due(index)
        asked = dates.wall(start)
        assert asked.time() == anchor.time()
        assert place(asked, zone) == start

"""Due dates of intervals: month ends, leap days, steps, and the two nights a year."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from schedules.calendar import Calendar
from schedules.walltime import ScheduleError

JAKARTA = ZoneInfo("Asia/Jakarta")
NEW_YORK = ZoneInfo("America/New_York")
APIA = ZoneInfo("Pacific/Apia")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")

wall = datetime.fromisoformat


def every(interval: str, anchor: str, timezone: ZoneInfo = JAKARTA) -> Calendar:
    return Calendar.every(interval, anchor=wall(anchor), timezone=timezone)


def dates(calendar: Calendar, count: int) -> list[str]:
    return [due.date().isoformat() for due in calendar.first(count)]


def shown(calendar: Calendar, count: int) -> list[str]:
    return [due.isoformat() for due in calendar.first(count)]


def test_month_end_anchor_recovers_after_february() -> None:
    """
    An anchor on the 31st falls back to the last day of a short month and returns to the 31st.

    Counting from the previous period would stay on the 28th.
    """
    monthly = every("1 month", "2026-01-31T09:00")

    assert monthly.crons == ("0 9 31 1,3,5,7,8,10,12 *", "0 9 L 2,4,6,9,11 *")
    assert shown(monthly, 14)[:4] == [
        "2026-01-31T09:00:00+07:00",
        "2026-02-28T09:00:00+07:00",
        "2026-03-31T09:00:00+07:00",
        "2026-04-30T09:00:00+07:00",
    ]
    assert dates(monthly, 14)[-2:] == ["2027-01-31", "2027-02-28"]


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [
        ("2026-01-29T09:00", ["2026-01-29", "2026-02-28", "2026-03-29"]),
        ("2028-01-29T09:00", ["2028-01-29", "2028-02-29", "2028-03-29"]),
        ("2026-01-30T09:00", ["2026-01-30", "2026-02-28", "2026-03-30"]),
        ("2028-01-30T09:00", ["2028-01-30", "2028-02-29", "2028-03-30"]),
        ("2026-02-28T09:00", ["2026-02-28", "2026-03-28", "2026-04-28"]),
        ("2026-04-30T09:00", ["2026-04-30", "2026-05-30", "2026-06-30"]),
        ("2026-12-15T09:00", ["2026-12-15", "2027-01-15", "2027-02-15"]),
    ],
)
def test_monthly_keeps_the_anchored_day_where_the_month_has_it(
    anchor: str, expected: list[str]
) -> None:
    """The 29th and 30th give way only in February; an anchor on 28 February stays on the 28th."""
    assert dates(every("1 month", anchor), 3) == expected


def test_every_five_months_does_not_restart_in_january() -> None:
    """Each period is the fifth fire of the monthly set, across years (`*/5` would restart)."""
    assert dates(every("5 months", "2026-01-31T09:00"), 6) == [
        "2026-01-31",
        "2026-06-30",
        "2026-11-30",
        "2027-04-30",
        "2027-09-30",
        "2028-02-29",
    ]


def test_leap_day_yearly_returns_to_the_29th() -> None:
    """29 February becomes the 28th in common years and the 29th again in leap years."""
    assert dates(every("1 year", "2024-02-29T09:00"), 5) == [
        "2024-02-29",
        "2025-02-28",
        "2026-02-28",
        "2027-02-28",
        "2028-02-29",
    ]


def test_28_february_yearly_stays_on_the_28th() -> None:
    """The last day of a common February is a 28th, not a month end to follow."""
    assert dates(every("1 year", "2027-02-28T09:00"), 2) == ["2027-02-28", "2028-02-28"]


@pytest.mark.parametrize(
    ("interval", "crons", "expected"),
    [
        ("1 week", ("0 9 * * 6",), ["2026-01-31", "2026-02-07", "2026-02-14"]),
        ("2 weeks", ("0 9 * * 6",), ["2026-01-31", "2026-02-14", "2026-02-28"]),
        ("10 days", ("0 9 * * *",), ["2026-01-31", "2026-02-10", "2026-02-20"]),
        ("1d", ("0 9 * * *",), ["2026-01-31", "2026-02-01", "2026-02-02"]),
        ("2 years", ("0 9 31 1 *",), ["2026-01-31", "2028-01-31", "2030-01-31"]),
    ],
)
def test_other_intervals_count_whole_units(
    interval: str, crons: tuple[str, ...], expected: list[str]
) -> None:
    """Days, weeks and years are one plain cron expression and a step."""
    calendar = every(interval, "2026-01-31T09:00")

    assert calendar.crons == crons
    assert dates(calendar, 3) == expected


def test_sunday_is_weekday_zero() -> None:
    """A weekly plan anchored on a Sunday fires on Sundays."""
    assert dates(every("1 week", "2026-02-01T09:00"), 2) == ["2026-02-01", "2026-02-08"]


def test_anchor_seconds_make_six_fields() -> None:
    """An anchor with seconds keeps them, in the last of six fields."""
    monthly = every("1 month", "2026-01-15T09:30:07")

    assert monthly.crons == ("30 9 15 * * 7",)
    assert shown(monthly, 2)[1] == "2026-02-15T09:30:07+07:00"


def test_spring_gap_is_due_at_its_end_and_only_once() -> None:
    """A 02:30 plan is due at 03:00 on the night without 02:30, and at 02:30 again the next day."""
    assert shown(every("1 day", "2026-03-07T02:30", NEW_YORK), 4) == [
        "2026-03-07T02:30:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
        "2026-03-10T02:30:00-04:00",
    ]


@pytest.mark.parametrize("time", ["01:30", "02:30"])
def test_autumn_fold_is_due_once(time: str) -> None:
    """On the night that has 01:30 twice there is one due date, and at the first of the two."""
    due = every("1 day", f"2026-10-30T{time}", NEW_YORK).first(5)

    assert [start.date() for start in due] == [date(2026, 10, 30) + timedelta(n) for n in range(5)]
    assert due[2].isoformat() == f"2026-11-01T{time}:00{'-04:00' if time == '01:30' else '-05:00'}"
    assert due[3].isoformat() == f"2026-11-02T{time}:00-05:00"


def test_half_hour_daylight_saving_is_exact() -> None:
    """Lord Howe moves by thirty minutes: 02:10 becomes 02:30, not 03:00."""
    assert shown(every("1 day", "2026-10-03T02:10", LORD_HOWE), 3) == [
        "2026-10-03T02:10:00+10:30",
        "2026-10-04T02:30:00+11:00",
        "2026-10-05T02:10:00+11:00",
    ]


def test_a_skipped_day_is_due_at_the_first_instant_after_it() -> None:
    """Samoa had no 30 December 2011; that day's period starts when the 31st does."""
    assert shown(every("1 day", "2011-12-29T09:00", APIA), 4) == [
        "2011-12-29T09:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2011-12-31T09:00:00+14:00",
        "2012-01-01T09:00:00+14:00",
    ]


@pytest.mark.parametrize("anchor", ["2011-12-29T00:00", "2011-12-30T00:00", "2011-12-31T00:00"])
def test_midnights_that_are_one_instant_are_one_period(anchor: str) -> None:
    """The midnights of a skipped day and of the next are one instant, so one due date."""
    nightly = every("1 day", anchor, APIA)
    due = [nightly.due(index) for index in range(60)]

    assert due[0] == wall(anchor if "30" not in anchor else "2011-12-31T00:00").replace(tzinfo=APIA)
    assert all(later > earlier for earlier, later in pairwise(due))
    assert due[-1] - due[0] == timedelta(days=59)
    assert [nightly.index_at(start) for start in due] == list(range(60))


def test_due_is_in_utc_and_first_in_the_timezone() -> None:
    """Rows hold UTC instants; people read their own clock."""
    monthly = every("1 month", "2026-01-31T09:00")

    assert monthly.due(1).isoformat() == "2026-02-28T02:00:00+00:00"
    assert monthly.due(1).tzinfo is UTC
    assert monthly.first(2)[1].tzinfo is JAKARTA
    assert monthly.first(0) == []


def test_index_at_is_the_period_that_contains_the_instant() -> None:
    """A period contains its start and everything before the next start."""
    monthly = every("1 month", "2026-01-31T09:00")
    second = timedelta(seconds=1)

    assert monthly.index_at(monthly.due(0) - second) == -1
    assert monthly.index_at(monthly.due(0)) == 0
    assert monthly.index_at(monthly.due(1) - second) == 0
    assert monthly.index_at(monthly.due(1)) == 1
    assert monthly.index_at(monthly.due(500) + second) == 500


def test_equal_calendars_are_equal_values() -> None:
    """A calendar is a plain value: equal parts, equal calendar, usable as a key."""
    one, other = every("1 month", "2026-01-31T09:00"), every("1 month", "2026-01-31T09:00")

    assert one == other
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ("0 months", '"0 months" is out of range: write 1 to 120 months'),
        ("121 months", '"121 months" is out of range: write 1 to 120 months'),
        ("99 years", '"99 years" is out of range: write 1 to 10 years'),
        ("fortnight", '"fortnight" is not a duration: did you mean "2 weeks"?'),
        ("monthly", '"monthly" is not a duration: did you mean "1 month"?'),
        ("2 wks", '"2 wks" has no known unit: did you mean "2 weeks"?'),
    ],
)
def test_intervals_that_make_no_sense_say_what_would(interval: str, message: str) -> None:
    """A typo is answered with the range or the closest right form."""
    with pytest.raises(ScheduleError) as refused:
        every(interval, "2026-01-31T09:00")

    assert str(refused.value) == message


def test_intervals_shorter_than_a_day_are_refused() -> None:
    """A minute is no interval; as "1m" it may have been meant for a month, and that is asked."""
    with pytest.raises(ScheduleError, match=r'too short .* did you mean "1 month"'):
        every("1m", "2026-01-31T09:00")
    with pytest.raises(ScheduleError, match="a cron expression can be shorter"):
        every("12 hours", "2026-01-31T09:00")


@pytest.mark.parametrize(
    "anchor", ["2026-01-31T09:00+07:00", "2026-01-31T09:00:00.5", "1969-12-31T09:00", "2200-01-01"]
)
def test_anchors_are_naive_whole_seconds_of_this_age(anchor: str) -> None:
    """An aware or fractional anchor, or one from a mistyped year, is refused."""
    with pytest.raises(ScheduleError, match="an anchor is"):
        every("1 month", anchor)


@pytest.mark.parametrize("interval", ["1 day", "1 week", "120 months", "10 years"])
def test_indexes_out_of_the_calendar_are_refused(interval: str) -> None:
    """A negative index and a due date past the year 2999 are errors, not overflows."""
    calendar = every(interval, "2026-01-31T09:00")

    with pytest.raises(ScheduleError, match="a period index is 0 to"):
        calendar.due(-1)
    with pytest.raises(ScheduleError, match="a period index is 0 to"):
        calendar.due(10_000_001)
    with pytest.raises(ScheduleError, match="past the year 2999"):
        calendar.due(10_000_000)


def test_a_calendar_without_a_unit_takes_every_fire() -> None:
    """A hand-made calendar that steps over fires without a unit would be ambiguous: refused."""
    with pytest.raises(ScheduleError, match="takes every fire"):
        Calendar(("0 9 * * *",), 2, wall("2026-01-31T09:00"), JAKARTA)

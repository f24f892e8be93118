"""Durations: what people write, and what adding them does to a date."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from schedules.durations import Duration, Unit, add, parse_duration
from schedules.walltime import ScheduleError

JAKARTA = ZoneInfo("Asia/Jakarta")
NEW_YORK = ZoneInfo("America/New_York")

wall = datetime.fromisoformat


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2d", Duration(2, Unit.DAY)),
        ("5 d", Duration(5, Unit.DAY)),
        ("12h", Duration(12, Unit.HOUR)),
        ("30m", Duration(30, Unit.MINUTE)),
        ("10s", Duration(10, Unit.SECOND)),
        ("2w", Duration(2, Unit.WEEK)),
        ("7 days", Duration(7, Unit.DAY)),
        ("1 month", Duration(1, Unit.MONTH)),
        ("2 Weeks", Duration(2, Unit.WEEK)),
        (" 3  months ", Duration(3, Unit.MONTH)),
        ("1 year", Duration(1, Unit.YEAR)),
    ],
)
def test_short_and_long_forms_are_read(text: str, expected: Duration) -> None:
    """People write "2d" and "7 days"; both are the same kind of value."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "shown"), [("2w", "2 weeks"), ("1d", "1 day"), ("30m", "30 minutes")]
)
def test_durations_are_shown_in_long_form(text: str, shown: str) -> None:
    """What is printed can be read back."""
    assert str(parse_duration(text)) == shown
    assert parse_duration(shown) == parse_duration(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fortnight", '"fortnight" is not a duration: did you mean "2 weeks"?'),
        ("month", '"month" is not a duration: did you mean "1 month"?'),
        ("quarterly", '"quarterly" is not a duration: did you mean "3 months"?'),
        ("1 mnth", '"1 mnth" has no known unit: did you mean "1 month"?'),
        ("3 dyas", '"3 dyas" has no known unit: did you mean "3 days"?'),
        ("0d", '"0d" is out of range: write 1 to 3650 days'),
        ("3651 days", '"3651 days" is out of range: write 1 to 3650 days'),
    ],
)
def test_typos_are_answered_with_what_would_be_right(text: str, message: str) -> None:
    """The message names the closest duration, or the range."""
    with pytest.raises(ScheduleError) as refused:
        parse_duration(text)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    "text", ["", "7", "1.5 months", "1,5 months", "-1 day", "+1 day", "1 x", "x", "1e3d"]
)
def test_an_invalid_duration_is_refused_with_examples(text: str) -> None:
    """Fractions, signs and bare numbers are not guessed at."""
    with pytest.raises(ScheduleError, match="write a whole number and a unit"):
        parse_duration(text)


def test_huge_numbers_are_out_of_range() -> None:
    """Digits beyond what Python agrees to read are a range error like any other."""
    with pytest.raises(ScheduleError, match="is out of range: write 1 to 3650 days"):
        parse_duration("9" * 5000 + "d")


@pytest.mark.parametrize(
    ("anchor", "text", "expected"),
    [
        ("2026-01-31T09:00", "1 month", "2026-02-28T09:00"),
        ("2026-01-31T09:00", "3 months", "2026-04-30T09:00"),
        ("2026-01-31T09:00", "2 months", "2026-03-31T09:00"),
        ("2024-02-29T09:00", "1 year", "2025-02-28T09:00"),
        ("2024-02-29T09:00", "4 years", "2028-02-29T09:00"),
        ("2026-12-15T09:00", "1 month", "2027-01-15T09:00"),
        ("2026-01-31T09:00", "7 days", "2026-02-07T09:00"),
        ("2026-01-31T09:00", "2w", "2026-02-14T09:00"),
        ("2026-01-31T23:59:50", "20s", "2026-02-01T00:00:10"),
    ],
)
def test_adding_to_an_anchor_is_calendar_arithmetic(anchor: str, text: str, expected: str) -> None:
    """Months keep the day, or take the last one; a month is never thirty days."""
    assert wall(anchor) + parse_duration(text) == wall(expected)


def test_days_keep_the_wall_clock_over_daylight_saving() -> None:
    """Two days after a Saturday noon in New York is Monday noon, 47 hours later in spring."""
    noon = datetime(2026, 3, 7, 17, tzinfo=UTC)

    assert add(parse_duration("2d"), noon, NEW_YORK) == datetime(2026, 3, 9, 16, tzinfo=UTC)
    assert add(parse_duration("48h"), noon, NEW_YORK) == datetime(2026, 3, 9, 17, tzinfo=UTC)


def test_days_that_land_in_a_gap_are_placed_after_it() -> None:
    """A day after 02:30 on the eve of the spring gap is 03:00, the first instant after it."""
    eve = datetime(2026, 3, 7, 2, 30, tzinfo=NEW_YORK)

    assert add(parse_duration("1d"), eve, NEW_YORK) == datetime(2026, 3, 8, 7, tzinfo=UTC)


def test_the_result_is_in_utc_whatever_came_in() -> None:
    """Instants are compared and stored in UTC."""
    later = add(parse_duration("1h"), datetime(2026, 3, 7, 12, tzinfo=JAKARTA), JAKARTA)

    assert later.isoformat() == "2026-03-07T06:00:00+00:00"


def test_naive_instants_are_refused() -> None:
    """A time without an offset is no instant, for exact durations too."""
    for text in ("1h", "1d"):
        with pytest.raises(ScheduleError, match="needs an offset"):
            add(parse_duration(text), wall("2026-03-07T12:00"), JAKARTA)


def test_dates_past_the_year_2999_are_refused() -> None:
    """The calendar ends with an error, not with an overflow."""
    for text in ("10 years", "3650 days"):
        with pytest.raises(ScheduleError, match="past the year 2999"):
            wall("2995-01-01") + parse_duration(text)

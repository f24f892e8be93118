"""Cron expressions: what is refused when a plan is made, and when the others fire."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.calendar import Calendar, check_cron, next_fire
from schedules.walltime import ScheduleError

JAKARTA = ZoneInfo("Asia/Jakarta")
NEW_YORK = ZoneInfo("America/New_York")
APIA = ZoneInfo("Pacific/Apia")

wall = datetime.fromisoformat


def cron(expression: str, anchor: str, timezone: ZoneInfo = JAKARTA) -> Calendar:
    return Calendar.cron(expression, anchor=wall(anchor), timezone=timezone)


def shown(calendar: Calendar, count: int) -> list[str]:
    return [due.isoformat() for due in calendar.first(count)]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 0 30 2 *", '"0 0 30 2 *" never fires: its months have no such day'),
        ("0 0 31 4,6 *", '"0 0 31 4,6 *" never fires: its months have no such day'),
        ("0 0 1 * 1#5", '"0 0 1 * 1#5" never fires: no day fits'),
        ("60 * * * *", 'the minute "60" is invalid: write 0-59, a list or a range'),
        ("0 24 * * *", 'the hour "24" is invalid: write 0-23, a list or a range'),
        ("0 9 32 * *", 'the day "32" is invalid: write 1-31 or L, a list or a range'),
        ("0 9 1 13 *", 'the month "13" is invalid: write 1-12, a list or a range'),
        ("0 9 * * * 60", 'the second "60" is invalid: write 0-59, a list or a range'),
        ("-1 9 * * *", 'the minute "-1" is invalid: write 0-59, a list or a range'),
        ("*/0 9 * * *", 'the minute "*/0" is invalid: write 0-59, a list or a range'),
        ("1,,2 9 * * *", 'the minute "1,,2" is invalid: write 0-59, a list or a range'),
        ("٣ 9 * * *", 'the minute "٣" is invalid: write 0-59, a list or a range'),
        ("R 9 * * *", 'the minute "R" is random, and a due date is not: write a number'),
        ("H 9 * * *", 'the minute "H" is random, and a due date is not: write a number'),
        ("0 r(1-5) * * *", 'the hour "r(1-5)" is random, and a due date is not: write a number'),
        ("h/5 9 * * *", 'the minute "h/5" is random, and a due date is not: write a number'),
        ("0 9 5-5 * *", 'the day "5-5" is a range of one: write "5"'),
        ("0 9 * jan-JAN *", 'the month "jan-JAN" is a range of one: write "jan"'),
        ("@monthly", 'write "0 0 1 * *" instead of "@monthly"'),
        (" @Daily ", 'write "0 0 * * *" instead of "@Daily"'),
    ],
)
def test_crons_that_make_no_sense_are_refused(expression: str, message: str) -> None:
    """A plan is never made on a cron expression that is wrong, random, misread or never fires."""
    with pytest.raises(ScheduleError) as refused:
        check_cron(expression)

    assert str(refused.value) == message


@pytest.mark.parametrize("expression", ["", "0 9 * *", "0 9 * * * 0 2027", "monthly", "@monthy"])
def test_crons_have_five_or_six_fields(expression: str) -> None:
    """Another number of fields, a year field included, is refused with what the fields are."""
    with pytest.raises(ScheduleError, match=r"write 5 \(minute hour day month weekday\), or 6"):
        check_cron(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "0 9 * * 1-5",
        "0 10 25 * *",
        "*/15 8-17 * * mon,thu",
        "0 9 L * *",
        "0 9 29 2 *",
        "0 9 * mar-apr *",
        "0 9 * * 2#1",
        "0 9 * * L5",
        "* * * * * */10",
        "0 22-2 * * *",
    ],
)
def test_ordinary_crons_are_accepted(expression: str) -> None:
    """Lists, ranges, steps, names, L, # and seconds are what people write."""
    check_cron(expression)


def test_crons_are_kept_with_single_spaces() -> None:
    """However a person spaces the fields, one schedule is one text."""
    assert cron("  0  9 \t* * 1-5 ", "2026-01-31T00:00").crons == ("0 9 * * 1-5",)


def test_errors_stay_on_one_line() -> None:
    """An input with line breaks, or a very long one, is quoted on one line and shortened."""
    with pytest.raises(ScheduleError) as refused:
        check_cron("0 9\n* * " + "1," * 500)

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_period_zero_is_the_first_fire_not_before_the_anchor() -> None:
    """An anchor that is itself a fire counts; otherwise the next fire starts period 0."""
    assert shown(cron("0 9 1 * *", "2026-02-01T09:00"), 1) == ["2026-02-01T09:00:00+07:00"]
    assert shown(cron("0 9 1 * *", "2026-02-01T09:00:01"), 1) == ["2026-03-01T09:00:00+07:00"]
    assert shown(cron("0 9 1 * *", "2026-02-01T08:59:59"), 1) == ["2026-02-01T09:00:00+07:00"]


def test_seconds_are_the_last_of_six_fields() -> None:
    """Six fields fire by the second, also at an anchor that is a fire."""
    assert shown(cron("* * * * * */20", "2026-01-31T09:00:40"), 3) == [
        "2026-01-31T09:00:40+07:00",
        "2026-01-31T09:01:00+07:00",
        "2026-01-31T09:01:20+07:00",
    ]


def test_last_day_and_nth_weekday_are_what_croniter_says() -> None:
    """L is the last day of the month, 2#1 its first Tuesday, L5 its last Friday."""
    assert shown(cron("0 9 L * *", "2026-02-01T00:00"), 2) == [
        "2026-02-28T09:00:00+07:00",
        "2026-03-31T09:00:00+07:00",
    ]
    assert shown(cron("0 9 * * 2#1", "2026-02-01T00:00"), 1) == ["2026-02-03T09:00:00+07:00"]
    assert shown(cron("0 9 * * L5", "2026-02-01T00:00"), 1) == ["2026-02-27T09:00:00+07:00"]


def test_cron_at_half_past_two_has_one_due_date_on_both_nights() -> None:
    """02:30 in New York: at 03:00 in the spring gap, 02:30 again the next day, once in autumn."""
    assert shown(cron("30 2 * * *", "2026-03-07T00:00", NEW_YORK), 3) == [
        "2026-03-07T02:30:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]
    assert shown(cron("30 2 * * *", "2026-10-31T00:00", NEW_YORK), 3) == [
        "2026-10-31T02:30:00-04:00",
        "2026-11-01T02:30:00-05:00",
        "2026-11-02T02:30:00-05:00",
    ]


def test_cron_at_half_past_one_fires_once_in_the_fold() -> None:
    """01:30 comes twice on 1 November; only the first is a due date."""
    assert shown(cron("30 1 * * *", "2026-10-31T00:00", NEW_YORK), 3) == [
        "2026-10-31T01:30:00-04:00",
        "2026-11-01T01:30:00-04:00",
        "2026-11-02T01:30:00-05:00",
    ]


def test_fires_that_share_an_instant_are_one_period() -> None:
    """Four quarter-hours inside the gap, and the one at its end, are a single due date."""
    assert shown(cron("*/15 * * * *", "2026-03-08T01:30", NEW_YORK), 4) == [
        "2026-03-08T01:30:00-05:00",
        "2026-03-08T01:45:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-08T03:15:00-04:00",
    ]


def test_following_and_due_agree_across_marks() -> None:
    """Iterating and asking for a far index give the same periods, in either order."""
    far = cron("*/7 * * * *", "2026-03-01T00:00", NEW_YORK)
    walked = [far.due(0)]
    for index in range(400):
        walked.append(far.following(index, walked[-1]))

    assert far.due(400) == walked[400]
    assert [far.due(index) for index in (0, 1, 63, 64, 65, 399)] == [
        walked[index] for index in (0, 1, 63, 64, 65, 399)
    ]
    assert [far.index_at(walked[index]) for index in (0, 64, 130, 399)] == [0, 64, 130, 399]
    assert far.index_at(walked[0] - timedelta(seconds=1)) == -1


def test_next_fire_is_strictly_later() -> None:
    """The next payday at ten, asked at ten on a payday, is next month's."""
    payday = datetime(2026, 2, 25, 3, tzinfo=UTC)

    assert next_fire("0 10 25 * *", after=payday, timezone=JAKARTA) == datetime(
        2026, 3, 25, 3, tzinfo=UTC
    )
    assert next_fire("0 10 25 * *", after=payday - timedelta(microseconds=1), timezone=JAKARTA) == (
        payday
    )


def test_next_fire_in_the_second_pass_of_a_fold_leaves_the_fold() -> None:
    """At the second 01:15 the fires of the fold are over, even 01:30; the next is at 02:00."""
    second_pass = datetime(2026, 11, 1, 6, 15, tzinfo=UTC)

    assert next_fire("*/30 * * * *", after=second_pass, timezone=NEW_YORK) == datetime(
        2026, 11, 1, 7, tzinfo=UTC
    )


def test_next_fire_over_a_skipped_day_is_its_end() -> None:
    """A fire on Samoa's missing 30 December 2011 happens at the first instant of the 31st."""
    before = datetime(2011, 12, 30, 9, 59, tzinfo=UTC)

    assert next_fire("0 9 30 12 *", after=before, timezone=APIA) == before + timedelta(minutes=1)


def test_fires_past_the_year_2999_are_refused() -> None:
    """The calendar ends with an error, not with an overflow."""
    with pytest.raises(ScheduleError, match="past the year 2999"):
        next_fire("0 9 1 1 *", after=datetime(2999, 6, 1, tzinfo=UTC), timezone=JAKARTA)

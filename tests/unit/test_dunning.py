"""Dunning steps: the dates after a first failure, and when the steps are used up."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from billing.domain import dunning
from billing.domain.dunning import DEFAULT_RETRIES, ladder, parse_steps, step_at, step_deadline
from billing.domain.errors import InvalidValue

JAKARTA = ZoneInfo("Asia/Jakarta")
NEW_YORK = ZoneInfo("America/New_York")
DAY = timedelta(days=1)
DEFAULT = ("2d", "5d", "7d", "7d")
FIRST = datetime(2026, 1, 31, 9, tzinfo=JAKARTA).astimezone(UTC)
PAYDAY = "0 10 25 * *"


def _written(instants: list[datetime], zone: ZoneInfo) -> list[str]:
    return [f"{instant.astimezone(zone):%Y-%m-%d %H:%M %z}" for instant in instants]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("2d 5d 7d 7d", DEFAULT),
        ("  2d   5d\t7d 7d ", DEFAULT),
        ("2d; 5d; 7d 7d;", DEFAULT),
        ("1d 1d 1d 1d 1d", ("1d",) * 5),
        ("1d 1d 1d 1d 1d 1d", ("1d",) * 6),
        ("12h", ("12h",)),
        (PAYDAY, (PAYDAY,)),
        ("2d; 0 10 25 * *", ("2d", PAYDAY)),
        ("2d 5d; 0 10 25 * *; 7d", ("2d", "5d", PAYDAY, "7d")),
        ("0 10 25 * *; 0 10 L * *", (PAYDAY, "0 10 L * *")),
        ("*/5 * * * * 30", ("*/5 * * * * 30",)),
        ("", ()),
        (" ; ;", ()),
        (" ".join(["1d"] * dunning.STEPS_MAX), ("1d",) * 24),
    ],
)
def test_policies_are_waits_cron_expressions_or_both(text: str, steps: tuple[str, ...]) -> None:
    """Blanks separate waits; with a cron expression among them, semicolons separate steps."""
    assert parse_steps(text) == steps


def test_default_policy_is_the_designs() -> None:
    """`2d 5d 7d 7d`, counted from step to step."""
    assert parse_steps(DEFAULT_RETRIES) == DEFAULT


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("2x", '"2x"'),
        ("2", '"2"'),
        ("0d", '"0d"'),
        ("-2d", '"-2d"'),
        ("1.5d", '"1.5d"'),
        ("2d, 5d", '"2d,"'),
        ("2d 0 10 25 * *", '"0"'),
        ("0 0 30 2 *", "never fires"),
        ("99 10 25 * *", 'the minute "99" is invalid'),
        ("2d; 0 10 25 *", '"0"'),
        ("2d;\n5 quarks", '"5"'),
        ("2d\u20285x", '"5x"'),
        (" ".join(["1d"] * 25), "at most 24 steps, not 25"),
    ],
)
def test_an_invalid_policy_is_refused_in_one_line(text: str, about: str) -> None:
    """The line says which step is wrong; mistakes about the format come with an example."""
    with pytest.raises(InvalidValue) as refused:
        parse_steps(text)

    said = str(refused.value)
    assert said.startswith("retries: ")
    assert about in said
    assert len(said.splitlines()) == 1
    if "at most" not in said:
        assert '"2d; 0 10 25 * *"' in said


def test_default_ladder_is_day_2_7_14_and_21() -> None:
    """Each step is counted from the one before, at the time of day of the first failure."""
    assert _written(ladder(DEFAULT, FIRST, JAKARTA), JAKARTA) == [
        "2026-02-02 09:00 +0700",
        "2026-02-07 09:00 +0700",
        "2026-02-14 09:00 +0700",
        "2026-02-21 09:00 +0700",
    ]


def test_ladder_keeps_the_wall_clock_over_a_change_of_clocks() -> None:
    """Nine in the morning stays nine in the morning, before and after the spring gap."""
    first = datetime(2026, 3, 5, 9, tzinfo=NEW_YORK).astimezone(UTC)

    assert _written(ladder(DEFAULT, first, NEW_YORK), NEW_YORK) == [
        "2026-03-07 09:00 -0500",
        "2026-03-12 09:00 -0400",
        "2026-03-19 09:00 -0400",
        "2026-03-26 09:00 -0400",
    ]


def test_step_into_a_spring_gap_is_the_first_instant_after_it() -> None:
    """02:30 does not exist that night; the step is not lost and not a day late."""
    first = datetime(2026, 3, 6, 2, 30, tzinfo=NEW_YORK).astimezone(UTC)

    assert _written(ladder(["2d"], first, NEW_YORK), NEW_YORK) == ["2026-03-08 03:00 -0400"]


def test_step_into_an_autumn_fold_happens_once() -> None:
    """01:30 happens twice that night; the step is the first of the two."""
    first = datetime(2026, 10, 30, 1, 30, tzinfo=NEW_YORK).astimezone(UTC)

    assert _written(ladder(["2d", "1d"], first, NEW_YORK), NEW_YORK) == [
        "2026-11-01 01:30 -0400",
        "2026-11-02 01:30 -0500",
    ]


def test_days_are_the_plans_local_days() -> None:
    """The same failure has other dates in a zone that changes its clocks, and only there."""
    first = datetime(2026, 3, 5, 14, tzinfo=UTC)

    assert ladder(["5d"], first, JAKARTA) == [first + 5 * DAY]
    assert ladder(["5d"], first, NEW_YORK) == [first + 5 * DAY - timedelta(hours=1)]


def test_payday_steps_are_read_in_the_plans_zone() -> None:
    """Ten o'clock on the 25th is Jakarta's ten o'clock, and the next wait counts from there."""
    steps = parse_steps("2d; 0 10 25 * *; 7d")

    assert _written(ladder(steps, FIRST, JAKARTA), JAKARTA) == [
        "2026-02-02 09:00 +0700",
        "2026-02-25 10:00 +0700",
        "2026-03-04 10:00 +0700",
    ]


def test_payday_on_the_very_instant_of_a_failure_is_the_next_one() -> None:
    """A step is strictly later: a charge that fails on payday waits for the next payday."""
    payday = datetime(2026, 2, 25, 10, tzinfo=JAKARTA)

    assert step_at([PAYDAY], 1, payday, payday, JAKARTA) == payday.replace(month=3)


@pytest.mark.parametrize(
    ("spent", "day"), [(0, 2), (1, 2), (2, 7), (3, 14), (4, 21), (5, None), (99, None)]
)
def test_each_scheduled_decline_leads_to_the_next_step(spent: int, day: int | None) -> None:
    """The decline on the due date leads to day 2; the one on day 21 leads to giving up."""
    now = [FIRST, FIRST, *ladder(DEFAULT, FIRST, JAKARTA)][min(spent, 5)]

    due = step_at(DEFAULT, spent, FIRST, now, JAKARTA)

    assert due == (None if day is None else FIRST + day * DAY)


def test_without_steps_the_first_decline_is_the_last() -> None:
    """A plan may have no retries."""
    assert step_at((), 1, FIRST, FIRST, JAKARTA) is None
    assert step_at((), 0, FIRST, FIRST, JAKARTA) is None


def test_a_late_decline_does_not_shift_the_ladder() -> None:
    """The charge of day 2 was declined some hours late: the next step is still day 7."""
    late = FIRST + 2 * DAY + timedelta(hours=9)

    assert step_at(DEFAULT, 2, FIRST, late, JAKARTA) == FIRST + 7 * DAY


def test_a_step_on_another_ladder_waits_no_longer_than_it_says() -> None:
    """The first two declines came within a day: the third one's seven days count from there."""
    assert step_at(("7d", "7d", "7d"), 3, FIRST, FIRST + DAY, JAKARTA) == FIRST + 8 * DAY
    payday = [PAYDAY] * 3
    assert step_at(payday, 3, FIRST, FIRST + DAY, JAKARTA) == datetime(
        2026, 2, 25, 10, tzinfo=JAKARTA
    )


@pytest.mark.parametrize("since", [timedelta(0), timedelta(seconds=1), 30 * DAY])
def test_a_step_that_has_gone_by_is_waited_for_from_now(since: timedelta) -> None:
    """After an outage the wait starts again: never at once, and never two steps together."""
    now = FIRST + 7 * DAY + since

    assert step_at(DEFAULT, 2, FIRST, now, JAKARTA) == now + 5 * DAY


def test_a_payday_that_has_gone_by_is_the_next_payday() -> None:
    """A cron step that was missed is waited for until it fires again."""
    now = datetime(2026, 4, 1, 12, tzinfo=JAKARTA)

    due = step_at([PAYDAY], 1, FIRST, now, JAKARTA)

    assert due == datetime(2026, 4, 25, 10, tzinfo=JAKARTA)


@pytest.mark.parametrize(
    ("spent", "now_day", "until_day"), [(0, 2, 7), (1, 2, 7), (2, 7, 14), (3, 14, 21)]
)
def test_a_short_wallet_is_waited_for_until_the_next_step(
    spent: int, now_day: int, until_day: int
) -> None:
    """A step that is due may wait for money until the following one would begin."""
    now = FIRST + now_day * DAY

    assert step_deadline(DEFAULT, spent, FIRST, now, JAKARTA) == FIRST + until_day * DAY


def test_the_last_step_waits_a_day_for_a_short_wallet() -> None:
    """After the last step there is none to wait for; a day later it counts as missed."""
    now = FIRST + 21 * DAY

    assert step_deadline(DEFAULT, 4, FIRST, now, JAKARTA) == now + DAY


def test_deadline_after_an_outage_is_in_the_future() -> None:
    """An elapsed deadline would count a step that was not waited for."""
    now = FIRST + 30 * DAY

    assert step_deadline(DEFAULT, 1, FIRST, now, JAKARTA) == now + 5 * DAY


def test_technical_and_unsent_waits_are_short_and_grow() -> None:
    """Technical retries wait shorter than a step, and unsent ones repeat the longest wait."""
    assert list(dunning.TECHNICAL_WAITS) == sorted(dunning.TECHNICAL_WAITS)
    assert dunning.TECHNICAL_WAITS[-1] < DAY
    assert [dunning.wait_after_unsent(n) for n in (1, 2, 3, 4, 5, 1_000)] == [
        timedelta(minutes=1),
        timedelta(minutes=5),
        timedelta(minutes=15),
        timedelta(hours=1),
        timedelta(hours=1),
        timedelta(hours=1),
    ]

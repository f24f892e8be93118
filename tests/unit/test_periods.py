"""From a plan's terms to due dates: the start of a subscription, its resume, and unused days."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from billing.domain.backdating import beginning as began
from billing.domain.money import prorate
from billing.domain.periods import (
    Beginning,
    begin,
    calendar,
    changed,
    next_start,
    unused_days,
    wished_start,
    zone,
)
from billing.domain.subscription import CatchUp, SubscriptionStatus
from billing.domain.terms import PlanTerms

JAKARTA = ZoneInfo("Asia/Jakarta")
NEW_YORK = ZoneInfo("America/New_York")

wall = datetime.fromisoformat


class Words(NamedTuple):
    """A plan's words for its due dates."""

    every: str | None = "1 month"
    cron: str | None = None
    timezone: str = "Asia/Jakarta"
    trial: str | None = None


class Asked(NamedTuple):
    """The start that was asked for."""

    start_at: datetime | None
    start_local: datetime | None
    timezone: str


def _plan(**changes: Any) -> Words:
    return Words()._replace(**changes)


def _jakarta(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=JAKARTA)


def test_monthly_plan_has_the_31st_where_there_is_one() -> None:
    """The calendar of an interval comes from its anchor, not from the period before."""
    dates = calendar(_plan(), wall("2026-01-31T09:00"))

    assert dates.due(1) == _jakarta("2026-02-28T09:00")
    assert dates.due(2) == _jakarta("2026-03-31T09:00")


def test_cron_plan_fires_in_its_own_zone() -> None:
    """`0 9 1 * *` is nine o'clock of the plan, and period 0 is the first at or after the anchor."""
    words = _plan(every=None, cron="0 9 1 * *", timezone="America/New_York")
    dates = calendar(words, wall("2026-03-02T00:00"))

    assert dates.due(0) == datetime(2026, 4, 1, 9, tzinfo=NEW_YORK)


def test_zones_are_read_once() -> None:
    """Thousands of subscriptions share a handful of zones."""
    assert zone("Asia/Jakarta") is zone("Asia/Jakarta")
    assert zone("Asia/Jakarta").key == "Asia/Jakarta"


def test_subscription_begins_at_once_without_a_trial() -> None:
    """Billing is in advance: period 0 is due at the start, whose local time is the anchor."""
    start = datetime(2026, 1, 31, 2, 0, 0, 123_456, tzinfo=UTC)

    beginning = begin(_plan(), start)

    assert beginning.status is SubscriptionStatus.ACTIVE
    assert beginning.anchor_local == wall("2026-01-31T09:00")
    assert beginning.next_due_at == datetime(2026, 1, 31, 2, tzinfo=UTC)


def test_trial_moves_the_anchor_and_the_first_due_date_to_its_end() -> None:
    """Seven days from the 24th make the 31st the anchor of all periods."""
    beginning = begin(_plan(trial="7 days"), _jakarta("2026-01-24T09:00"))

    assert beginning.status is SubscriptionStatus.TRIALING
    assert beginning.anchor_local == wall("2026-01-31T09:00")
    assert beginning.next_due_at == _jakarta("2026-01-31T09:00")


def test_trial_over_a_change_of_clocks_keeps_the_time_of_day() -> None:
    """A trial is local calendar days too."""
    start = datetime(2026, 3, 5, 9, tzinfo=NEW_YORK)

    beginning = begin(_plan(trial="7 days", timezone="America/New_York"), start)

    assert beginning.anchor_local == wall("2026-03-12T09:00")
    assert beginning.next_due_at - start.astimezone(UTC) == timedelta(days=7, hours=-1)


def test_cron_subscription_begins_at_the_first_fire() -> None:
    """A subscription of the 10th to a plan of the 25th is first billed on the 25th."""
    beginning = begin(_plan(every=None, cron="0 10 25 * *"), _jakarta("2026-02-10T08:00"))

    assert beginning.anchor_local == wall("2026-02-10T08:00")
    assert beginning.next_due_at == _jakarta("2026-02-25T10:00")


def test_late_evening_in_utc_is_the_next_local_day() -> None:
    """The anchor's day is the customer's day: 18:00 UTC on the 30th is the 31st in Jakarta."""
    beginning = begin(_plan(), datetime(2026, 1, 30, 18, tzinfo=UTC))

    assert beginning.anchor_local == wall("2026-01-31T01:00")


@pytest.mark.parametrize(
    ("now", "index", "start"),
    [
        ("2026-01-01T00:00", 0, "2026-01-31T09:00"),
        ("2026-01-31T08:59:59", 0, "2026-01-31T09:00"),
        ("2026-01-31T09:00", 1, "2026-02-28T09:00"),
        ("2026-02-28T08:59:59", 1, "2026-02-28T09:00"),
        ("2026-02-28T09:00", 2, "2026-03-31T09:00"),
        ("2027-02-15T12:00", 13, "2027-02-28T09:00"),
    ],
)
def test_next_start_is_strictly_ahead(now: str, index: int, start: str) -> None:
    """After a pause billing continues with the first period that begins later than now."""
    found = next_start(_plan(), wall("2026-01-31T09:00"), _jakarta(now))

    assert found == (index, _jakarta(start))


@pytest.mark.parametrize(
    ("now", "unused"),
    [
        ("2026-03-31T09:00", 30),
        ("2026-04-01T08:59", 29),
        ("2026-04-01T23:59", 29),
        ("2026-04-15T12:00", 15),
        ("2026-04-29T12:00", 1),
        ("2026-04-30T00:00", 0),
        ("2026-04-30T08:59", 0),
        ("2026-03-01T09:00", 30),
        ("2026-06-01T09:00", 0),
    ],
)
def test_unused_days_are_counted_by_local_dates(now: str, unused: int) -> None:
    """A period's days are dates; before it all are unused, after it none, never more or fewer."""
    start, end = _jakarta("2026-03-31T09:00"), _jakarta("2026-04-30T09:00")

    assert unused_days(start, end, _jakarta(now), JAKARTA) == (unused, 30)


def test_days_are_the_plans_and_not_utcs() -> None:
    """At 23:00 UTC it is tomorrow in Jakarta already."""
    start, end = _jakarta("2026-04-01T00:00"), _jakarta("2026-05-01T00:00")
    now = datetime(2026, 4, 9, 23, tzinfo=UTC)

    assert unused_days(start, end, now, JAKARTA) == (21, 30)
    assert unused_days(start.astimezone(UTC), end.astimezone(UTC), now, JAKARTA) == (21, 30)


def test_a_change_of_clocks_makes_no_half_day() -> None:
    """March has 31 days in New York, although one of them has 23 hours."""
    start = datetime(2026, 3, 1, tzinfo=NEW_YORK)
    end = datetime(2026, 4, 1, tzinfo=NEW_YORK)

    assert unused_days(start, end, start + timedelta(hours=12), NEW_YORK) == (31, 31)
    assert unused_days(start, end, datetime(2026, 3, 9, tzinfo=NEW_YORK), NEW_YORK) == (23, 31)


def test_a_period_within_a_day_has_no_days_to_give_back() -> None:
    """Plans of a minute exist for demonstrations; their periods have no days to prorate."""
    start = _jakarta("2026-04-01T10:00")

    assert unused_days(start, start + timedelta(minutes=1), start, JAKARTA) == (0, 0)


def test_half_of_a_period_gives_back_half_of_the_price() -> None:
    """15 of April's 30 days of 10,000 rupiah are 5,000."""
    start, end = _jakarta("2026-04-01T09:00"), _jakarta("2026-05-01T09:00")

    unused, whole = unused_days(start, end, _jakarta("2026-04-16T12:00"), JAKARTA)

    assert (unused, whole) == (15, 30)
    assert prorate(10_000, unused, whole) == 5_000


START = datetime(2026, 3, 1, 7, 30, tzinfo=UTC)
GAP = "2026-03-08T02:30"
"""A Sunday in New York whose clocks went from 02:00 to 03:00."""


def test_an_anchor_inside_a_spring_gap_keeps_its_time_of_day() -> None:
    """03:00 replaces 02:30 on that day only; the next day is at 02:30 again."""
    plan = _plan(every="1 day", timezone="America/New_York")

    beginning = begin(plan, wall(GAP))

    assert beginning.anchor_local == wall(GAP)
    assert beginning.next_due_at == datetime(2026, 3, 8, 7, tzinfo=UTC)
    dates = calendar(plan, beginning.anchor_local).first(3)
    assert [f"{due:%d %H:%M}" for due in dates] == ["08 03:00", "09 02:30", "10 02:30"]


def test_a_trial_that_ends_inside_a_spring_gap_keeps_its_time_of_day() -> None:
    """The end of a trial becomes the anchor, as a start does; it is moved for its own day only."""
    plan = _plan(timezone="America/New_York", trial="7 days")

    for start in (wall("2026-03-01T02:30"), datetime(2026, 3, 1, 2, 30, tzinfo=NEW_YORK)):
        assert begin(plan, start).anchor_local == wall(GAP)
    # An exact length is no wall time: 168 hours after 02:30 the clocks show 03:30.
    exact = begin(plan._replace(trial="168h"), wall("2026-03-01T02:30"))
    assert exact.anchor_local == wall("2026-03-08T03:30")


def test_a_change_of_dates_inside_a_spring_gap_keeps_the_time_of_day() -> None:
    """New due dates begin where a period of the old ones would have, at the hour it has."""
    plan = _plan(every="1 day", timezone="America/New_York")
    terms = PlanTerms(plan.every, None, plan.timezone, None, CatchUp.ALL)
    begins = Beginning(SubscriptionStatus.ACTIVE, wall("2026-03-01T02:30"), START)
    row = began(terms, begins, 1)._replace(
        next_plan_code="W", next_quantity=1, next_amount=1, next_period_index=7
    )
    start = calendar(plan, row.anchor_local).due(7)

    weekly = changed(row, plan._replace(every="1 week"), start)
    elsewhere = changed(row, plan._replace(every="1 week", timezone="UTC"), start)

    assert weekly["anchor_local"] == wall(GAP)
    assert elsewhere["anchor_local"] == wall("2026-03-08T07:00")


def test_a_wished_start_is_kept_as_it_was_written() -> None:
    """While it waits for a wallet; in another timezone the instant is what was promised."""
    row = Asked(datetime(2026, 3, 8, 7, tzinfo=UTC), wall(GAP), "America/New_York")

    assert wished_start(row) == wall(GAP)
    assert wished_start(row._replace(timezone="UTC")) == row.start_at
    assert wished_start(row._replace(start_local=None)) == row.start_at
    assert wished_start(Asked(None, None, "UTC")) is None

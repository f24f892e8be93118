"""Periods: compute a subscription's due dates from its plan, and where it begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from billing.domain.intents import Place
from billing.domain.pricing import Line
from billing.domain.subscription import SubscriptionStatus
from billing.domain.terms import (
    Ahead,
    Anchored,
    Carried,
    Columns,
    Offer,
    Pausable,
    Schedule,
    Timeline,
    Wished,
    is_last_cycle,
)
from schedules.calendar import Calendar
from schedules.durations import add_to_wall, parse_duration
from schedules.walltime import asked_wall, local_anchor, place


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of a plan; its name was checked when the plan was made."""
    return ZoneInfo(name)


def calendar(plan: Schedule, anchor_local: datetime) -> Calendar:
    """Build the calendar of a subscription to a plan."""
    return _calendar(plan.every, plan.cron, plan.timezone, anchor_local)


def dates_of(row: Anchored) -> Calendar:
    """Build the calendar of a subscription that has begun."""
    assert row.anchor_local is not None  # noqa: S101 - every begun subscription has one
    return _calendar(row.every, row.cron, row.timezone, row.anchor_local)


@lru_cache(maxsize=4_096)
def _calendar(every: str | None, cron: str | None, timezone: str, anchor: datetime) -> Calendar:
    """Build a calendar once for all subscriptions that share a plan and an anchor."""
    place = zone(timezone)
    if every is not None:
        return Calendar.every(every, anchor=anchor, timezone=place)
    return Calendar.cron(str(cron), anchor=anchor, timezone=place)


@lru_cache(maxsize=16_384)
def following(dates: Calendar, index: int, start: datetime) -> datetime:
    """Return the end of period `index`, which begins at `start`; the result is cached."""
    return dates.following(index, start)


def same_schedule(one: Schedule, other: Schedule) -> bool:
    """Whether two plans have the same due dates from the same anchor."""
    if one.timezone != other.timezone or one.cron != other.cron:
        return False
    if one.every is None or other.every is None:
        return one.every == other.every
    return parse_duration(one.every) == parse_duration(other.every)


class Changed(Columns, total=False):
    """The columns of a subscription that a change of plan or the opening of a period writes."""

    plan_code: str
    quantity: int
    amount: int
    anchor_local: datetime
    anchor_index: int
    extras: Sequence[Line]


def planned_terms(row: Ahead) -> Carried:
    """Return the terms after a subscription's planned change."""
    plan_code, quantity, amount = row.next_plan_code, row.next_quantity, row.next_amount
    assert plan_code and quantity and amount  # noqa: S101, PT018 - a CHECK ensures all or none
    return Carried(plan_code, quantity, amount)


def changed(row: Timeline, plan: Schedule, start: datetime) -> Changed:
    """Return the columns of a subscription whose planned change takes effect at a period's `start`.

    If the new plan has other due dates, `start` is the new anchor.
    """
    terms = planned_terms(row)
    columns = Changed(
        plan_code=terms.plan_code,
        quantity=terms.quantity,
        amount=terms.amount,
        change_at=None,
        change_period=None,
        next_plan_code=None,
        next_quantity=None,
        next_amount=None,
    )
    if not same_schedule(row, plan):
        columns["anchor_local"] = anchor_from(row, plan, start)
        columns["anchor_index"] = row.next_period_index
    return columns


def turns(row: Timeline, start: datetime) -> bool:
    """Whether a planned change takes effect with the period that begins at `start`."""
    return row.change_at is not None and start >= row.change_at


def change_is_late(row: Timeline, now: datetime) -> bool:
    """Whether a planned change is overdue: its period has begun and is not opened yet."""
    due, change_at = row.next_due_at, row.change_at
    return due is not None and due <= now and change_at is not None and change_at <= now


def goes_by(row: Timeline, end: datetime, now: datetime) -> bool:
    """Whether a plan with catch-up `latest` skips a period that ends at `end`.

    The last period before a pause or a cancellation counts as the latest one.
    """
    return end <= now and not any(
        at is not None and end >= at for at in (row.cancel_at, row.pause_at)
    )


def anchor_from(row: Anchored, plan: Schedule, start: datetime) -> datetime:
    """Return the anchor of new due dates that begin at `start`, the start of an old period."""
    if row.timezone != plan.timezone:
        return local_anchor(start, zone(plan.timezone))
    return dates_of(row).wall(start)


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a subscription begins once its customer has a wallet."""

    status: SubscriptionStatus
    anchor_local: datetime
    next_due_at: datetime


def begin(plan: Offer, start: datetime) -> Beginning:
    """Compute the anchor and period 0 of a subscription that starts at `start`.

    `start` is an instant, or a naive wall time in the plan's timezone. A trial moves both to its
    end. The anchor keeps the requested wall time, even inside a spring gap.
    """
    timezone = zone(plan.timezone)
    status, anchor = SubscriptionStatus.ACTIVE, asked_wall(start, timezone)
    if plan.trial is not None:
        anchor = add_to_wall(parse_duration(plan.trial), anchor, timezone)
        status = SubscriptionStatus.TRIALING
    return Beginning(status, anchor, calendar(plan, anchor).due(0))


def wished_start(row: Wished) -> datetime | None:
    """Return the requested start, as `begin` takes it; None: it starts with the wallet."""
    at, wall = row.start_at, row.start_local
    # After a change to a plan with another timezone, the instant is what was promised.
    kept = wall is not None and place(wall, zone(row.timezone)) == at
    return wall if kept else at


def next_start(plan: Schedule, anchor_local: datetime, now: datetime) -> tuple[int, datetime]:
    """Find the first period that begins after `now`: its index and its start."""
    dates = calendar(plan, anchor_local)
    index = dates.index_at(now) + 1
    return index, dates.due(index)


def next_period(row: Pausable, now: datetime) -> Place:
    """Find the first period of a subscription that begins after `now`."""
    due = row.next_due_at
    if due is not None and due > now:
        return Place(row.next_period_index, due)
    assert row.anchor_local is not None  # noqa: S101 - every begun subscription has one
    index, start = next_start(row, row.anchor_local, now)
    if row.trial_left_seconds is not None:
        return Place(row.next_period_index, start)  # the remaining trial comes first
    return Place(index + row.anchor_index, start)


def following_place(row: Anchored, place: Place) -> Place:
    """Return the period after one that begins at `place`; `row` has the anchor of both."""
    end = dates_of(row).following(place.period - row.anchor_index, place.at)
    return Place(place.period + 1, end)


def changed_end(row: Anchored, plan: Schedule, first: Place) -> Place:
    """Return the end of a planned change's first period, which begins at `first` under `plan`."""
    if same_schedule(row, plan):
        return following_place(row, first)
    end = calendar(plan, anchor_from(row, plan, first.at)).due(1)
    return Place(first.period + 1, end)


@dataclass(frozen=True, slots=True)
class Return:
    """Where a subscription resumes after a pause, and which periods were skipped.

    `place` is None when its term is over. `anchor_local` is set only after a pause in a trial,
    whose remaining time continues at the resume.
    """

    place: Place | None
    next_index: int
    anchor_local: datetime | None = None


def resumed(row: Pausable, at: datetime) -> Return:
    """Compute the next period of a subscription that resumes at `at`.

    That is the first period that begins at `at` or later, so that a pause which ends exactly on a
    due date skips nothing.
    """
    index = row.next_period_index
    if row.trial_left_seconds is not None:
        anchor = local_anchor(at + timedelta(seconds=row.trial_left_seconds), zone_of(row))
        start = calendar(row, anchor).due(0)
        return Return(Place(index, start), index, anchor)
    dates = dates_of(row)
    ahead = dates.index_at(at)
    if ahead < 0 or dates.due(ahead) < at:
        ahead += 1
    index = max(index, ahead + row.anchor_index)
    if row.cycles is not None and is_last_cycle(row.cycles, index):
        return Return(None, max(row.cycles, row.next_period_index))
    return Return(Place(index, dates.due(index - row.anchor_index)), index)


def begun_from_now(row: Pausable, at: datetime) -> Return:
    """Compute the next period of a subscription that resumes with a new anchor at `at`."""
    returned = resumed(row, at)
    if returned.place is None:
        return returned
    begins = at.replace(microsecond=0)
    place = Place(returned.next_index, begins)
    return Return(place, returned.next_index, local_anchor(begins, zone_of(row)))


def zone_of(row: Schedule) -> ZoneInfo:
    """Return the time zone of a subscription's plan."""
    return zone(row.timezone)


def unused_days(start: datetime, end: datetime, now: datetime, place: ZoneInfo) -> tuple[int, int]:
    """Return how many of a period's local days are unused at `now`, and how many it has.

    The local days before the day of `now` are used; the day of `now` is not, at any time of day.
    """
    first, last = start.astimezone(place).date(), end.astimezone(place).date()
    whole = (last - first).days
    used = min(max((now.astimezone(place).date() - first).days, 0), whole)
    return whole - used, whole


def day_ends_at(now: datetime, place: ZoneInfo) -> datetime:
    """Return the instant at which the local day of `now` ends; until then unused days are equal."""
    tomorrow = now.astimezone(place).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, place).astimezone(UTC)

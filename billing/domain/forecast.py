"""Forecast: compute what will be charged, with the arithmetic of opening, without charging.

Assumes that every charge succeeds and that nothing is changed in the meantime.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from billing.domain import pricing
from billing.domain.periods import changed, dates_of, goes_by, planned_terms, resumed
from billing.domain.periods import turns as is_turning
from billing.domain.pricing import Line
from billing.domain.subscription import CatchUp, SubscriptionStatus
from billing.domain.terms import PlanTerms, is_last_cycle


class Reason(StrEnum):
    """Why a charge will be made."""

    RENEWAL = "renewal"
    TRIAL_END = "trial_end"
    FIRST = "first"
    RETRY = "retry"
    CHANGE = "change"


class WalletThen(StrEnum):
    """Whether the customer's wallet can be charged at an instant ahead."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    NONE = "none"


def wallet_then(expires_at: datetime | None, due_at: datetime) -> WalletThen:
    """Return the state of a wallet at a charge; it is `expiring` when its token ends before."""
    if expires_at is None:
        return WalletThen.NONE
    return WalletThen.ACTIVE if expires_at > due_at else WalletThen.EXPIRING


@dataclass(frozen=True, slots=True)
class Expected:
    """A charge that will be made. `amount` is whole rupiah."""

    due_at: datetime
    amount: int
    reason: Reason
    period_index: int


class Upcoming(NamedTuple):
    """A subscription that has begun, with everything that decides about its next periods."""

    status: SubscriptionStatus
    amount: int
    anchor_local: datetime
    anchor_index: int
    next_period_index: int
    next_due_at: datetime | None
    first_paid_at: datetime | None
    cancel_at: datetime | None
    pause_at: datetime | None
    resume_at: datetime | None
    trial_left_seconds: int | None
    change_at: datetime | None
    next_plan_code: str | None
    next_quantity: int | None
    next_amount: int | None
    extras: Sequence[Line]
    coupon_code: str | None
    coupon_left: int | None
    coupon_percent: int | None
    coupon_rupiah: int | None
    every: str | None
    cron: str | None
    timezone: str
    cycles: int | None
    catch_up: CatchUp


def periods(
    row: Upcoming, now: datetime, until: datetime, next_plan: PlanTerms | None = None
) -> Iterator[Expected]:
    """Yield the charges of one subscription's next periods that are due by `until`, in order.

    `next_plan` is the plan after its planned change. An overdue period is due now. The customer's
    credit is not counted.
    """
    if row.next_due_at is None and row.status == SubscriptionStatus.PAUSED:
        row = _returned(row)
    index, start = row.next_period_index, row.next_due_at
    first = row.first_paid_at is None and index == 0
    while start is not None and start <= until:
        if row.pause_at is not None and start >= row.pause_at:
            row = _returned(_paused(row._replace(next_period_index=index, next_due_at=start)))
            index, start = row.next_period_index, row.next_due_at
            continue
        turning = next_plan if is_turning(row, start) else None
        if turning is not None and is_last_cycle(turning.cycles, index):
            turning = None  # the term of the next plan would be complete by then
        if turning is not None:
            row = _turned(row, turning, index, start)
        if _is_over(row, index, start):
            return
        end = dates_of(row).following(index - row.anchor_index, start)
        if row.catch_up != CatchUp.LATEST or not goes_by(row, end, now):
            price = pricing.price(row)
            reason = Reason.CHANGE if turning is not None else _reason(row, first=first)
            yield Expected(max(start, now), price.amount, reason, index)
            first = False
            row = _after(row)
        if row.status == SubscriptionStatus.TRIALING:
            row = row._replace(status=SubscriptionStatus.ACTIVE)
        index, start = index + 1, end


def _paused(row: Upcoming) -> Upcoming:
    """Return the subscription after its planned pause has begun."""
    left = None
    if row.status is SubscriptionStatus.TRIALING and row.next_due_at and row.pause_at:
        left = max(int((row.next_due_at - row.pause_at).total_seconds()), 0)
    return row._replace(pause_at=None, next_due_at=None, trial_left_seconds=left)


def _returned(row: Upcoming) -> Upcoming:
    """Return a paused subscription after it resumed; nothing is due without a date for that."""
    at = row.resume_at
    if at is None or (row.cancel_at is not None and row.cancel_at <= at):
        return row._replace(next_due_at=None)
    returned = resumed(row, at)
    there = row._replace(
        resume_at=None,
        next_period_index=returned.next_index,
        next_due_at=None if returned.place is None else returned.place.at,
        status=SubscriptionStatus.ACTIVE,
    )
    if returned.anchor_local is None:
        return there
    return there._replace(
        anchor_local=returned.anchor_local,
        anchor_index=returned.next_index,
        status=SubscriptionStatus.TRIALING,
        trial_left_seconds=None,
    )


def _turned(row: Upcoming, plan: PlanTerms, index: int, start: datetime) -> Upcoming:
    """Return the subscription after its planned change to a plan."""
    here = row._replace(next_period_index=index)
    new = changed(here, plan, start)
    return here._replace(
        **plan._asdict(),
        amount=planned_terms(row).amount,
        anchor_local=new.get("anchor_local", row.anchor_local),
        anchor_index=new.get("anchor_index", row.anchor_index),
        change_at=None,
        next_plan_code=None,
        next_quantity=None,
        next_amount=None,
    )


def _after(row: Upcoming) -> Upcoming:
    """Return the subscription after one more invoice."""
    if row.coupon_left is None and not row.extras:
        return row
    left = pricing.cycles_left(row.coupon_left)
    code = None if left == 0 else row.coupon_code
    return row._replace(extras=[], coupon_left=left or None, coupon_code=code)


def _is_over(row: Upcoming, index: int, start: datetime) -> bool:
    if row.cancel_at is not None and start >= row.cancel_at:
        return True
    return is_last_cycle(row.cycles, index)


def _reason(row: Upcoming, *, first: bool) -> Reason:
    if not first:
        return Reason.RENEWAL
    trial = row.status is SubscriptionStatus.TRIALING
    return Reason.TRIAL_END if trial else Reason.FIRST

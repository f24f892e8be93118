"""Backdating: what a start or a due date in the past would charge at once.

This is the forecast's arithmetic up to the present moment. The number of periods is limited,
because a mistyped year on an hourly plan must be refused quickly. This module knows no customer, so
it does not count a credit balance, which may cover the first invoices.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from billing.domain import forecast, pricing
from billing.domain.errors import InvalidValue
from billing.domain.forecast import Upcoming
from billing.domain.instants import spoken
from billing.domain.money import rupiah
from billing.domain.periods import Beginning, dates_of
from billing.domain.pricing import Line
from billing.domain.subscription import CatchUp, SubscriptionStatus
from billing.domain.terms import PlanTerms, is_last_cycle

COUNTED_MAX = 10_000
"""The largest number of periods that is counted; a higher count would not help an operator."""


class AtOnce(NamedTuple):
    """The number of periods that have begun, and the total of their invoices in whole rupiah."""

    periods: int
    amount: int
    more: bool = False
    """Whether there are more periods than were counted."""

    def __str__(self) -> str:
        periods = "1 period" if self.periods == 1 else f"{self.periods:,} periods"
        return f"more than {periods}, {rupiah(self.amount)}" if self.more else (
            f"{periods}, {rupiah(self.amount)}"
        )  # fmt: skip

    def shown(self) -> dict[str, object]:
        """Return it with the names that programs read."""
        return {"periods_count": self.periods, "amount": self.amount, "more": self.more}

    def plus(self, other: "AtOnce") -> "AtOnce":
        """Add two results."""
        both = self.periods + other.periods, self.amount + other.amount
        return AtOnce(*both, more=self.more or other.more)


NOTHING = AtOnce(0, 0)


def beginning(
    plan: PlanTerms,
    begins: Beginning,
    amount: int,
    *,
    extras: Sequence[Line] = (),
    coupon: pricing.Reduction | None = None,
    anchor_index: int = 0,
) -> Upcoming:
    """Build the subscription that would begin, in the form that the forecast and `at_once` read."""
    return Upcoming(
        status=begins.status,
        anchor_local=begins.anchor_local,
        anchor_index=anchor_index,
        next_period_index=0,
        next_due_at=begins.next_due_at,
        first_paid_at=None,
        amount=amount,
        extras=list(extras),
        coupon_code=coupon.code if coupon else None,
        coupon_percent=coupon.percent if coupon else None,
        coupon_rupiah=coupon.rupiah if coupon else None,
        coupon_left=coupon.cycles if coupon else None,
        cancel_at=None,
        pause_at=None,
        resume_at=None,
        trial_left_seconds=None,
        change_at=None,
        next_plan_code=None,
        next_quantity=None,
        next_amount=None,
        **plan._asdict(),
    )


def at_once(row: Upcoming, now: datetime) -> AtOnce:
    """Compute what is charged for periods that have begun by `now`; `row` comes from `beginning`.

    A plan whose catch-up is `latest` bills only the current period.
    """
    if row.next_due_at is None or row.next_due_at > now:
        return NOTHING
    if row.catch_up == CatchUp.LATEST:
        return _latest(row, row.next_due_at, now)
    due = list(islice(forecast.periods(row, now, now), COUNTED_MAX + 1))
    counted = due[:COUNTED_MAX]
    total = sum(expected.amount for expected in counted)
    return AtOnce(len(counted), total, more=len(due) > COUNTED_MAX)


def _latest(row: Upcoming, start: datetime, now: datetime) -> AtOnce:
    dates, index = dates_of(row), row.next_period_index
    for _ in range(COUNTED_MAX):
        if is_last_cycle(row.cycles, index):
            return NOTHING
        end = dates.following(index - row.anchor_index, start)
        if end > now:
            break
        index, start = index + 1, end
    return AtOnce(1, pricing.price(row).amount)


def refusal(
    what: str, at: datetime, now: datetime, days_max: int, would: AtOnce
) -> InvalidValue | None:  # fmt: skip
    """Return the refusal of a date that is not backdated; None when it is within the limit."""
    if at >= now - timedelta(days=days_max):
        return None
    days = (now - at).days
    return InvalidValue(
        f"{what} {spoken(at)} is {days:,} days ago: {would} would be charged at once;"
        f" at most {days_max} days are accepted (BILLING_BACKDATE_DAYS_MAX), more only with"
        " `backdate`",
        field=what,
        hint="--backdate (task: backdate=true)",
    )


def imported(plan: PlanTerms, anchor: datetime, due: datetime, index: int, amount: int) -> Upcoming:
    """Build an imported subscription; period `index`, counted from `anchor`, starts at `due`."""
    begins = Beginning(SubscriptionStatus.ACTIVE, anchor, due)
    return beginning(plan, begins, amount, anchor_index=-index)

"""What will be charged: the same arithmetic as opening, without doing it.

It assumes that every charge succeeds and that nobody changes anything meanwhile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from billing.domain import pricing
from billing.domain.periods import calendar, changed, next_start
from billing.domain.subscription import CatchUp, SubscriptionStatus


class Reason(StrEnum):
    """Why a charge will be made."""

    RENEWAL = "renewal"
    TRIAL_END = "trial_end"
    FIRST = "first"
    RETRY = "retry"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Expected:
    """A charge that will be made. `amount` is whole rupiah."""

    due_at: datetime
    amount: int
    reason: Reason
    period_index: int


def periods(row: Mapping[Any, Any], now: datetime, until: datetime) -> Iterator[Expected]:
    """The charges of one subscription's coming periods that are due by `until`, in order.

    `row` has what opening has, the subscription's pause and end, and the plan that it goes to as
    `next_…`. What is overdue is due now. The customer's balance is not counted.
    """
    index, start = row["next_period_index"], row["next_due_at"]
    if start is None and row["status"] == SubscriptionStatus.PAUSED and row["resume_at"]:
        following, start = next_start(row, row["anchor_local"], max(row["resume_at"], now))
        index = max(following + row["anchor_index"], index)
    dates = calendar(row, row["anchor_local"]) if start is not None else None
    first = row["first_paid_at"] is None and index == 0
    while start is not None and dates is not None and start <= until:
        turns = row["change_at"] is not None and start >= row["change_at"]
        if turns:
            row = _turned(row, index, start)
            dates = calendar(row, row["anchor_local"])
        if _is_over(row, index, start):
            return
        end = dates.following(index - row["anchor_index"], start)
        if row["catch_up"] != CatchUp.LATEST or end > now:
            price = pricing.price(row)
            reason = Reason.CHANGE if turns else _reason(row, first=first)
            yield Expected(max(start, now), price.amount, reason, index)
            first = False
            row = _after(row)
        index, start = index + 1, end


_OF_A_PLAN = ("every", "cron", "timezone", "cycles", "catch_up")


def _turned(row: Mapping[Any, Any], index: int, start: datetime) -> Mapping[Any, Any]:
    """The subscription after its planned change."""
    plan = {name: row[f"next_{name}"] for name in _OF_A_PLAN}
    here = {**row, "next_period_index": index}
    return {**here, **plan, **changed(here, plan, start)}


def _after(row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The subscription after one more invoice."""
    if row["coupon_left"] is None and not row["extras"]:
        return row
    left = pricing.cycles_left(row["coupon_left"])
    ended = left == 0
    code = None if ended else row["coupon_code"]
    return {**row, "extras": [], "coupon_left": left or None, "coupon_code": code}


def _is_over(row: Mapping[Any, Any], index: int, start: datetime) -> bool:
    ends = [at for at in (row["cancel_at"], row["pause_at"]) if at is not None]
    return any(start >= at for at in ends) or (row["cycles"] is not None and index >= row["cycles"])


def _reason(row: Mapping[Any, Any], *, first: bool) -> Reason:
    if not first:
        return Reason.RENEWAL
    trial = row["status"] == SubscriptionStatus.TRIALING
    return Reason.TRIAL_END if trial else Reason.FIRST

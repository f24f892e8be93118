"""What will be charged: the same arithmetic as opening, without doing it.

It assumes that every charge succeeds and that nobody changes anything meanwhile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from billing.domain import pricing
from billing.domain.periods import calendar, changed, goes_by, resumed
from billing.domain.periods import turns as is_turning
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
    if row["next_due_at"] is None and row["status"] == SubscriptionStatus.PAUSED:
        row = _returned(row)
    index, start = row["next_period_index"], row["next_due_at"]
    first = row["first_paid_at"] is None and index == 0
    while start is not None and start <= until:
        if row["pause_at"] is not None and start >= row["pause_at"]:
            row = _returned(_paused({**row, "next_period_index": index, "next_due_at": start}))
            index, start = row["next_period_index"], row["next_due_at"]
            continue
        turns = is_turning(row, start) and not _is_too_late(row, index)
        if turns:
            row = _turned(row, index, start)
        if _is_over(row, index, start):
            return
        dates = calendar(row, row["anchor_local"])
        end = dates.following(index - row["anchor_index"], start)
        if row["catch_up"] != CatchUp.LATEST or not goes_by(row, end, now):
            price = pricing.price(row)
            reason = Reason.CHANGE if turns else _reason(row, first=first)
            yield Expected(max(start, now), price.amount, reason, index)
            first = False
            row = _after(row)
        if row["status"] == SubscriptionStatus.TRIALING:
            row = {**row, "status": SubscriptionStatus.ACTIVE}
        index, start = index + 1, end


def _paused(row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The subscription once its planned pause has begun."""
    trial = row["status"] == SubscriptionStatus.TRIALING
    left = max(int((row["next_due_at"] - row["pause_at"]).total_seconds()), 0) if trial else None
    return {**row, "pause_at": None, "next_due_at": None, "trial_left_seconds": left}


def _returned(row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A paused subscription once it goes on; without a date for that, nothing is due."""
    at = row["resume_at"]
    if at is None or (row["cancel_at"] is not None and row["cancel_at"] <= at):
        return {**row, "next_due_at": None}
    returned = resumed(row, at)
    there = {
        "resume_at": None,
        "next_period_index": returned.next_index,
        "next_due_at": None if returned.place is None else returned.place.at,
        "status": SubscriptionStatus.ACTIVE,
    }
    if returned.anchor_local is not None:
        trial = SubscriptionStatus.TRIALING
        there |= {"anchor_local": returned.anchor_local, "anchor_index": returned.next_index}
        there |= {"status": trial, "trial_left_seconds": None}
    return {**row, **there}


def _is_too_late(row: Mapping[Any, Any], index: int) -> bool:
    """Whether the term of the plan that it is to go to would be over."""
    return row["next_cycles"] is not None and index >= row["next_cycles"]


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
    if row["cancel_at"] is not None and start >= row["cancel_at"]:
        return True
    return row["cycles"] is not None and index >= row["cycles"]


def _reason(row: Mapping[Any, Any], *, first: bool) -> Reason:
    if not first:
        return Reason.RENEWAL
    trial = row["status"] == SubscriptionStatus.TRIALING
    return Reason.TRIAL_END if trial else Reason.FIRST

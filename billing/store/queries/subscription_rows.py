"""Rows of subscriptions as types; `subscriptions` has the statements that read and write them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from billing.domain.periods import Changed
from billing.domain.pricing import Line
from billing.domain.subscription import CatchUp, OnExhausted, RefundPolicy, SubscriptionStatus


class Subscription(NamedTuple):
    """A locked subscription, with the columns of its plan that are needed."""

    id: UUID
    customer_id: str
    plan_code: str
    status: SubscriptionStatus
    quantity: int
    amount: int
    period_amount: int | None
    coupon_code: str | None
    coupon_left: int | None
    extras: Sequence[Line]
    start_at: datetime | None
    start_local: datetime | None
    anchor_local: datetime | None
    anchor_index: int
    next_period_index: int
    next_due_at: datetime | None
    first_paid_at: datetime | None
    cancel_at: datetime | None
    cancel_period: int | None
    cancel_refund: RefundPolicy | None
    cancel_unlink: bool
    pause_at: datetime | None
    pause_period: int | None
    resume_at: datetime | None
    trial_left_seconds: int | None
    change_at: datetime | None
    change_period: int | None
    next_plan_code: str | None
    next_quantity: int | None
    next_amount: int | None
    reason: str | None
    ended_at: datetime | None
    held_at: datetime | None
    every: str | None
    cron: str | None
    timezone: str
    trial: str | None
    cycles: int | None
    catch_up: CatchUp
    on_exhausted: OnExhausted
    plan_amount: int

    @property
    def standing(self) -> "Standing":
        """Its status and the columns that are written with it."""
        return Standing(
            self.id, self.status, self.next_period_index, self.next_due_at, self.period_amount,
            self.trial_left_seconds, self.ended_at,
        )  # fmt: skip


class DueSubscription(NamedTuple):
    """A locked subscription whose next period may open, with its plan and its coupon."""

    id: UUID
    customer_id: str
    plan_code: str
    status: SubscriptionStatus
    amount: int
    anchor_local: datetime
    anchor_index: int
    next_period_index: int
    next_due_at: datetime
    cancel_at: datetime | None
    cancel_period: int | None
    pause_at: datetime | None
    resume_at: datetime | None
    change_at: datetime | None
    next_plan_code: str | None
    next_quantity: int | None
    next_amount: int | None
    extras: Sequence[Line] | None
    coupon_code: str | None
    coupon_left: int | None
    period_amount: int | None
    coupon_percent: int | None
    coupon_rupiah: int | None
    every: str | None
    cron: str | None
    timezone: str
    cycles: int | None
    catch_up: CatchUp


class NewSubscription(NamedTuple):
    """A subscription that waits for its customer's wallet."""

    id: UUID
    customer_id: str
    plan_code: str
    quantity: int
    amount: int
    extras: Sequence[Line]
    start_at: datetime | None
    start_local: datetime | None
    notice_for: int | None
    created_at: datetime


class Standing(NamedTuple):
    """A subscription's status, and the columns that are written only together with it."""

    key: UUID
    status: SubscriptionStatus
    next_period_index: int
    next_due_at: datetime | None
    period_amount: int | None
    trial_left_seconds: int | None
    ended_at: datetime | None


class Changes(Changed, total=False):
    """The columns of a subscription that may be written without its status."""

    next_due_at: datetime
    period_amount: int
    reason: str | None
    held_at: None
    held_why: None


class End(NamedTuple):
    """When a subscription ended, if it did, and its plan's time zone."""

    ended_at: datetime | None
    timezone: str


class LiveSubscription(NamedTuple):
    """A subscription that has not ended."""

    id: UUID
    status: SubscriptionStatus

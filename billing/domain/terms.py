"""Terms: the fields from which decisions compute the dates and prices of a subscription.

A row that has these fields, and possibly more, is accepted. This module does not know tables or
rules.
"""

from datetime import datetime
from typing import NamedTuple, Protocol, TypedDict
from uuid import UUID

from billing.domain.subscription import CatchUp, RefundPolicy


class PlanTerms(NamedTuple):
    """The fields of a plan that decide its subscriptions' due dates, and how many there are."""

    every: str | None
    cron: str | None
    timezone: str
    cycles: int | None
    catch_up: CatchUp


class Schedule(Protocol):
    """A plan's due dates: an interval or a cron expression, and a time zone."""

    @property
    def every(self) -> str | None:
        """An interval, such as "1 month"."""

    @property
    def cron(self) -> str | None:
        """A cron expression, when there is no interval."""

    @property
    def timezone(self) -> str:
        """The name of a time zone."""


class Offer(Schedule, Protocol):
    """A plan with which a subscription begins."""

    @property
    def trial(self) -> str | None:
        """The length of the trial, which is not billed."""


class Anchored(Schedule, Protocol):
    """A subscription whose due dates have an anchor, after it has begun."""

    @property
    def anchor_local(self) -> datetime | None:
        """The wall time from which periods are counted."""

    @property
    def anchor_index(self) -> int:
        """The index of the period that begins at the anchor."""


class Ahead(Protocol):
    """What is planned for the periods of a subscription."""

    @property
    def cancel_at(self) -> datetime | None:
        """The planned end."""

    @property
    def pause_at(self) -> datetime | None:
        """The planned pause."""

    @property
    def change_at(self) -> datetime | None:
        """When the planned change takes effect."""

    @property
    def next_plan_code(self) -> str | None:
        """The plan after the planned change."""

    @property
    def next_quantity(self) -> int | None:
        """The quantity after the planned change."""

    @property
    def next_amount(self) -> int | None:
        """The rupiah per period after the planned change."""


class Timeline(Anchored, Ahead, Protocol):
    """A subscription's next period, and what is planned for its periods."""

    @property
    def next_period_index(self) -> int:
        """The index of the first period that has no invoice."""

    @property
    def next_due_at(self) -> datetime | None:
        """When that period begins; None when none is to begin."""

    @property
    def cycles(self) -> int | None:
        """The number of periods; None: no limit."""


class Pausable(Timeline, Protocol):
    """A subscription that may resume after a pause."""

    @property
    def trial_left_seconds(self) -> int | None:
        """How many seconds of its trial were left when the pause began."""


class Wished(Protocol):
    """The requested start of a subscription."""

    @property
    def start_at(self) -> datetime | None:
        """The instant."""

    @property
    def start_local(self) -> datetime | None:
        """The wall time, when one was given: inside a spring gap the instant does not show it."""

    @property
    def timezone(self) -> str:
        """The name of the plan's time zone."""


class Intents(Ahead, Protocol):
    """Everything that is planned for a subscription."""

    @property
    def id(self) -> UUID:
        """The id of the subscription."""

    @property
    def cancel_period(self) -> int | None:
        """The period that begins at the cancellation, when that is at a period's end."""

    @property
    def resume_at(self) -> datetime | None:
        """The planned resume."""

    @property
    def coupon_left(self) -> int | None:
        """For how many invoices its coupon still counts; None: no limit, or no coupon."""


class OnAPlan(Intents, Protocol):
    """Everything that is planned for a subscription, and its current plan."""

    @property
    def plan_code(self) -> str:
        """Its plan."""


class Carried(NamedTuple):
    """What a planned change sets: a plan, a quantity, and the rupiah per period."""

    plan_code: str
    quantity: int
    amount: int


class Columns(TypedDict, total=False):
    """The columns of a subscription in which its intents are written."""

    cancel_at: datetime | None
    cancel_period: int | None
    cancel_refund: RefundPolicy | None
    cancel_unlink: bool
    pause_at: datetime | None
    pause_period: int | None
    resume_at: datetime | None
    change_at: datetime | None
    change_period: int | None
    next_plan_code: str | None
    next_quantity: int | None
    next_amount: int | None
    coupon_code: str | None
    coupon_left: int | None


NO_CANCEL: Columns = {
    "cancel_at": None, "cancel_period": None, "cancel_refund": None, "cancel_unlink": False,
}  # fmt: skip
NO_CHANGE: Columns = {
    "change_at": None, "change_period": None, "next_plan_code": None, "next_quantity": None,
    "next_amount": None,
}  # fmt: skip


def is_last_cycle(cycles: int | None, next_period_index: int) -> bool:
    """Whether a term of `cycles` periods has no further one; None: no limit."""
    return cycles is not None and next_period_index >= cycles

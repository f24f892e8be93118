"""The rows that `listing` reads; the names of their fields are those that users see.

Rows that belong to a plan include its `timezone`. A field that users do not see is `Hidden`.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.conservation import Part
from billing.domain.documents import Hidden, Inline, Wall
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Fault, Waiting
from billing.domain.refund import RefundPurpose, RefundStatus
from billing.domain.subscription import CatchUp, OnExhausted, RefundPolicy, SubscriptionStatus
from billing.domain.wallet import WalletStatus


class Plan(NamedTuple):
    """A plan."""

    code: str
    name: str
    amount: int
    every: str | None
    cron: str | None
    trial: str | None
    cycles: int | None
    notice: str | None
    retries: str
    retries_for: dict[str, str]
    declines_max: int | None
    attempts_max: int | None
    days_max: int | None
    on_exhausted: OnExhausted
    catch_up: CatchUp
    use_points: bool
    created_at: datetime
    archived_at: datetime | None
    timezone: str


class Customer(NamedTuple):
    """A customer, with its credit balance and how many live subscriptions it has."""

    id: str
    name: str
    phone: Hidden[str]
    email: Hidden[str]
    created_at: datetime
    erase_requested_at: datetime | None
    erased_at: datetime | None
    wallet_status: WalletStatus | None
    credit_balance: int
    subscriptions_count: int


class Wallet(NamedTuple):
    """A wallet without its token."""

    id: UUID
    customer: str
    status: WalletStatus
    masked_phone: str
    registration_url: str | None
    linked_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    closed_at: datetime | None
    unlink_requested_at: datetime | None
    next_attempt_at: datetime | None
    attempts_count: int
    cause: str | None
    held_at: datetime | None
    held_cause: str | None


class EndingWallet(NamedTuple):
    """A wallet whose token expires soon, and the live subscriptions that need it."""

    row: Inline[Wallet]
    subscriptions: list[UUID]


class Subscription(NamedTuple):
    """A subscription, with the status of its customer's wallet."""

    id: UUID
    customer: str
    plan: str
    status: SubscriptionStatus
    quantity: int
    amount: int
    next_due_at: datetime | None
    coupon: str | None
    coupon_left_count: int | None
    extras: list[dict[str, object]]
    change_at: datetime | None
    next_plan: str | None
    next_quantity: int | None
    next_amount: int | None
    pause_at: datetime | None
    resume_at: datetime | None
    cancel_at: datetime | None
    cancel_refund: RefundPolicy | None
    cancel_unlink: bool
    reason: str | None
    timezone: str
    anchor: Wall[datetime | None]
    start_at: datetime | None
    first_paid_at: datetime | None
    paid_through_at: datetime | None
    created_at: datetime
    ended_at: datetime | None
    held_at: datetime | None
    held_cause: str | None
    wallet_status: WalletStatus | None


class Invoice(NamedTuple):
    """An invoice, with what its dates are computed from."""

    id: UUID
    subscription: UUID
    customer: str
    period_index: int
    change_index: int
    period_start_at: datetime
    period_end_at: datetime
    plan: Hidden[str]  # the plan that it was opened for
    amount: int
    amount_from_credit: int
    lines: list[dict[str, object]]
    amount_refunded: int
    amount_refunding: int
    status: InvoiceStatus
    next_attempt_at: datetime | None
    blocked_on: Blocked | None
    shortfall: int | None
    cause: str | None
    first_failed_at: datetime | None
    created_at: datetime
    paid_at: datetime | None
    closed_at: datetime | None
    reopened_at: datetime | None
    held_at: datetime | None
    held_cause: str | None
    steps_short: Hidden[int]
    step_deadline_at: Hidden[datetime | None]
    planned_at: Hidden[datetime | None]
    retries: Hidden[str]
    retries_for: Hidden[dict[str, str]]
    declines_max: Hidden[int | None]
    attempts_max: Hidden[int | None]
    days_max: Hidden[int | None]
    timezone: Hidden[str]


class Charge(NamedTuple):
    """A charge with the split of its money."""

    id: UUID
    invoice: UUID
    subscription: UUID
    customer: str
    attempt: int
    gateway_number: str
    request_id: str
    first_payment: bool
    trigger: Trigger
    amount: int
    amount_refunded: int
    amount_refunding: int
    amount_credited: int
    amount_kept: int
    status: ChargeStatus
    surplus: bool
    fault: Fault | None
    code: str | None
    message: str | None
    waiting: Waiting | None
    sends_count: int
    status_queries_count: int
    created_at: datetime
    settled_at: datetime | None
    next_check_at: datetime | None
    parked_at: datetime | None
    resolved_at: datetime | None
    contradicted_at: datetime | None
    held_at: datetime | None
    held_cause: str | None
    confirming: Hidden[bool]  # a final answer was read, and a status query confirms it
    invoice_status: InvoiceStatus
    timezone: Hidden[str]


class Refund(NamedTuple):
    """A refund."""

    id: UUID
    charge: UUID
    invoice: UUID
    subscription: UUID
    customer: str
    amount: int
    status: RefundStatus
    purpose: RefundPurpose
    source: Part
    credit: int | None
    replaces: UUID | None
    reason: str
    code: str | None
    message: str | None
    attempts_count: int
    created_at: datetime
    settled_at: datetime | None
    next_attempt_at: datetime | None
    parked_at: datetime | None
    held_at: datetime | None
    held_cause: str | None
    sequence: Hidden[int]
    timezone: Hidden[str]


class Event(NamedTuple):
    """An event; one that concerns no subscription has no timezone of its own.

    The fields are those of the event feed. `position` is null until the feed has the event.
    """

    id: int
    position: int | None
    type: str
    timestamp: datetime
    actor: str
    reason: str | None
    customer: str | None
    subscription: UUID | None
    invoice: UUID | None
    charge: UUID | None
    details: dict[str, object]
    timezone: Hidden[str | None]


class LifeEvent(NamedTuple):
    """An event in the life of one subscription."""

    type: str
    timestamp: datetime
    actor: str
    reason: str | None
    invoice: UUID | None
    details: dict[str, object]


class Running(NamedTuple):
    """Subscriptions of a customer that have not ended; `total` of them in all."""

    ids: list[UUID]
    total: int


class Invoiced(NamedTuple):
    """How many invoices a subscription has, and the rupiah of those that are paid."""

    invoices: int
    amount: int


class Payment(NamedTuple):
    """An invoice, how often it was paid, and the split of that money."""

    id: UUID
    subscription: UUID
    customer: str
    period_index: int
    period_start_at: datetime
    amount: int
    status: InvoiceStatus
    payments_count: int
    surplus_count: int
    unresolved_count: int
    amount_taken: int
    amount_refunded: int
    amount_refunding: int
    amount_credited: int
    amount_kept: int
    unresolved_refunds_count: int
    timezone: Hidden[str]


class Totals(NamedTuple):
    """The sums of a customer's payments and refunds, and whether an invoice was paid twice.

    `kept_twice` says that more is kept of an invoice than one payment of it.
    """

    amount_taken: int
    amount_refunded: int
    amount_refunding: int
    amount_credited: int
    amount_kept: int
    unresolved_count: int
    unresolved_refunds_count: int
    charged_twice: bool
    kept_twice: bool

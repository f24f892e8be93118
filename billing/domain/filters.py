"""Filters: what each list can be limited to; a field that is None does not limit it.

`since` is inclusive and `until` exclusive; both concern the instant at which a row was created.
`counted` limits a list to the rows that a number of the console counts, at the instant `at`, or
from `at` to `before`; `fault` and `code` are those of a decline.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from billing.domain.charge import ChargeStatus
from billing.domain.invoice import InvoiceStatus
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus


class CatalogStatus(StrEnum):
    """Whether a plan or a coupon can still be used for something new."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class Counted(StrEnum):
    """Rows that a number of the console counts; some are those since, or due at, an instant."""

    DUE = "due"  # invoices to charge
    TO_OPEN = "to_open"  # subscriptions with a period that has begun
    RUNNING = "running"  # subscriptions that have not ended
    UNRESOLVED = "unresolved"  # charges
    UNSETTLED = "unsettled"  # refunds
    SUCCEEDED = "succeeded"  # charges, since an instant, or in a span
    DECLINED = "declined"
    UNSENT = "unsent"
    REFUNDED = "refunded"  # refunds, since an instant, or in a span
    FAILED = "failed"  # charges that were declined in a span, of one class and code
    GIVEN_UP = "given_up"  # invoices that became uncollectible in a span
    PERIODS_AHEAD = "periods_ahead"  # subscriptions whose next period is due in a span
    PERIODS_WAITING = "periods_waiting"  # the same, without a wallet by then
    INVOICES_AHEAD = "invoices_ahead"  # open invoices that will be charged in a span
    INVOICES_WAITING = "invoices_waiting"  # the same, without a wallet by then


OF_PERIODS_AHEAD = frozenset({Counted.PERIODS_AHEAD, Counted.PERIODS_WAITING})
OF_INVOICES_AHEAD = frozenset({Counted.INVOICES_AHEAD, Counted.INVOICES_WAITING})
"""Rows of the days ahead; their lists are in the order in which they are due."""


class PlanFilter(NamedTuple):
    """Plans."""

    status: CatalogStatus | None = None
    since: datetime | None = None
    until: datetime | None = None


class CouponFilter(NamedTuple):
    """Coupons."""

    status: CatalogStatus | None = None
    since: datetime | None = None
    until: datetime | None = None


class CustomerFilter(NamedTuple):
    """Customers."""

    since: datetime | None = None
    until: datetime | None = None


class WalletFilter(NamedTuple):
    """Wallets; `expires_before` limits to linked ones whose token expires before an instant."""

    customer: str | None = None
    status: WalletStatus | None = None
    since: datetime | None = None
    until: datetime | None = None
    expires_before: datetime | None = None


class SubscriptionFilter(NamedTuple):
    """Subscriptions, by their present plan."""

    customer: str | None = None
    plan: str | None = None
    status: SubscriptionStatus | None = None
    since: datetime | None = None
    until: datetime | None = None
    counted: Counted | None = None
    at: datetime | None = None
    before: datetime | None = None


class InvoiceFilter(NamedTuple):
    """Invoices; `plan` is the plan that they were opened for."""

    customer: str | None = None
    plan: str | None = None
    subscription: UUID | None = None
    status: InvoiceStatus | None = None
    since: datetime | None = None
    until: datetime | None = None
    counted: Counted | None = None
    at: datetime | None = None
    before: datetime | None = None


class ChargeFilter(NamedTuple):
    """Charges; `plan` is the plan of their invoice."""

    customer: str | None = None
    plan: str | None = None
    invoice: UUID | None = None
    status: ChargeStatus | None = None
    since: datetime | None = None
    until: datetime | None = None
    subscription: UUID | None = None
    counted: Counted | None = None
    at: datetime | None = None
    before: datetime | None = None
    fault: str | None = None
    code: str | None = None


class RefundFilter(NamedTuple):
    """Refunds; `plan` is the plan of their invoice."""

    customer: str | None = None
    plan: str | None = None
    status: RefundStatus | None = None
    since: datetime | None = None
    until: datetime | None = None
    invoice: UUID | None = None
    counted: Counted | None = None
    at: datetime | None = None
    before: datetime | None = None


class CreditFilter(NamedTuple):
    """Credits of one customer."""

    customer: str
    since: datetime | None = None
    until: datetime | None = None


class EventFilter(NamedTuple):
    """Events; those of a customer are its own, and those of its subscriptions."""

    customer: str | None = None
    subscription: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()

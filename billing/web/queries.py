"""Queries: the parameters of the lists; one that is not known is refused, and not ignored."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from billing.domain.charge import ChargeStatus
from billing.domain.filters import (
    CatalogStatus,
    ChargeFilter,
    CouponFilter,
    CreditFilter,
    CustomerFilter,
    InvoiceFilter,
    PlanFilter,
    RefundFilter,
    SubscriptionFilter,
    WalletFilter,
)
from billing.domain.invoice import InvoiceStatus
from billing.domain.paging import CURSOR_MAX, PAGE_MAX, Page
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.domain.webhooks import DeliveryStatus
from billing.web.bodies import Instant

Name = Annotated[str | None, Field(min_length=1, max_length=50)]


class Query(BaseModel):
    """One page of a list, and the span of instants at which its rows were created."""

    model_config = ConfigDict(extra="forbid")

    since: Instant | None = Field(None, alias="from", description="Created at or after")
    until: Instant | None = Field(None, alias="to", description="Created before")
    limit: int = Field(100, ge=1, le=PAGE_MAX)
    after: str | None = Field(
        None, max_length=CURSOR_MAX, description="The `next_cursor` of the page before"
    )

    @property
    def page(self) -> Page:
        """Return the page that is asked for."""
        return Page(self.limit, self.after)


class Events(BaseModel):
    """The event feed behind a position, of a customer, a subscription or some types."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, ge=0, le=2**63 - 1, description="0, or the last `next_cursor`")
    limit: int = Field(100, ge=1, le=PAGE_MAX)
    customer: Name = None
    subscription: UUID | None = None
    type: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default_factory=list,
        max_length=50,
        description="Only these types, such as `invoice.paid` or `invoice.*`; repeatable",
    )


class Upcoming(BaseModel):
    """How far to look ahead."""

    model_config = ConfigDict(extra="forbid")

    until: Instant | None = Field(None, alias="to", description="By default a year from now")


class Deliveries(BaseModel):
    """Webhook deliveries, by endpoint and status."""

    model_config = ConfigDict(extra="forbid")

    endpoint: UUID | None = None
    status: DeliveryStatus | None = None
    limit: int = Field(100, ge=1, le=PAGE_MAX)
    after: UUID | None = Field(None, description="The `next_cursor` of the page before")


class Plans(Query):
    """Plans, by status."""

    status: CatalogStatus | None = None

    @property
    def wanted(self) -> PlanFilter:
        """Return the filter."""
        return PlanFilter(self.status, self.since, self.until)


class Coupons(Query):
    """Coupons, by status."""

    status: CatalogStatus | None = None

    @property
    def wanted(self) -> CouponFilter:
        """Return the filter."""
        return CouponFilter(self.status, self.since, self.until)


class Customers(Query):
    """Customers."""

    @property
    def wanted(self) -> CustomerFilter:
        """Return the filter."""
        return CustomerFilter(self.since, self.until)


class Credits(Query):
    """The credits of a customer."""

    def wanted(self, customer: str) -> CreditFilter:
        """Return the filter."""
        return CreditFilter(customer, self.since, self.until)


class Wallets(Query):
    """Wallets, by customer, status and the end of their token."""

    customer: Name = None
    status: WalletStatus | None = None
    expires_before: Instant | None = Field(
        None, description="Only linked wallets whose token expires before this instant"
    )

    @property
    def wanted(self) -> WalletFilter:
        """Return the filter."""
        return WalletFilter(self.customer, self.status, self.since, self.until, self.expires_before)


class Subscriptions(Query):
    """Subscriptions, by customer, present plan and status."""

    customer: Name = None
    plan: Name = Field(None, description="Only those that are on this plan now")
    status: SubscriptionStatus | None = None

    @property
    def wanted(self) -> SubscriptionFilter:
        """Return the filter."""
        return SubscriptionFilter(self.customer, self.plan, self.status, self.since, self.until)


class Invoices(Query):
    """Invoices, by customer, the plan that they were opened for, subscription and status."""

    customer: Name = None
    plan: Name = None
    subscription: UUID | None = None
    status: InvoiceStatus | None = None

    @property
    def wanted(self) -> InvoiceFilter:
        """Return the filter."""
        return InvoiceFilter(
            self.customer, self.plan, self.subscription, self.status, self.since, self.until
        )


class Charges(Query):
    """Charges, by customer, subscription, the plan of their invoice, invoice and status."""

    customer: Name = None
    plan: Name = None
    invoice: UUID | None = None
    subscription: UUID | None = None
    status: ChargeStatus | None = None

    @property
    def wanted(self) -> ChargeFilter:
        """Return the filter."""
        return ChargeFilter(
            self.customer,
            self.plan,
            self.invoice,
            self.status,
            self.since,
            self.until,
            self.subscription,
        )


class Refunds(Query):
    """Refunds, by customer, the plan of their invoice, invoice and status."""

    customer: Name = None
    plan: Name = None
    invoice: UUID | None = None
    status: RefundStatus | None = None

    @property
    def wanted(self) -> RefundFilter:
        """Return the filter."""
        return RefundFilter(
            self.customer, self.plan, self.status, self.since, self.until, self.invoice
        )

"""Rows of invoices as types; `invoices` has the statements that read and write them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from billing.domain.invoice import InvoiceStatus
from billing.domain.pricing import Line


class Standing(NamedTuple):
    """An invoice's status, and its subscription, which must be locked."""

    subscription_id: UUID
    status: InvoiceStatus


class BilledDays(NamedTuple):
    """The amount of an invoice, and the days that it bills."""

    amount: int
    lines: Sequence[Line]
    period_start: datetime
    period_end: datetime


class GivenUp(NamedTuple):
    """An uncollectible invoice: the credit that it used, and the days that it bills."""

    id: UUID
    subscription_id: UUID
    customer_id: str
    credited: int
    period_start: datetime
    period_end: datetime
    closed_at: datetime


class Invoice(NamedTuple):
    """An invoice, with the columns that decide about its payment."""

    id: UUID
    subscription_id: UUID
    customer_id: str
    period_index: int
    change_index: int
    period_start: datetime
    period_end: datetime
    amount: int
    credited: int
    lines: Sequence[Line]
    status: InvoiceStatus
    next_attempt_at: datetime | None
    planned_at: datetime | None
    first_failed_at: datetime | None
    reopened_at: datetime | None

    @property
    def place(self) -> tuple[int, int]:
        """The order among the invoices of its subscription: the oldest is paid first."""
        return self.period_index, self.change_index


class PeriodInvoice(NamedTuple):
    """One of a period's invoices, and what is kept of it.

    That is the part of the amount that was paid, by charge or credit, and neither refunded nor
    credited to the customer nor returned to the credits that it used.
    """

    invoice: Invoice
    kept: int


class NewInvoice(NamedTuple):
    """An invoice that is opened: for a period, or for a change within one."""

    id: UUID
    subscription_id: UUID
    customer_id: str
    plan_code: str
    period_index: int
    change_index: int
    period_start: datetime
    period_end: datetime
    amount: int
    credited: int
    lines: Sequence[Line]
    status: InvoiceStatus
    paid_at: datetime | None
    closed_at: datetime | None
    next_attempt_at: datetime | None
    created_at: datetime

    @classmethod
    def of(
        cls,
        identity: UUID,
        place: tuple[UUID, str, str, int, int],
        days: tuple[datetime, datetime],
        cost: tuple[int, int, Sequence[Line]],
        now: datetime,
        *,
        waits: bool = False,
    ) -> Self:
        """Return an invoice that is paid when credit covers it, and due now otherwise.

        `place` is the subscription, its customer, the plan, the period and the change; `cost` is
        the amount, the part that credit covers, and the lines. With `waits` it has no date yet: an
        older invoice is unpaid, or a charge is unresolved, and it becomes due when that ends.
        """
        amount, credited, lines = cost
        free = credited == amount
        closed_at = now if free else None
        return cls(
            identity, *place, *days, amount, credited, lines,
            InvoiceStatus.PAID if free else InvoiceStatus.OPEN, closed_at, closed_at,
            next_attempt_at=None if free or waits else now, created_at=now,
        )  # fmt: skip


class Attempted(NamedTuple):
    """An invoice that is attempted again, and its subscription."""

    id: UUID
    subscription_id: UUID

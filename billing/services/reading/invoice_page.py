"""Invoice page: what became of an invoice, each attempt with what the gateway said, and its money.

Nothing is written, and the gateway is not called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.domain.charge import UNRESOLVED
from billing.domain.errors import NotKnown
from billing.domain.invoice import InvoiceStatus
from billing.domain.waiting import Brake
from billing.services.context import Context
from billing.services.reading import read_models, results
from billing.store.queries import listing_rows, pages, prospects

EVENTS_MAX = 100
"""Events of the invoice, the newest."""


@dataclass(frozen=True, slots=True)
class InvoicePage:
    """An invoice with its customer's name, its events, and which charges may be resolved.

    `decidable` says of an unresolved charge whether an operator may set its outcome, or from when.
    """

    invoice: results.Invoice
    plan: str
    customer_name: str
    events: Sequence[listing_rows.Event]
    is_cut: bool
    decidable: Mapping[UUID, bool | datetime]
    stopped_at: datetime | None
    brake: Brake | None

    @property
    def row(self) -> listing_rows.Invoice:
        """Return the invoice's own columns."""
        return self.invoice.row

    @property
    def amount_taken(self) -> int:
        """Return the rupiah of all charges that succeeded."""
        return sum(
            each.row.amount for each in self.invoice.charges if each.row.status == "succeeded"
        )

    @property
    def amount_kept(self) -> int:
        """Return the rupiah that are neither refunded, on their way back, nor credited."""
        return sum(each.row.amount_kept for each in self.invoice.charges)

    @property
    def amount_credited(self) -> int:
        """Return the rupiah of its charges that became the customer's credit."""
        return sum(each.row.amount_credited for each in self.invoice.charges)

    @property
    def amount_owed(self) -> int:
        """Return what the wallet still has to pay: nothing when it is not open."""
        owes = self.row.status is InvoiceStatus.OPEN
        return self.row.amount - self.row.amount_from_credit if owes else 0

    @property
    def payments(self) -> int:
        """Count the charges that succeeded."""
        return sum(each.row.status == "succeeded" for each in self.invoice.charges)

    @property
    def last_charge(self) -> listing_rows.Charge | None:
        """Return the newest charge."""
        return self.invoice.charges[-1].row if self.invoice.charges else None


def read(context: Context, invoice_id: UUID) -> InvoicePage:
    """Read the page of an invoice. Raises NotKnown."""
    with context.database.transaction() as connection:
        row = read_models.known_invoice(connection, invoice_id)
        [found] = read_models.with_charges(connection, [row], ways=False)
        about = pages.about(connection, row.subscription)
        events = pages.events_of_invoice(connection, row.subscription, invoice_id, EVENTS_MAX + 1)
        open_charges = [each.row.id for each in found.charges if each.row.status in UNRESOLVED]
        standings = prospects.charges(connection, open_charges) if open_charges else {}
        horizon = context.limits.not_found_horizon
        return InvoicePage(
            invoice=found,
            plan=row.plan,
            customer_name=about.customer_name,
            events=events[:EVENTS_MAX],
            is_cut=len(events) > EVENTS_MAX,
            decidable={key: each.decidable(horizon) for key, each in standings.items()},
            stopped_at=about.stopped_at,
            brake=about.brakes.first,
        )


def of_charge(context: Context, charge_id: UUID) -> UUID:
    """Return the invoice of a charge. Raises NotKnown."""
    with context.database.transaction() as connection:
        found = pages.invoice_of_charge(connection, charge_id)
    if found is None:
        raise NotKnown(f"no charge has the id {charge_id}")
    return found


def of_refund(context: Context, refund_id: UUID) -> UUID:
    """Return the invoice of a refund. Raises NotKnown."""
    with context.database.transaction() as connection:
        found = pages.invoice_of_refund(connection, refund_id)
    if found is None:
        raise NotKnown(f"no refund has the id {refund_id}")
    return found

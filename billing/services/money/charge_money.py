"""Charge money: the one place that moves a charge's money after it was collected.

Every return of money (refund, cancellation, downgrade, surplus, void, payout of a credit, declined
refund) uses this module. The caller holds the subscription's lock. What credit had covered is
returned to the same credits, so that credit without a payment is never paid out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import charge
from billing.domain import refund as refund_machine
from billing.domain.conservation import Part, Split, from_charge_first
from billing.domain.errors import IllegalMove, RefundTooLarge
from billing.domain.events import About, Actor, event
from billing.domain.money import rupiah
from billing.domain.refund import RefundMove, RefundPurpose, RefundStatus
from billing.store.queries import charges, conservation, events, refunds
from billing.store.queries.charges import Money
from billing.store.queries.conservation import CreditUse, NewRefund
from billing.store.queries.invoice_rows import Invoice
from billing.store.queries.refunds import LockedRefund

_REPLACED = RefundMove.DECLINE


class Taken(NamedTuple):
    """A succeeded charge, with the ids that an event about its money needs."""

    charge_id: UUID
    invoice_id: UUID
    subscription_id: UUID
    customer_id: str

    @classmethod
    def by(cls, paid: Money) -> "Taken":
        """Return the charge that took this money."""
        return cls(paid.id, paid.invoice_id, paid.subscription_id, paid.customer_id)

    @property
    def about(self) -> About:
        """Return the objects that an event about this charge concerns."""
        return {
            "customer_id": self.customer_id,
            "subscription_id": self.subscription_id,
            "invoice_id": self.invoice_id,
            "charge_id": self.charge_id,
        }


class InvoiceIds(NamedTuple):
    """An invoice, with the ids that an event about its money needs."""

    id: UUID
    subscription_id: UUID
    customer_id: str

    @classmethod
    def of(cls, invoice: Invoice) -> Self:
        """Return the ids of an invoice."""
        return cls(invoice.id, invoice.subscription_id, invoice.customer_id)


@dataclass(frozen=True, slots=True)
class Order:
    """A refund to request: how much, why, and from which credit if it is a payout.

    Its id is derived from `name`. Refunds of one charge that have the same name are the same one:
    after a restore, the gateway does not execute it a second time.
    """

    name: str
    amount: int
    purpose: RefundPurpose
    reason: str
    credit_id: int | None = None
    covers: frozenset[UUID] = frozenset()
    """The unreturned refunds that it replaces; when nothing is kept, it replaces all others too."""

    @property
    def source(self) -> Part:
        """Return the part of the charge from which it is taken."""
        return Part.KEPT if self.credit_id is None else Part.CREDITED


class CreditChange(NamedTuple):
    """A change of a credit: added, returned or paid out."""

    became: str
    credit_id: int
    amount: int
    why: str


def move(connection: Connection, charge_id: UUID, amount: int, source: Part, target: Part) -> Split:
    """Move rupiah of a succeeded charge from one part to another, and return the new parts.

    Raises IllegalMove or RefundTooLarge; then nothing is written.
    """
    split = conservation.lock_split(connection, charge_id)
    if split is None:
        raise IllegalMove(f"charge {charge_id} did not succeed; no money of it can be moved")
    after = split.move(amount, source, target)
    conservation.write_split(connection, charge_id, after)
    return after


def request_refund(
    connection: Connection, taken: Taken, order: Order, by: Actor, now: datetime
) -> UUID:
    """Reserve money of a charge for a refund, and insert the refund to be sent.

    It must return what the refunds that it replaces had to return. Raises IllegalMove or
    RefundTooLarge; then nothing is written.
    """
    after = _take_out(connection, taken.charge_id, order.amount, order.source, order.credit_id)
    replaced = _unreturned(connection, taken.charge_id, after, order.covers)
    purpose = replaced[0].purpose if replaced else order.purpose
    sequence = conservation.next_sequence(connection, taken.charge_id)
    refund_id = charge.refund_id(taken.charge_id, order.name)
    new = NewRefund(
        id=refund_id,
        charge_id=taken.charge_id,
        invoice_id=taken.invoice_id,
        customer_id=taken.customer_id,
        sequence=sequence,
        amount=order.amount,
        source=order.source,
        credit_id=order.credit_id,
        purpose=purpose,
        replaces=replaced[0].id if replaced else None,
        reason=order.reason,
        status=RefundStatus.REQUESTED,
        created_at=now,
        next_attempt_at=now,
    )
    conservation.add_refund(connection, new)
    _record(
        connection, "refund.requested", taken, by, now, refund=str(refund_id),
        amount=order.amount, why=order.reason, purpose=purpose, source=order.source,
    )  # fmt: skip
    _end_replaced(connection, taken, replaced, after, by, now, replaced_by=str(refund_id))
    return refund_id


def _unreturned(
    connection: Connection, charge_id: UUID, after: Split, covers: Collection[UUID] = ()
) -> list[LockedRefund]:
    """Return the unreturned refunds that end: those that are covered, or all if nothing is kept."""
    found = refunds.unreturned_of(connection, charge_id)
    return [row for row in found if row.id in covers or not after.kept]


def _end_replaced(
    connection: Connection, taken: Taken, replaced: Sequence[LockedRefund], after: Split, by: Actor,
    now: datetime, **data: object,
) -> None:  # fmt: skip
    """End unreturned refunds whose money left the charge by another way.

    When nothing is kept, an operator's refunds that are on their way carry a part of that money.
    They must return it too: one that is declined is unreturned, and not simply kept.
    """
    for row in replaced:
        refunds.change(connection, row.id, status=refund_machine.advance(row.status, _REPLACED))
        _record(connection, "refund.replaced", taken, by, now, refund=str(row.id), **data)
    if replaced and not after.kept:
        refunds.must_return(connection, taken.charge_id, replaced[0].purpose)


def ordered_before(
    connection: Connection, charge_id: UUID, name: str
) -> refunds.LockedRefund | None:
    """Return the refund that an order has made already, when its key was removed since."""
    return refunds.lock(connection, charge.refund_id(charge_id, name))


def _take_out(
    connection: Connection, charge_id: UUID, amount: int, source: Part, credit_id: int | None
) -> Split:
    after = move(connection, charge_id, amount, source, Part.REFUNDED)
    if credit_id is not None and not conservation.pay_out(connection, credit_id, amount):
        raise RefundTooLarge(f"less than {rupiah(amount)} of credit {credit_id} can be paid out")
    return after


def put_back(connection: Connection, refund: LockedRefund) -> Part:
    """Return the money of a declined refund to the part it came from; return that part."""
    move(connection, refund.charge_id, refund.amount, Part.REFUNDED, refund.source)
    if refund.credit_id is not None:
        conservation.undo_pay_out(connection, refund.credit_id, refund.amount)
    return refund.source


def take_out_again(connection: Connection, refund: LockedRefund, by: Actor, now: datetime) -> None:
    """Count a declined refund as refunded after all: its money was returned.

    When nothing is kept then, it replaces the other unreturned refunds of its charge. Raises
    RefundTooLarge when the money was used in the meantime; then nothing is written.
    """
    source, credit_id = refund.source, refund.credit_id
    with connection.begin_nested():
        after = _take_out(connection, refund.charge_id, refund.amount, source, credit_id)
    others = [r for r in _unreturned(connection, refund.charge_id, after) if r.id != refund.id]
    taken = Taken(refund.charge_id, refund.invoice_id, refund.subscription_id, refund.customer_id)
    _end_replaced(connection, taken, others, after, by, now, replaced_by=str(refund.id))


def credit(
    connection: Connection,
    invoice: InvoiceIds,
    amount: int,
    reason: str,
    by: Actor,
    now: datetime,
) -> None:
    """Move part of what paid an invoice to the customer's credit.

    Raises RefundTooLarge when less is kept of it.
    """
    paid = charges.paying(connection, invoice.id)
    kept = 0 if paid is None else paid.kept
    money, rest = from_charge_first(amount, kept)
    if paid is not None and money:
        taken = Taken.by(paid)
        after = move(connection, taken.charge_id, money, Part.KEPT, Part.CREDITED)
        made = conservation.add_credit(
            connection, taken.customer_id, money, reason, now,
            invoice_id=taken.invoice_id, charge_id=taken.charge_id,
        )  # fmt: skip
        changed = CreditChange("given", made, money, reason)
        record_credits(connection, [changed], by, now, taken.about)
        replaced = _unreturned(connection, taken.charge_id, after)
        _end_replaced(connection, taken, replaced, after, by, now, replaced_by_credit=made)
    if rest:
        return_to_credits(connection, invoice, rest, reason, by, now)


def refund(
    connection: Connection,
    invoice: InvoiceIds,
    amount: int,
    reason: str,
    by: Actor,
    now: datetime,
) -> int:
    """Refund part of a canceled subscription's invoice to the wallet and credits that paid it.

    Return the rupiah that the wallet gets; the remainder is returned to the credits that the
    invoice used. Raises RefundTooLarge when less is kept of it.
    """
    paid = charges.paying(connection, invoice.id)
    kept = 0 if paid is None else paid.kept
    money, rest = from_charge_first(amount, kept)
    if paid is not None and money:
        # The same name for every key and amount: a subscription ends once, and a cancellation that
        # is repeated after a restore must not return its unused days again.
        order = Order("cancel", money, RefundPurpose.CANCEL, reason)
        request_refund(connection, Taken.by(paid), order, by, now)
    if rest:
        return_to_credits(connection, invoice, rest, reason, by, now)
    return money


def return_to_credits(
    connection: Connection,
    invoice: InvoiceIds,
    amount: int,
    reason: str,
    by: Actor,
    now: datetime,
) -> None:
    """Return part of the credit that an invoice used, newest credit first.

    Raises RefundTooLarge when it used less.
    """
    left, back = amount, list[CreditUse]()
    for use in reversed(conservation.lock_uses(connection, invoice.id)):
        part = min(left, use.amount)
        left -= part
        if part:
            back.append(CreditUse(use.credit_id, part))
    if left:
        raise RefundTooLarge(
            f"{rupiah(amount - left)} of invoice {invoice.id} is left to be returned;"
            f" {rupiah(amount)} cannot be"
        )
    conservation.return_uses(connection, invoice.id, back)
    changes = [CreditChange("returned", use.credit_id, use.amount, reason) for use in back]
    about: About = {
        "customer_id": invoice.customer_id,
        "subscription_id": invoice.subscription_id,
        "invoice_id": invoice.id,
    }
    record_credits(connection, changes, by, now, about)


def give(
    connection: Connection, customer_id: str, amount: int, reason: str, by: Actor, now: datetime
) -> int:
    """Add credit that no payment made, and return its id."""
    made = conservation.add_credit(connection, customer_id, amount, reason, now)
    changed = CreditChange("given", made, amount, reason)
    record_credits(connection, [changed], by, now, {"customer_id": customer_id})
    return made


def record_credits(
    connection: Connection, changes: Sequence[CreditChange], by: Actor, now: datetime,
    about: About, **data: object,
) -> None:  # fmt: skip
    """Record events about changed credits; `about` has the ids that they name."""
    events.record(
        connection,
        [
            event(
                f"credit.{each.became}", at=now, by=by, credit=each.credit_id, amount=each.amount,
                why=each.why, data=data, **about,
            )
            for each in changes
        ],
    )  # fmt: skip


def _record(
    connection: Connection, kind: str, taken: Taken, by: Actor, now: datetime, **data: object
) -> None:
    events.record(connection, [event(kind, at=now, by=by, data=data, **taken.about)])

"""Compares our rows with the gateway's own ledger, charge by charge.

Each row that is missing on one side, or differs, is one line of the result.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from billing.domain.charge import ChargeStatus
from billing.domain.refund import RefundStatus
from billing.local.pretend import Json
from billing.services.context import Context
from billing.services.reading import live_view
from billing.store.queries.overview import BookedCharge, BookedRefund

NOT_COMPLETED = "not_completed"
"""A decline that means exactly this: the gateway has no such payment any more."""
MOVED = {"SUCCESS", "REFUNDED"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many payments and refunds both sides have, and every difference."""

    payments: int
    collected: int
    refunds: int
    refunded: int
    declined: int
    differences: Sequence[str]


class Entry(NamedTuple):
    """A payment or refund in the gateway's ledger; `number` is the payment's."""

    kind: str
    number: str
    request_id: str
    customer_id: str
    amount: int
    first_payment: bool
    status: str
    moves: int  # how often the money moved


def compare(context: Context, ledger: Iterable[Json]) -> Comparison:
    """Compare every charge and refund with the gateway's ledger."""
    rows = [Entry._make(row[name] for name in Entry._fields) for row in ledger]
    payments = [row for row in rows if row.kind == "payment"]
    refunds = [row for row in rows if row.kind == "refund" and row.status == "SUCCESS"]
    charges, ours = live_view.booked(context)
    paid = [row for row in payments if row.status in MOVED]
    differences = [*_payments(charges, payments), *_refunds(ours, refunds)]
    return Comparison(
        payments=len(paid),
        collected=sum(row.amount for row in paid),
        refunds=len(refunds),
        refunded=sum(row.amount for row in refunds),
        declined=sum(row.status == "FAILED" for row in payments),
        differences=differences,
    )


def _payments(charges: dict[str, BookedCharge], payments: Sequence[Entry]) -> Iterable[str]:
    theirs = {row.number: row for row in payments}
    for number, row in theirs.items():
        charge = charges.get(number)
        if charge is None:
            yield f"{number}: the gateway has it, we have no such charge"
            continue
        if row.moves > 1:
            yield f"{number}: the money moved {row.moves} times"
        moved = row.status in MOVED
        if moved != (charge.status is ChargeStatus.SUCCEEDED):
            yield f"{number}: the gateway says {row.status}, we say {charge.status}"
        pairs = (
            ("amount", row.amount, charge.amount),
            ("customer", row.customer_id, charge.customer_id),
            ("Request-Id", row.request_id, str(charge.id)),
            ("first_payment", row.first_payment, charge.first_payment),
        )
        for what, there, here in pairs:
            if there != here:
                yield f"{number}: {what} is {there} at the gateway, {here} with us"
    for number, charge in charges.items():
        claimed = charge.status is ChargeStatus.SUCCEEDED or (
            charge.status is ChargeStatus.DECLINED
            and not charge.never_received
            and charge.code != NOT_COMPLETED
        )
        if claimed and number not in theirs:
            yield f"{number}: we say {charge.status}, the gateway has never seen it"


def _refunds(ours: dict[str, BookedRefund], refunds: Sequence[Entry]) -> Iterable[str]:
    theirs = {row.request_id: row for row in refunds}
    for request_id, row in theirs.items():
        refund = ours.get(request_id)
        if refund is None or refund.status is not RefundStatus.SUCCEEDED:
            yield f"refund {request_id}: paid by the gateway, {refund and refund.status} with us"
        elif (refund.amount, refund.gateway_number) != (row.amount, row.number):
            yield f"refund {request_id}: {row.amount} of {row.number} at the gateway"
    for request_id, refund in ours.items():
        if refund.status is RefundStatus.SUCCEEDED and request_id not in theirs:
            yield f"refund {request_id}: paid with us, unknown to the gateway"

"""Compares our rows with the gateway's own ledger, charge by charge.

Each row that is missing on one side, or differs, is one line of the result.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.services.context import Context
from billing.services.reading import live_view

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


def compare(context: Context, ledger: Iterable[Mapping[str, Any]]) -> Comparison:
    """Compare every charge and refund with the gateway's ledger."""
    rows = list(ledger)
    payments = [row for row in rows if row["kind"] == "payment"]
    refunds = [row for row in rows if row["kind"] == "refund" and row["status"] == "SUCCESS"]
    charges, ours = live_view.booked(context)
    paid = [row for row in payments if row["status"] in MOVED]
    differences = [*_payments(charges, payments), *_refunds(ours, refunds)]
    return Comparison(
        payments=len(paid),
        collected=sum(row["amount"] for row in paid),
        refunds=len(refunds),
        refunded=sum(row["amount"] for row in refunds),
        declined=sum(row["status"] == "FAILED" for row in payments),
        differences=differences,
    )


def _payments(
    charges: Mapping[str, Mapping[Any, Any]], payments: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    theirs = {row["number"]: row for row in payments}
    for number, row in theirs.items():
        charge = charges.get(number)
        if charge is None:
            yield f"{number}: the gateway has it, we have no such charge"
            continue
        if row["moves"] > 1:
            yield f"{number}: the money moved {row['moves']} times"
        moved = row["status"] in MOVED
        if moved != (charge["status"] == "succeeded"):
            yield f"{number}: the gateway says {row['status']}, we say {charge['status']}"
        pairs = (
            ("amount", row["amount"], charge["amount"]),
            ("customer", row["customer_id"], charge["customer_id"]),
            ("Request-Id", row["request_id"], str(charge["id"])),
            ("first_payment", row["first_payment"], charge["first_payment"]),
        )
        for what, there, here in pairs:
            if there != here:
                yield f"{number}: {what} is {there} at the gateway, {here} with us"
    for number, charge in charges.items():
        claimed = charge["status"] == "succeeded" or (
            charge["status"] == "declined"
            and not charge["never_received"]
            and charge["code"] != NOT_COMPLETED
        )
        if claimed and number not in theirs:
            yield f"{number}: we say {charge['status']}, the gateway has never seen it"


def _refunds(
    ours: Mapping[str, Mapping[Any, Any]], refunds: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    theirs = {row["request_id"]: row for row in refunds}
    for request_id, row in theirs.items():
        refund = ours.get(request_id)
        if refund is None or refund["status"] != "succeeded":
            yield f"refund {request_id}: paid by the gateway, {refund and refund['status']} with us"
        elif (refund["amount"], refund["gateway_number"]) != (row["amount"], row["number"]):
            yield f"refund {request_id}: {row['amount']} of {row['number']} at the gateway"
    for request_id, refund in ours.items():
        if refund["status"] == "succeeded" and request_id not in theirs:
            yield f"refund {request_id}: paid with us, unknown to the gateway"

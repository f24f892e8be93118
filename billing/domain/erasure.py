"""Erasure: what forbids that a customer's personal data are erased, and which texts are kept.

Amounts, dates, statuses and ids stay: they are the accounts. A text that a person typed, or that
the gateway sent, may hold a name, so that only texts from a closed vocabulary are kept. This module
does not know rows.
"""

from datetime import datetime
from typing import NamedTuple

from billing.domain.money import rupiah
from billing.domain.payloads import Json

ERASED = "erased"
"""What stands in the place of a text that was erased."""
KEPT_IN_EVENTS = frozenset(
    {
        "action", "after", "approval", "approved_by", "asked_by", "before", "cap", "changed",
        "charge", "charged_now", "code", "coupon", "credit",
        "currency", "fault", "invoice", "needed_by", "number", "on", "plan",
        "purpose", "recorded", "reference", "refund", "replaced_by", "source",
        "status", "subscription", "subscriptions", "trigger", "waiting", "wallet", "wallet_status",
    }
)  # fmt: skip
"""Keys of an event's data whose texts are ids, codes or words of ours; numbers and instants are
kept under every key. The gateway's code of a decline is kept in its charge, too: failures are
counted by it."""
KEPT_IN_COMMANDS = frozenset(
    {
        "at", "charge", "code", "coupon", "customer", "invoice", "plan", "refund", "start",
        "subscription", "until", "wallet",
    }
)  # fmt: skip
"""The same for the arguments that are stored with an idempotency key."""
KEPT_TITLES = frozenset({"setup fee"})
"""Titles of extra lines that the engine writes itself."""


class Unfinished(NamedTuple):
    """What a customer has that must be finished first; `payable_credit` is rupiah."""

    live_subscriptions: int
    open_invoices: int
    unresolved_charges: int
    unsettled_refunds: int
    payable_credit: int


def is_same(stored: Json, given: Json) -> bool:
    """Whether arguments are those that were stored; what was erased of these equals any text."""
    return stored.keys() == given.keys() and all(
        value in (given[name], ERASED) for name, value in stored.items()
    )


def obstacle(customer_id: str, left: Unfinished) -> str | None:
    """Say in one line what forbids the erasure, and what to do first; None if nothing does.

    Credit that no payment backs is no obstacle: it is never paid out.
    """
    faults = []
    if left.live_subscriptions:
        faults.append(f"{_count(left.live_subscriptions, 'live subscription')} (cancel first)")
    if left.open_invoices:
        faults.append(f"{_count(left.open_invoices, 'open invoice')} (void first)")
    if left.unresolved_charges:
        faults.append(f"{_count(left.unresolved_charges, 'unresolved charge')} (wait or resolve)")
    if left.unsettled_refunds:
        faults.append(f"{_count(left.unsettled_refunds, 'unsettled refund')} (wait or resolve)")
    if left.payable_credit:
        credit = rupiah(left.payable_credit)
        faults.append(f"{credit} of unused credit that a payment backs (refund it first)")
    if not faults:
        return None
    return f"customer {customer_id!r} cannot be erased yet; it has {', '.join(faults)}"


def refusal(
    customer_id: str, requested_at: datetime | None, erased_at: datetime | None
) -> str | None:
    """Say why the customer cannot be changed any more; None if it was not erased."""
    if erased_at is not None:
        return f"customer {customer_id!r} was erased; use another id"
    if requested_at is not None:
        return f"customer {customer_id!r} is being erased; use another id"
    return None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

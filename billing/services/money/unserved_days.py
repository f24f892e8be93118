"""Unserved days: what was taken for days after a cancellation, and goes back.

An invoice may be given up while the customer's balance had covered a part of it, and it may be
paid late, when the subscription has ended. Nobody pays for time they do not get. The caller
holds the subscription's lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from billing.domain import segments
from billing.domain.events import SCHEDULER, Actor
from billing.domain.money import prorate
from billing.domain.periods import unused_days, zone_of
from billing.domain.refund import RefundPurpose
from billing.services.money import returns
from billing.store.queries import conservation, invoices, subscriptions


def return_credits(
    connection: Connection,
    row: Mapping[Any, Any],
    given_up: Sequence[Mapping[Any, Any]],
    at: datetime,
    why: str,
    by: Actor,
    now: datetime,
) -> None:
    """Return what invoices that were given up took of credits for the days from `at` on."""
    for invoice in given_up:
        if invoice["credited"] == 0:
            continue
        used = sum(use.amount for use in conservation.lock_uses(connection, invoice["id"]))
        share = _share(row, invoice, used, at)
        if share:
            returns.return_to_credits(connection, invoice, share, why, by, now)


def refund_late(connection: Connection, paid: Mapping[Any, Any], now: datetime) -> None:
    """Give back, of a charge that paid after the cancellation, the days after it.

    The invoice stays paid. Its extra lines are for no days, and are kept.
    """
    owner = subscriptions.lock_one(connection, paid["subscription_id"])
    invoice = invoices.one(connection, paid["invoice_id"])
    if owner is None or invoice is None or owner["ended_at"] is None:
        return
    cost = min(paid["amount"], segments.cost(invoice))
    share = _share(owner, invoice, cost, owner["ended_at"])
    if share:
        why = "paid after the cancellation: days that were not served"
        order = returns.Order(share, RefundPurpose.CANCEL, why)
        returns.request_refund(connection, returns.Taken.by(paid), order, SCHEDULER, now)


def _share(row: Mapping[Any, Any], invoice: Mapping[Any, Any], amount: int, at: datetime) -> int:
    """What of `amount` is for the invoice's days from an instant on."""
    start, end = invoice["period_start"], invoice["period_end"]
    days, whole = unused_days(start, end, at, zone_of(row))
    return prorate(amount, days, whole) if whole else 0

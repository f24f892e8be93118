"""Days after a cancellation: return what was charged for them, when it is paid late.

An invoice may become uncollectible although credit had covered a part of it, and it may be paid
after the subscription has ended. Customers do not pay for days that are not served. The caller
holds the subscription's lock.
"""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from billing.domain import segments
from billing.domain.events import SCHEDULER, Actor
from billing.domain.money import prorate
from billing.domain.periods import unused_days, zone
from billing.domain.refund import RefundPurpose
from billing.services.money import charge_money
from billing.store.queries import conservation, invoices, subscriptions
from billing.store.queries.invoice_rows import BilledDays, GivenUp


def return_credits(
    connection: Connection,
    place: ZoneInfo,
    given_up: Sequence[GivenUp],
    at: datetime,
    why: str,
    by: Actor,
    now: datetime,
) -> None:
    """Return credit that uncollectible invoices used for the days from `at` on.

    `place` is the time zone of the subscription's days.
    """
    for invoice in given_up:
        if invoice.credited == 0:
            continue
        used = sum(use.amount for use in conservation.lock_uses(connection, invoice.id))
        share = _share(place, invoice, used, at)
        if share:
            whose = charge_money.InvoiceIds(
                invoice.id, invoice.subscription_id, invoice.customer_id
            )
            charge_money.return_to_credits(connection, whose, share, why, by, now)


def refund_late(
    connection: Connection, taken: charge_money.Taken, amount: int, now: datetime
) -> None:
    """Refund the unserved days of a charge that succeeded after the cancellation.

    `amount` is the charge's amount. The invoice stays paid. Extra lines are not for days, and are
    kept.
    """
    owner = subscriptions.lock_end(connection, taken.subscription_id)
    invoice = invoices.billed_days(connection, taken.invoice_id)
    if owner is None or invoice is None or owner.ended_at is None:
        return
    cost = min(amount, segments.cost(invoice.amount, invoice.lines))
    share = _share(zone(owner.timezone), invoice, cost, owner.ended_at)
    if share:
        why = "paid after the cancellation: days that were not served"
        order = charge_money.Order("late", share, RefundPurpose.CANCEL, why)
        charge_money.request_refund(connection, taken, order, SCHEDULER, now)


def _share(place: ZoneInfo, invoice: BilledDays | GivenUp, amount: int, at: datetime) -> int:
    """Return the part of `amount` for the invoice's days from an instant on."""
    days, whole = unused_days(invoice.period_start, invoice.period_end, at, place)
    return prorate(amount, days, whole) if whole else 0

"""Proration: end a paid period early, and credit its unused days.

Every action that begins a new period before the current one is over uses this module, and so does
every action that needs the value of the unused days. The new period is not decided here.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.domain import segments
from billing.domain.events import Actor
from billing.domain.invoice import InvoiceStatus
from billing.domain.periods import unused_days, zone_of
from billing.services.money import charge_money
from billing.services.subscriptions import transitions
from billing.store.queries import invoices, subscriptions
from billing.store.queries.invoice_rows import Invoice
from billing.store.queries.subscription_rows import Subscription


def unused(
    connection: Connection, row: Subscription, current: Invoice, at: datetime
) -> segments.Unused:
    """Return the unused days of the current period at an instant, and what was paid for them.

    `row` is the subscription as it is now, `current` the period's first invoice.
    """
    start, end, place = current.period_start, current.period_end, zone_of(row)
    days, whole = unused_days(start, end, at, place)
    of_it = invoices.of_period(connection, row.id, current.period_index)
    price = segments.price_paid(row.period_amount or 0, of_it[0].invoice)
    parts = [
        segments.Segment(
            segments.cost(each.invoice.amount, each.invoice.lines),
            unused_days(start, end, each.invoice.period_start, place)[0],
            each.kept,
        )
        for each in of_it
    ]
    return segments.unused(days, whole, price, parts)


def cut(connection: Connection, row: Subscription, at: datetime, by: Actor, why: str) -> int:
    """End the current period at an instant, and return the rupiah of its unused days."""
    credited = give_unused(connection, row, at, at, by, why)
    invoices.cut_short(connection, row.id, at)
    return credited


def give_unused(
    connection: Connection,
    row: Subscription,
    used_until: datetime,
    now: datetime,
    by: Actor,
    why: str,
) -> int:
    """Credit the paid days that follow `used_until` in its period; return the rupiah.

    Afterwards its days have no value. An uncollectible invoice of the period becomes void:
    it would be for days that were not served.
    """
    current = invoices.current_of(connection, row.id, used_until)
    if current is None:
        return 0
    left = unused(connection, row, current, used_until)
    credited = give(connection, row, current, left, left.worth, why, by, now)
    of_it = invoices.of_period(connection, row.id, current.period_index)
    given_up = [
        each.invoice for each in of_it if each.invoice.status is InvoiceStatus.UNCOLLECTIBLE
    ]
    transitions.close_all(connection, given_up, InvoiceStatus.VOID, why, by, now)
    subscriptions.change(connection, row.id, period_amount=0)
    return credited


def give(
    connection: Connection,
    row: Subscription,
    current: Invoice,
    left: segments.Unused,
    amount: int,
    why: str,
    by: Actor,
    now: datetime,
) -> int:
    """Credit up to `amount` of a period's unused days, from the newest invoice."""
    of_it = invoices.of_period(connection, row.id, current.period_index)
    parts = left.spread(amount)
    for each, share in zip(of_it, parts, strict=True):
        if share > 0:
            source = charge_money.InvoiceIds.of(each.invoice)
            charge_money.credit(connection, source, share, why, by, now)
    return sum(parts)

"""Reopening: attempt an uncollectible invoice again at an operator's request.

The invoice gets one charge without retries. A success counts as any other payment. After a decline
it is uncollectible again, and the plan's final action is not repeated. The same applies to a
subscription that has ended: its invoice may be paid, and nothing else of it changes. The caller
holds the subscription's lock.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.domain.errors import IllegalMove
from billing.domain.events import Actor, event
from billing.domain.invoice import InvoiceMove, advance
from billing.store.queries import events, invoices
from billing.store.queries.invoice_rows import Invoice


def reopen(connection: Connection, invoice: Invoice, by: Actor, now: datetime) -> None:
    """Reopen an uncollectible invoice and charge it now; newer open ones wait and keep their dates.

    Raises IllegalMove when an older invoice is uncollectible too: the oldest is paid first.
    """
    advance(invoice.status, InvoiceMove.REOPEN)
    first = invoices.first_given_up(connection, invoice.subscription_id)
    if first != invoice.id:
        raise IllegalMove(
            f"an older invoice is uncollectible too: {first}; retry or void that one first",
            hint=f"billing invoice retry {first}",
        )
    invoices.set_aside(connection, invoice.subscription_id)
    invoices.reopen(connection, invoice.id, now)
    recorded = event(
        "invoice.reopened", at=now, by=by, customer_id=invoice.customer_id,
        subscription_id=invoice.subscription_id, invoice_id=invoice.id,
        amount=invoice.amount - invoice.credited,
    )  # fmt: skip
    events.record(connection, [recorded])

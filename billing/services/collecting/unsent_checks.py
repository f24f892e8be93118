"""Unsent checks: query charges of closed invoices that only an answer called unsent.

A rate limiter has not read the body, but a load balancer may have sent the same request before, and
that copy may have been executed. While the invoice is open nothing is needed: the gateway is
queried before the charge is resent under the same Request-Id. Once it is closed nothing is resent,
so the charge becomes unknown and is queried like any other. A refused connection is always certain.
The caller holds the subscription's lock.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import charge
from billing.domain.charge import ChargeMove, ChargeStatus
from billing.domain.events import event
from billing.store.queries import charges, claims, events, invoices
from billing.store.queries.charges import Question

NEXT_TURN = charge.QUERY_AFTER[1]
"""Wait between checks whether the subscription's other charge has ended."""


def ask_about(connection: Connection, invoice_ids: Sequence[UUID], now: datetime) -> None:
    """Make the doubtful charges of closed invoices unknown, one per subscription at a time.

    The subscription's open invoices wait in the meantime and keep their dates.
    """
    status = charge.advance(ChargeStatus.UNSENT, ChargeMove.DOUBT)
    for row in charges.doubt(connection, invoice_ids, status, now, now + NEXT_TURN):
        invoices.set_aside(connection, row.subscription_id)
        recorded = event(
            "charge.unknown", at=now, customer_id=row.customer_id,
            subscription_id=row.subscription_id, invoice_id=row.invoice_id,
            charge_id=row.id, why=f"{row.message}; its invoice is closed",
        )  # fmt: skip
        events.record(connection, [recorded])


def unresolved(connection: Connection, due: Sequence[Question], now: datetime) -> list[Question]:
    """Return the charges that may be queried: among doubtful ones, the next of its subscription."""
    doubtful = [row for row in due if row.status is ChargeStatus.UNSENT]
    if not doubtful:
        return list(due)
    locked = claims.lock_subscriptions_of(connection, [row.invoice_id for row in doubtful])
    mine = [row.invoice_id for row in doubtful if row.subscription_id in set(locked)]
    ask_about(connection, mine, now)
    charges.end_leases(connection, [row.id for row in doubtful])
    still_due = charges.to_ask(connection, [row.id for row in due], now)
    return [row for row in still_due if row.status is not ChargeStatus.UNSENT]

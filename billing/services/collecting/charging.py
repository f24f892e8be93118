"""Charging: claim, call, settle. Safe to call twice, late, or at the same time as itself.

The claim decides which worker charges. It is committed before the first byte is sent, so that a
crash at any later moment leaves a row: a payment may exist.
"""

from collections.abc import Sequence
from uuid import UUID

from billing.domain.outcomes import SealedPayment
from billing.services.collecting.backpressure import Pace
from billing.services.collecting.pipeline import Claimed, Claims, Pipeline
from billing.services.context import LEASE_SECONDS, Context
from billing.services.operating import safety
from billing.store.queries import invoices

GO_ON_SECONDS = 4
"""Short compared with the shutdown timeout, so that other queued messages are not delayed."""


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease invoices that are due; none while charging is stopped."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        allowed = safety.charges_at_once(context, connection, limit)
        if not allowed:
            return []
        return invoices.lease_due(connection, now, lease_seconds=LEASE_SECONDS, limit=allowed)


def collect(context: Context, invoice_ids: Sequence[UUID]) -> None:
    """Attempt each invoice once, and record the outcomes."""
    collect_on(context, invoice_ids, 0)


def collect_on(context: Context, invoice_ids: Sequence[UUID], seconds: int) -> None:
    """Collect, then keep claiming other due invoices until a time limit.

    A running worker needs no message per batch, and the queue stays short.
    """
    pace = Pace(context.settings)
    Pipeline(context, Claims(context, invoice_ids, pace, seconds), pace).run()


def send(context: Context, payments: Sequence[SealedPayment]) -> None:
    """Send payments whose charges are committed, and settle the answers."""
    Pipeline(context, Claimed(payments), Pace(context.settings)).run()

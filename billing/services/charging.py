"""Charging: claim, call, settle. Safe to call twice, late, or at the same time as itself.

The claim decides who acts. It is committed before the first byte is sent, so that whatever
happens afterwards leaves a row that says a payment may exist.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from uuid import UUID

import structlog

from billing.domain.outcomes import Outcome, SealedPayment, Unknown
from billing.domain.settlement import Source
from billing.services import claiming, guarding, looking, settling
from billing.services.context import LEASE_SECONDS, Context
from billing.services.settling import News
from billing.store.queries import invoices

log = structlog.get_logger(__name__)


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease invoices that are due to be charged; none while charging may not be."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not guarding.may_charge(context, connection):
            return []
        return invoices.lease_due(connection, now, lease_seconds=LEASE_SECONDS, limit=limit)


def collect(context: Context, invoice_ids: Sequence[UUID]) -> None:
    """Try once to collect each invoice, and record what is known afterwards."""
    seen = looking.look(context, invoice_ids)
    send(context, claiming.claim(context, seen))


def send(context: Context, payments: Iterable[SealedPayment]) -> None:
    """Send payments whose charges are on disk, and settle the answers as they arrive.

    No transaction is open while a wallet thinks. Answers that arrive while others are being
    settled wait for the next group, so that groups grow with the load by themselves.
    """
    waiting = {
        context.pool.submit(_pay, context, payment): UUID(payment.request_id)
        for payment in payments
    }
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        again = settling.settle(context, [_news(waiting, item) for item in done], Source.LIVE)
        # A live answer never asks for a resend; only "not found" from a status query does.
        assert not again  # noqa: S101


def _news(waiting: dict[Future[Outcome], UUID], done: Future[Outcome]) -> News:
    return News(waiting.pop(done), done.result())


def _pay(context: Context, payment: SealedPayment) -> Outcome:
    try:
        return context.gateway.pay(payment)
    except Exception as error:
        log.exception("charge.call_failed", charge=payment.request_id)
        return Unknown(f"the client failed: {type(error).__name__}")

"""Charging: claim, call, settle. Safe to call twice, late, or at the same time as itself.

The claim decides who acts. It is committed before the first byte is sent, so that whatever
happens afterwards leaves a row that says a payment may exist. Claims, calls and settlements
overlap: while some wallets think, others are claimed, and the answers of others written down.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from time import monotonic
from uuid import UUID

import structlog

from billing.domain.outcomes import Outcome, SealedPayment, Unknown
from billing.domain.settlement import Source
from billing.services import claiming, guarding, looking, pacing, settling
from billing.services.context import LEASE_SECONDS, Context
from billing.services.settling import News
from billing.store.queries import invoices

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.05
LOOKS = 3
"""So many looks at the calls an answer waits for others to be settled with: a transaction costs
as much for one. Between two looks more may be claimed."""
GROUP = 128
"""So many are settled without waiting for more."""

Calls = dict[Future[Outcome], UUID]


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease invoices that are due to be charged; none while charging may not be."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        allowed = guarding.charges_at_once(context, connection, limit)
        if not allowed:
            return []
        return invoices.lease_due(connection, now, lease_seconds=LEASE_SECONDS, limit=allowed)


def collect(context: Context, invoice_ids: Sequence[UUID]) -> None:
    """Try once to collect each invoice, and record what is known afterwards."""
    send(context, _claimed(context, iter(invoice_ids)))


def collect_on(context: Context, invoice_ids: Sequence[UUID], seconds: int) -> None:
    """Collect, and go on with whatever else is due, until so much time has gone by.

    A worker that has begun needs no message for each batch, and the queue stays short.
    """
    until = monotonic() + seconds

    def portions() -> Iterator[list[SealedPayment]]:
        yield from _claimed(context, iter(invoice_ids))
        while monotonic() < until:
            most = pacing.portion_size(context)
            pacing.await_turn(context, most)
            new, charged = claiming.claim_due(context, most)
            if not new and not charged:
                return
            yield new
            if charged:
                yield claiming.claim(context, looking.look(context, charged))

    send(context, portions())


def _claimed(context: Context, invoice_ids: Iterator[UUID]) -> Iterator[list[SealedPayment]]:
    """Claim in portions, each when it is asked for, so that none waits long for its call.

    Most were never charged and are claimed at once; only then the others are looked at.
    """
    while portion := list(islice(invoice_ids, pacing.portion_size(context))):
        pacing.await_turn(context, len(portion))
        new = claiming.claim(context, dict.fromkeys(portion))
        yield new
        if len(new) < len(portion):
            yield claiming.claim(context, looking.look(context, portion))


def send(context: Context, portions: Iterable[Sequence[SealedPayment]]) -> None:
    """Send payments whose charges are on disk, and settle the answers in groups as they arrive.

    Portions are claimed beside that, one at a time, so that no wallet waits for a claim: the
    faster answers come, the more is claimed ahead. No transaction is open while a wallet thinks.
    When claiming fails, what is on the wire is still settled before the failure goes on.
    """
    supply, failure = iter(portions), None
    calls: Calls = {}
    begun: Future[Calls | None] | None = None
    more, looks = True, 0
    answered = context.settings.batch_threads
    try:
        while more or calls:
            if more and begun is None and pacing.may_claim(context, _unanswered(calls), answered):
                begun = context.desk.submit(_begin, context, supply)
            if begun is not None and (begun.done() or not calls):
                try:
                    new = begun.result()
                except Exception as error:  # noqa: BLE001 - raised again below
                    new, failure = None, error
                begun, more = None, new is not None
                calls |= new or {}
            elif calls:
                done, pending = _look(calls, again=looks > 0)
                looks += 1
                if pending and len(done) < GROUP and looks < LOOKS:
                    continue
                news = [News(calls.pop(call), call.result()) for call in done]
                looks, answered = 0, len(news)
                again = settling.settle(context, news, Source.LIVE)
                # A live answer never asks for a resend; only "not found" from a status query does.
                assert not again  # noqa: S101
    finally:
        if begun is not None:
            wait([begun])
    if failure is not None:
        raise failure


def _begin(context: Context, supply: Iterator[Sequence[SealedPayment]]) -> Calls | None:
    """Claim a portion and put it on the wire; None when there is no more."""
    payments = next(supply, None)
    if payments is None:
        return None
    return {context.pool.submit(_pay, context, item): UUID(item.request_id) for item in payments}


def _unanswered(calls: Calls) -> int:
    return sum(not call.done() for call in calls)


def _look(calls: Calls, *, again: bool) -> tuple[set[Future[Outcome]], set[Future[Outcome]]]:
    """Wait for the first answer, or a little for those that come after it."""
    if again:
        return wait(calls, timeout=LOOK_SECONDS)
    return wait(calls, return_when=FIRST_COMPLETED)


def _pay(context: Context, payment: SealedPayment) -> Outcome:
    try:
        return context.gateway.pay(payment)
    except Exception as error:
        log.exception("charge.call_failed", charge=payment.request_id)
        return Unknown(f"the client failed: {type(error).__name__}")

"""Charging: claim, call, settle. Safe to call twice, late, or at the same time as itself.

The claim decides who acts. It is committed before the first byte is sent, so that whatever
happens afterwards leaves a row that says a payment may exist. Claims, calls and settlements
overlap: while some wallets answer slowly, other invoices are claimed and other answers settled.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from itertools import islice
from time import monotonic
from uuid import UUID

from billing.domain.outcomes import SealedPayment
from billing.domain.settlement import Source
from billing.services.collecting import backpressure, claiming, prechecks, settling
from billing.services.collecting.backpressure import Pace
from billing.services.collecting.dispatch import Wire
from billing.services.context import LEASE_SECONDS, Context
from billing.services.operating import safety
from billing.store.queries import invoices

LOOK_SECONDS = 0.05
LOOKS = 3
"""So many looks at the calls an answer waits for others to be settled with: a transaction costs
as much for one. Between two looks more may be claimed."""
GROUP = 128
"""This many answers are settled without waiting for more."""


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
    pace = Pace(context.settings)
    send(context, _claimed(context, iter(invoice_ids), pace), pace)


def collect_on(context: Context, invoice_ids: Sequence[UUID], seconds: int) -> None:
    """Collect, then keep claiming other due invoices until a time limit.

    A running worker needs no message per batch, and the queue stays short.
    """
    until = monotonic() + seconds
    pace = Pace(context.settings)

    def portions() -> Iterator[list[SealedPayment]]:
        yield from _claimed(context, iter(invoice_ids), pace)
        while monotonic() < until:
            most = pace.portion
            backpressure.await_turn(context, most)
            new, charged = claiming.claim_due(context, most)
            if not new and not charged:
                return
            yield new
            if charged:
                yield claiming.claim(context, prechecks.look(context, charged))

    send(context, portions(), pace)


def _claimed(
    context: Context, invoice_ids: Iterator[UUID], pace: Pace
) -> Iterator[list[SealedPayment]]:
    """Claim in portions, each on demand, so that no charge waits long for its call.

    Invoices that were never charged are claimed first; the others are checked after them.
    """
    while portion := list(islice(invoice_ids, pace.portion)):
        backpressure.await_turn(context, len(portion))
        new = claiming.claim(context, dict.fromkeys(portion))
        yield new
        if len(new) < len(portion):
            yield claiming.claim(context, prechecks.look(context, portion))


def send(
    context: Context, portions: Iterable[Sequence[SealedPayment]], pace: Pace | None = None
) -> None:
    """Send payments whose charges are committed, and settle the answers in groups as they arrive.

    Portions are claimed at the same time, one by one, so that no call waits for a claim: the
    faster answers arrive, the more is claimed ahead. No transaction is open during a call.
    When claiming fails, sent payments are still settled before the error is raised.
    """
    supply, failure = iter(portions), None
    pace, wire = pace or Pace(context.settings), Wire(context)
    begun: Future[bool] | None = None
    more, looks = True, 0
    try:
        while more or wire.unsettled:
            if more and begun is None and pace.may_claim(wire.unanswered):
                begun = context.desk.submit(_begin, wire, supply)
            if begun is not None and (begun.done() or not wire.unsettled):
                try:
                    more = begun.result()
                except Exception as error:  # noqa: BLE001 - raised again below
                    more, failure = False, error
                begun = None
            elif wire.unsettled:
                answered = wire.wait(GROUP, LOOK_SECONDS) if looks else wire.wait(1)
                looks += 1
                if wire.unanswered and answered < GROUP and looks < LOOKS:
                    continue
                looks, news = 0, wire.take()
                pace.settled(len(news), unanswered=wire.unanswered)
                again = settling.settle(context, news, Source.LIVE)
                # A live answer never asks for a resend; only "not found" from a status query does.
                assert not again  # noqa: S101
    finally:
        if begun is not None:
            wait([begun])
    if failure is not None:
        raise failure


def _begin(wire: Wire, supply: Iterator[Sequence[SealedPayment]]) -> bool:
    """Claim a portion and send it; False when there is no more."""
    payments = next(supply, None)
    if payments is None:
        return False
    wire.put(payments)
    return True

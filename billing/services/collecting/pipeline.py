"""Pipeline: claim more, collect answers and settle a group, all at the same time.

While some wallets answer slowly, other invoices are claimed and other answers are settled. The
faster answers arrive, the more charges are claimed ahead, so that no call waits for a claim. No
transaction is open during a call.
"""

from collections.abc import Sequence
from concurrent.futures import Future, wait
from time import monotonic
from typing import Protocol
from uuid import UUID

from billing.domain.outcomes import SealedPayment
from billing.domain.settlement import Source
from billing.services.collecting import backpressure, claiming, prechecks, settling
from billing.services.collecting.backpressure import Pace
from billing.services.collecting.dispatch import Wire
from billing.services.context import Context

LOOK_SECONDS = 0.05
LOOKS = 3
"""How often the open calls are checked before answers are settled together: a transaction costs the
same for one answer. Between two checks more may be claimed."""
GROUP = 128
"""This many answers are settled at once, without waiting for more."""


class Supply(Protocol):
    """A source of payments for a pipeline."""

    @property
    def is_for_idle(self) -> bool:
        """Whether the next payments are to be claimed only when a thread has no call."""

    def claim(self, idle: int) -> Sequence[SealedPayment] | None:
        """Return the next payments, whose charges are committed; None when there are no more.

        `idle`: how many threads have no call.
        """


class Claimed:
    """Payments that were claimed before."""

    is_for_idle = False

    def __init__(self, payments: Sequence[SealedPayment]) -> None:
        self._payments: Sequence[SealedPayment] | None = payments

    def claim(self, _idle: int) -> Sequence[SealedPayment] | None:
        """Return all payments, once."""
        payments, self._payments = self._payments, None
        return payments


class Claims:
    """A worker's claims: the invoices of its message, then due invoices until a time limit.

    Each portion is claimed on demand, so that no charge waits long for its call. In each portion
    the invoices that were never charged come first; the others follow after their checks. When no
    other invoice is due, idle threads take those of messages that wait for a worker.
    """

    def __init__(
        self, context: Context, invoice_ids: Sequence[UUID], pace: Pace, seconds: float = 0
    ) -> None:
        self._context, self._pace = context, pace
        self._named = list(invoice_ids)
        self._to_check: list[UUID] = []
        self._until = monotonic() + seconds
        self.is_for_idle = False

    def claim(self, idle: int) -> Sequence[SealedPayment] | None:
        """Claim the next portion; None when all are claimed, or the time is over."""
        if self._to_check:
            checked, self._to_check = prechecks.look(self._context, self._to_check), []
            return claiming.claim(self._context, checked)
        if self._named:
            return self._claim_named()
        if monotonic() < self._until:
            return self._claim_due(idle)
        return None

    def _claim_named(self) -> Sequence[SealedPayment]:
        most = self._pace.portion
        portion, self._named = self._named[:most], self._named[most:]
        backpressure.await_turn(self._context, len(portion))
        new = claiming.claim(self._context, dict.fromkeys(portion))
        if len(new) < len(portion):
            self._to_check = portion
        return new

    def _claim_due(self, idle: int) -> Sequence[SealedPayment] | None:
        self.is_for_idle = False
        most = self._pace.portion
        backpressure.await_turn(self._context, most)
        new, self._to_check = claiming.claim_due(self._context, most)
        if new or self._to_check:
            return new
        if idle:
            return claiming.claim_waiting(self._context, idle) or None
        self.is_for_idle = not self._pace.is_limited
        return [] if self.is_for_idle else None


class Pipeline:
    """The payments of one task: claimed, sent, answered, settled.

    One portion at a time is claimed and sent in a separate thread; this thread collects the answers
    and settles them. When a claim fails, nothing more is claimed, the sent payments are settled,
    and then the error is raised.
    """

    def __init__(self, context: Context, supply: Supply, pace: Pace) -> None:
        self._context, self._supply, self._pace = context, supply, pace
        self._wire = Wire(context)
        self._claiming: Future[bool] | None = None
        self._is_supplied = True
        self._looks = 0
        self._failure: Exception | None = None

    def run(self) -> None:
        """Work until every payment of the supply is settled."""
        try:
            while self._is_supplied or self._wire.unsettled:
                self._claim_more()
                if self._claim_is_over():
                    self._end_claim()
                elif self._wire.unsettled and self._collect_answers():
                    self._settle_group()
        finally:
            if self._claiming is not None:
                wait([self._claiming])
        if self._failure is not None:
            raise self._failure

    def _claim_more(self) -> None:
        """Start to claim a portion, unless a claim is running or enough calls are open."""
        if not self._is_supplied or self._claiming is not None:
            return
        unanswered = self._wire.unanswered
        idle = self._pace.idle(unanswered)
        may_claim = bool(idle) if self._supply.is_for_idle else self._pace.may_claim(unanswered)
        if may_claim:
            self._claiming = self._context.desk.submit(self._claim_and_send, idle)

    def _claim_and_send(self, idle: int) -> bool:
        """Claim a portion and send it; False when there are no more."""
        payments = self._supply.claim(idle)
        if payments is None:
            return False
        self._wire.put(payments)
        return True

    def _claim_is_over(self) -> bool:
        """Whether the claim has ended, or no call is open, so that only the claim is waited for."""
        return self._claiming is not None and (self._claiming.done() or not self._wire.unsettled)

    def _end_claim(self) -> None:
        assert self._claiming is not None  # noqa: S101 - the caller checked
        try:
            self._is_supplied = self._claiming.result()
        except Exception as error:  # noqa: BLE001 - raised once the sent payments are settled
            self._is_supplied, self._failure = False, error
        self._claiming = None

    def _collect_answers(self) -> bool:
        """Wait for answers, and return whether to settle the answered calls now."""
        answered = self._wire.wait(GROUP, LOOK_SECONDS) if self._looks else self._wire.wait(1)
        self._looks += 1
        if self._wire.unanswered and answered < GROUP and self._looks < LOOKS:
            return False
        self._looks = 0
        return True

    def _settle_group(self) -> None:
        news = self._wire.take()
        self._pace.settled(len(news), unanswered=self._wire.unanswered)
        again = settling.settle(self._context, news, Source.LIVE)
        # A live answer never requests a resend; only "not found" from a status query does.
        assert not again  # noqa: S101

"""Dispatch: payments on the wire, and their answers as they arrive.

A payment is put on the wire only when its charge is on disk. Queues stand between the threads,
not a future for each call, which costs ten times as much as both queues.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event
from uuid import UUID

import structlog

from billing.domain.outcomes import Outcome, SealedPayment, Unknown
from billing.services.collecting.settling import News
from billing.services.context import Context

log = structlog.get_logger(__name__)


class Wire:
    """The calls of one task: one thread puts payments on it, another takes the answers off."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._payments: SimpleQueue[SealedPayment] = SimpleQueue()
        self._answers: deque[News] = deque()
        self._put = self._taken = 0
        self._wanted, self._enough = 1, Event()
        self._end: BaseException | None = None

    @property
    def unsettled(self) -> int:
        """How many calls were put on the wire whose answers were not taken off yet."""
        return self._put - self._taken

    @property
    def unanswered(self) -> int:
        """How many of them have no answer yet."""
        return self.unsettled - len(self._answers)

    def put(self, payments: Sequence[SealedPayment]) -> None:
        """Let these be paid by the threads of the pool, as many as a task may have."""
        self._put += len(payments)
        for payment in payments:
            self._payments.put(payment)
        for _ in range(min(len(payments), self._context.settings.batch_threads)):
            self._context.pool.submit(self._work)

    def wait(self, most: int, seconds: float | None = None) -> int:
        """Wait until so many calls are answered, or all, or so long; how many are."""
        self._wanted = min(most, self.unsettled)
        self._enough.clear()
        if len(self._answers) < self._wanted and self._end is None:
            self._enough.wait(seconds)
        if self._end is not None:
            raise self._end
        return len(self._answers)

    def take(self) -> list[News]:
        """Take off all answers that have come."""
        news = [self._answers.popleft() for _ in range(len(self._answers))]
        self._taken += len(news)
        return news

    def _work(self) -> None:
        try:
            with suppress(Empty):
                while True:
                    self._answers.append(self._news(self._payments.get_nowait()))
                    if len(self._answers) >= self._wanted and not self._enough.is_set():
                        self._enough.set()
        except BaseException as error:
            # The process is to end: whoever waits for answers waits in vain.
            self._end = error
            self._enough.set()
            raise

    def _news(self, payment: SealedPayment) -> News:
        outcome: Outcome
        try:
            outcome = self._context.gateway.pay(payment)
        except Exception as error:
            log.exception("charge.call_failed", charge=payment.request_id)
            outcome = Unknown(f"the client failed: {type(error).__name__}")
        return News(UUID(payment.request_id), outcome)

"""Dispatch: send payments to the gateway, and collect their answers as they arrive.

A payment is sent only after its charge is committed. Queues connect the threads,
because a future for each call costs ten times as much as both queues.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event
from uuid import UUID

from billing.domain.outcomes import Outcome, SealedPayment, Unknown
from billing.logs import Logger
from billing.services.collecting.settling import News
from billing.services.context import Context

log = Logger(__name__)


class Wire:
    """The open calls of one task: one thread adds payments, another takes the answers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._payments: SimpleQueue[SealedPayment] = SimpleQueue()
        self._answers: deque[News] = deque()
        self._put = self._taken = 0
        self._wanted, self._enough = 1, Event()
        self._end: BaseException | None = None

    @property
    def unsettled(self) -> int:
        """Return how many calls were sent whose answers were not taken yet."""
        return self._put - self._taken

    @property
    def unanswered(self) -> int:
        """Return how many calls have no answer yet."""
        return self.unsettled - len(self._answers)

    def put(self, payments: Sequence[SealedPayment]) -> None:
        """Send these payments with the threads of the pool, up to the limit of a task."""
        self._put += len(payments)
        for payment in payments:
            self._payments.put(payment)
        for _ in range(min(len(payments), self._context.settings.batch_threads)):
            self._context.pool.submit(self._work)

    def wait(self, most: int, seconds: float | None = None) -> int:
        """Wait until a number of calls are answered, or all, or a timeout; return how many are."""
        self._wanted = min(most, self.unsettled)
        self._enough.clear()
        if len(self._answers) < self._wanted and self._end is None:
            self._enough.wait(seconds)
        if self._end is not None:
            raise self._end
        return len(self._answers)

    def take(self) -> list[News]:
        """Take all answers that have arrived."""
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
            # The process is ending and no more answers come: wake the thread that waits for them.
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

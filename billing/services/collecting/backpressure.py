"""Back-pressure: limit how fast all workers together call the gateway.

When the gateway refuses requests or cannot be reached, all workers pause, longer each time; after a
pause, single charges probe the gateway until it answers. DOKU may also allow only a number of
charges per second. Both limits are kept in PostgreSQL, in real time: Redis may lose its data, and
workers do not share memory.
"""

import re
from collections.abc import Sequence
from math import ceil
from threading import Event

from sqlalchemy import Connection

from billing.config import ROUNDS_MAX, Settings
from billing.domain.outcomes import Declined, NotFound, Outcome, Pending, Succeeded, Unknown, Unsent
from billing.logs import Logger
from billing.services.context import Context
from billing.store.queries import engine
from billing.store.queries.engine import ChargingState

log = Logger(__name__)

RESTS_SECONDS = (1, 2, 5, 10, 20, 30, 60)
"""Pauses of all workers after consecutive refusals; the last one repeats."""
REST_MAX_SECONDS = 600
"""The longest pause that the gateway's Retry-After can request."""
TROUBLE_MIN = 8
"""This many refusals at once are a problem of the gateway; fewer concern only their charges."""
PROBES = 1
"""Charges of one portion while it is unknown whether the gateway has recovered."""
SPREAD = 5
"""With a limit of charges per second, a portion is what may be sent in a fifth of a second."""

PORTION_ROUNDS, PORTION_ROUNDS_FAST = 2, 4
"""Without such a limit, a portion is this many charges per thread; more when answers are faster
than claims: a claim of twice as many costs a third more."""
IDLE_SHARE = 4
"""Idle threads claim what waits for other workers when at least one of this many is idle."""

_RETRY_AFTER = re.compile(r"retry_after=([0-9]{1,6})")
_DOWN = re.compile(r"http_5|read_timeout|connection_lost")


def limit(row: ChargingState) -> int | None:
    """Return how many charges may be claimed at once now; None: no limit."""
    if row.resting:
        return 0
    return PROBES if row.troubles else None


def heed(connection: Connection, outcomes: Sequence[Outcome | NotFound], *, troubled: bool) -> None:
    """Pause when the gateway refuses, continue when it answers. `troubled`: it refused recently."""
    refused = [outcome for outcome in outcomes if _is_refusal(outcome)]
    answered = sum(isinstance(item, Succeeded | Declined | Pending) for item in outcomes)
    if len(refused) > answered and (troubled or len(refused) >= TROUBLE_MIN):
        wished = max((_retry_after(outcome) for outcome in refused), default=0)
        seconds = engine.rest(connection, RESTS_SECONDS, min(wished, REST_MAX_SECONDS))
        if seconds is not None:
            log.warning("gateway.paused", seconds=seconds, refused=len(refused))
    elif troubled and answered and engine.end_of_troubles(connection):
        log.info("gateway.recovered")


class Pace:
    """How much one worker claims at a time, and how far ahead, from the rate of answers."""

    def __init__(self, settings: Settings) -> None:
        self._threads = self._answered = settings.batch_threads
        self._rate = settings.charges_per_second
        self._rounds = PORTION_ROUNDS

    def settled(self, answered: int, *, unanswered: int) -> None:
        """Record that `answered` calls were settled while `unanswered` calls were open."""
        self._answered = answered
        self._rounds = PORTION_ROUNDS if unanswered else PORTION_ROUNDS_FAST

    @property
    def portion(self) -> int:
        """Return how many charges are claimed together."""
        most = self._rounds * self._threads
        return min(most, ceil(self._rate / SPREAD)) if self._rate else most

    def may_claim(self, unanswered: int) -> bool:
        """Whether another portion may be claimed at this number of unanswered calls.

        No charge may wait for its call longer than ROUNDS_MAX allows.
        """
        most = (ROUNDS_MAX - self._rounds) * self._threads
        return unanswered < min(self._threads + 2 * self._answered, most)

    @property
    def is_limited(self) -> bool:
        """Whether the charges per second are limited: a turn that is taken for nothing is lost."""
        return bool(self._rate)

    def idle(self, unanswered: int) -> int:
        """Return how many threads have no call and may claim what waits for other workers.

        Zero while most threads have one: a claim of a few costs nearly as much as one of many.
        """
        idle = self._threads - unanswered
        return idle if not self.is_limited and idle * IDLE_SHARE >= self._threads else 0


def await_turn(context: Context, count: int) -> None:
    """Wait until `count` charges may be sent under the rate limit; all workers share it."""
    rate = context.settings.charges_per_second
    if rate:
        with context.database.transaction() as connection:
            seconds = engine.take_turn(connection, count, rate)
        Event().wait(seconds)


def _is_refusal(outcome: Outcome | NotFound) -> bool:
    match outcome:
        case Unsent():
            return True
        case Unknown(reason=reason):
            return bool(_DOWN.match(reason))
    return False


def _retry_after(outcome: Outcome | NotFound) -> int:
    found = _RETRY_AFTER.search(outcome.reason) if isinstance(outcome, Unsent) else None
    return int(found[1]) if found else 0

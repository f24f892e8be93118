"""Metrics: count totals from the event feed, and read what waits right now, for a scrape.

The totals are counted from the feed, which loses no event and has none twice, and their position is
stored with them: they are exact, and counting costs charging nothing. Only one process counts at a
time; the others read what is counted so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from billing.call_times import Times
from billing.clock import real_now
from billing.services.context import Context
from billing.services.operating import call_times
from billing.services.webhooks import event_feed
from billing.store.queries import engine, metrics
from billing.store.queries import event_feed as feed
from billing.store.queries.engine import Heartbeat
from billing.store.queries.metrics import Now, Total
from billing.store.session import brief_locks, is_locked

BATCH = 20_000
"""Positions that one transaction counts."""
BATCHES = 5
"""Batches that one scrape counts at most: the past of a large database takes several scrapes."""
BATCHES_A_TICK = 1
"""Batches that one tick counts at most, for pages that show hours: charging goes first."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a scrape shows. `at` is billing time, and `real_at` real time."""

    at: datetime
    real_at: datetime
    now: Now
    totals: Sequence[Total]
    behind: int
    """Positions of the event feed that the totals do not count yet."""
    calls: dict[str, Times]
    ticks: Sequence[Heartbeat]
    gauges: dict[str, float]
    """What hourly checks found last."""


def read(context: Context) -> Figures:
    """Count new events, and return all figures."""
    call_times.store(context, at_once=True)
    count_unless_locked(context)
    at = context.clock.now()
    with context.database.transaction() as connection:
        return Figures(
            at,
            real_now(),
            metrics.read_now(connection),
            metrics.totals(connection),
            metrics.behind(connection),
            metrics.calls(connection),
            engine.heartbeats(connection),
            metrics.gauges(connection),
        )


def renewed(context: Context, figures: Figures) -> Figures:
    """Return the figures with everything that only grows as it is now, which takes a moment.

    Another process may have shown it since; Prometheus takes a smaller number for a restart.
    """
    with context.database.transaction() as connection:
        totals, calls = metrics.totals(connection), metrics.calls(connection)
    return replace(figures, totals=totals, calls=calls)


def count_unless_locked(context: Context, batches: int = BATCHES) -> int:
    """Add new events to the totals, unless that would wait; return how many are not counted."""
    try:
        with brief_locks():
            count(context, batches)
    except DBAPIError as error:
        if not is_locked(error):
            raise  # else the totals are shown as far as they are counted
    with context.database.transaction() as connection:
        return metrics.behind(connection)


def count(context: Context, batches: int = BATCHES) -> int:
    """Add new events to the totals; return how many positions are left."""
    event_feed.sequence(context, max(batches * BATCH // event_feed.BATCH, 1))
    left = 0
    for _ in range(batches):
        with context.database.transaction() as connection:
            end = feed.end(connection)
            after = metrics.lock_position(connection)
            if after is None:
                return 0
            # A database that was restored has an older feed and the position of that time.
            first = min(after)
            until = min(first + BATCH, end)
            if until > first:
                metrics.count_events(connection, after, until)
        left = end - until
        if not left:
            break
    return left

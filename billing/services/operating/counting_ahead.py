"""Counting ahead: keep the next charges by due day and plan as rows, for the page *Ahead*.

A count reads every running subscription, in one statement. If it took one second, the next count
begins 100 seconds later. So all counts together use about one percent of one core, with any number
of subscriptions, and also when they fail. Charging does no work for it.
"""

from contextlib import suppress
from datetime import datetime, time, timedelta
from time import monotonic

from billing.clock import real_now
from billing.domain.instants import HOME
from billing.services.context import Context
from billing.store.queries import ahead

DAYS = 60
CUSTOMERS_MAX = 501
"""Customers without a wallet by then that are kept: one more than a page shows."""
EVERY = timedelta(seconds=60)
REST = 100
"""How many times as long as a count took the next one waits."""


def count_when_due(context: Context) -> bool:
    """Count if the last count is old enough and no other process counts; return whether it did."""
    return _count(context, at_once=False)


def count(context: Context) -> bool:
    """Count now, unless another process does; return whether it did."""
    return _count(context, at_once=True)


def _count(context: Context, *, at_once: bool) -> bool:
    at, now, begun = context.clock.now(), real_now(), monotonic()
    try:
        with context.database.transaction() as connection:
            if not ahead.be_alone(connection):
                return False
            last = ahead.pace(connection)
            if last is not None and not at_once and not _is_old(last, now):
                return False
            found = ahead.count(connection, at, end_of(at), CUSTOMERS_MAX)
            took = monotonic() - begun
            ahead.store(connection, found, ahead.State(at, end_of(at), real_now(), took))
    except Exception:
        with suppress(Exception), context.database.transaction() as connection:
            ahead.note_failed(connection, ahead.Pace(real_now(), monotonic() - begun))
        raise
    return True


def _is_old(last: ahead.Pace, now: datetime) -> bool:
    """Whether the next count may begin; a clock that went back does not delay it."""
    pause = max(EVERY, REST * timedelta(seconds=last.took_seconds))
    return not last.counted_at <= now < last.counted_at + pause


def end_of(at: datetime) -> datetime:
    """Return the last instant of the days ahead, which begin with today."""
    last_on = at.astimezone(HOME).date() + timedelta(days=DAYS)
    return datetime.combine(last_on, time(), HOME) - timedelta(microseconds=1)

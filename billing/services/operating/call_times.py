"""Call times: add this process's times of gateway calls to the database, every few seconds."""

from os import getpid
from time import monotonic

from billing.services.context import Context
from billing.store.queries import metrics

SHARDS = 16
"""Number of rows for each kind of call, so that processes do not wait for each other."""
EVERY_SECONDS = 5


def store(context: Context, *, at_once: bool = False) -> None:
    """Add what was counted since the last time, unless that was a moment ago.

    What cannot be stored is kept for the next time, and the error is raised.
    """
    times = context.call_times
    if not at_once and not times.is_due(monotonic(), EVERY_SECONDS):
        return
    taken = times.take()
    if not taken:
        return
    try:
        with context.database.transaction() as connection:
            metrics.add_calls(connection, getpid() % SHARDS, taken)
    except Exception:
        times.put_back(taken)
        raise

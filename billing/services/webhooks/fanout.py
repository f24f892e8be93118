"""Fan-out: make a delivery of each event for each endpoint that receives it, in feed order.

Without an enabled endpoint nothing is done. It also cancels deliveries of disabled endpoints and
removes old ones, all in bounded batches.
"""

from time import monotonic

from billing.clock import real_now
from billing.domain.webhooks import KEPT
from billing.services.context import Context
from billing.services.webhooks import event_feed
from billing.store.queries import deliveries, webhooks
from billing.store.queries import event_feed as feed_rows

BATCH = 1_000
"""Positions that one statement fans out."""
SEQUENCED_MAX = 20
"""Batches that one call appends to the feed."""
SECONDS = 2
"""How long one call continues, since refunds and admin tasks wait; the next tick continues."""
REMOVED_MAX = 5_000


def fan_out(context: Context) -> int:
    """Make the deliveries of new events; return how many."""
    with context.database.transaction() as connection:
        starts_after = deliveries.starts_after(connection)
    if starts_after is None:
        return 0
    until = monotonic() + SECONDS
    event_feed.sequence(context, SEQUENCED_MAX)
    made, is_full = 0, True
    while is_full:
        found = _fan_out_batch(context)
        made += found.deliveries
        is_full = found.positions >= BATCH and monotonic() < until
    return made


def _fan_out_batch(context: Context) -> deliveries.FannedOut:
    """Make the deliveries of one batch, alone; a batch that fails is made by the next call."""
    with context.database.transaction() as connection:
        state = feed_rows.lock(connection)
        starts_after = deliveries.starts_after(connection)
        if starts_after is None:
            return deliveries.FannedOut(None, 0, 0)
        # Positions that no endpoint receives are passed over at once.
        after = max(state.fanned_out, starts_after)
        found = deliveries.fan_out(connection, after, BATCH, real_now())
        if found.until is not None:
            deliveries.move_fanned_out(connection, found.until)
    return found


def tidy_up(context: Context) -> None:
    """Cancel deliveries of disabled endpoints, and remove old deliveries and deleted endpoints."""
    now = real_now()
    with context.database.transaction() as connection:
        deliveries.cancel_of_disabled(connection, now, REMOVED_MAX)
        deliveries.remove(connection, now - KEPT, REMOVED_MAX)
        webhooks.remove_deleted(connection)

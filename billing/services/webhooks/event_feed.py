"""Event feed: number the events in the order in which they become visible, and read them.

The id of an event is given out when it is inserted, and the event becomes visible at the commit of
its transaction. A reader that remembers the highest id would miss an event with a lower id that is
committed later. Therefore readers page by `position`: one sequencer at a time, which holds the lock
of the one row of `event_feed_state` until its commit, appends the visible events that are not in
the feed. An event that becomes visible late gets a later position. Transactions that write events
do nothing for it.

The scan begins above a low mark, so that it does not grow with the table. Each event up to the mark
is in the feed, or can never appear. To move the mark, the sequencer reads the highest id, and then
which transactions hold the lock that an INSERT into `events` takes before it takes an id. It stores
both. Once each of these transactions has ended, every event up to that id is visible or was rolled
back; the scan that follows appends those that are visible, and the mark moves to that id.

Neither transaction ids nor snapshots would do. A transaction may have an event id before it has a
transaction id, and the `xmax` of a snapshot is not above every transaction that runs. The names of
transactions mean nothing after a restore into another server: there each stored transaction has
ended, which is right, because a backup contains no open transaction. Prepared transactions, which
change their name and outlive their session, are not used by the engine.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import event_feed
from billing.domain.errors import InvalidValue
from billing.services.context import Context
from billing.store.queries import event_feed as rows
from billing.store.queries.event_feed import FeedEvent

BATCH = 5_000
"""Events that one transaction appends."""
BATCHES_A_READ = 4
"""How much a reader appends at most; it reads in turn, so the feed is always ahead of it."""
SCAN_MAX = 10_000
"""Positions that one read examines at most: a filter that fits few events ends with what it has."""
PAGE_MAX = 1_000


class FeedPage(NamedTuple):
    """Some events, and the position to read after next time.

    With `more` another read finds positions now. A page can be empty and have more: a filter.
    """

    events: list[FeedEvent]
    next_after: int
    more: bool


def sequence(context: Context, batches_max: int | None = None) -> bool:
    """Append every visible event to the feed, in batches; return whether some are left."""
    done = 0
    with context.database.transaction() as connection:
        lacking = rows.lacks_events(connection)
    while lacking and (batches_max is None or done < batches_max):
        with context.database.transaction() as connection:
            lacking = sequence_batch(connection)
        done += 1
    return lacking


def sequence_batch(connection: Connection, limit: int = BATCH) -> bool:
    """Append at most `limit` events, alone; return whether the limit was reached.

    The order of these statements is the proof: each one sees what was committed before it began.
    """
    state = rows.lock(connection)
    highest = rows.highest_id(connection)
    writers = rows.writers(connection)
    appended = rows.append(connection, state.settled_id, limit)
    is_full = appended.events >= limit
    mark = event_feed.advanced(state.mark, highest, writers, appended.last_id if is_full else None)
    if mark != state.mark:
        rows.move_mark(connection, mark)
    return is_full


def read_events(
    context: Context,
    after: int,
    limit: int,
    *,
    customer_id: str | None = None,
    subscription_id: UUID | None = None,
    kinds: Sequence[str] = (),
) -> FeedPage:
    """Read the events whose position is above `after`, oldest first; 0 begins with the first.

    Raises InvalidValue for a position that this feed has not reached.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidValue(f"limit must be 1 to {PAGE_MAX:,}, not {limit}", field="limit")
    if after < 0:
        raise InvalidValue(f"after must be 0 or a position of the feed, not {after}", field="after")
    sequence(context, BATCHES_A_READ)
    with context.database.transaction() as connection:
        end = rows.end(connection)
        if after > end:
            raise InvalidValue(
                f"after is {after}, but the feed ends at position {end}: the position is from"
                " another database or from before a restore; read again from an earlier position",
                field="after",
            )
        if subscription_id is None:
            scan = SCAN_MAX if customer_id is not None or kinds else limit
            until = rows.scanned_to(connection, after, scan)
        else:
            until = end  # a subscription's events are found by its index
        events = rows.page(
            connection, after, until, limit,
            customer_id=customer_id, subscription_id=subscription_id, kinds=kinds,
        )  # fmt: skip
    next_after = events[-1].position if len(events) == limit else max(until, after)
    return FeedPage(events, next_after, more=next_after < end)

"""Opening in batches: open everything that is due, a thousand subscriptions in a transaction.

Several threads open periods. A tick opens them for one second at a time, so that refunds and admin
tasks do not wait on a day with many due periods. `opening` opens a single period.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from billing.services.collecting import opening
from billing.services.collecting.opening import Batch
from billing.services.context import Context
from billing.services.operating import held_rows
from billing.store.queries import engine, subscriptions
from billing.store.queries.holding import Kind

BATCH = 1_000
BATCHES_LISTED = 10
OPENERS = 3
LEASE_SECONDS = 10
"""How long no second chain starts while work is left; a lost message costs this delay."""

Place = tuple[datetime, UUID]
"""A position in the opening order: due instant and subscription id."""
BEGINNING: Place = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True, slots=True)
class Rest:
    """The remaining work: everything due after a position.

    The lease, identified by its end, prevents a second chain.
    """

    behind: Place
    leased_until: datetime


class Opened(NamedTuple):
    """What one call of this module did."""

    invoices: int
    """The number of new invoices."""
    rest: Rest | None = None
    """The remaining work for another call."""


class _Listed(NamedTuple):
    """How much of a list of due subscriptions was done."""

    invoices: int
    done: int
    """How many subscriptions of the list were done, from its start."""


class _Share(NamedTuple):
    """What one of several threads did."""

    invoices: int
    stopped_at: float
    """The batch before which time ran out; infinite when all batches were done."""


def open_due(context: Context) -> int:
    """Open every period that has begun, oldest first, and return the number of new invoices."""
    return _open(context, BEGINNING, inf, BATCH * BATCHES_LISTED).invoices


def open_first(context: Context) -> Opened:
    """Open one batch of what is due, so that its invoices do not wait for the others."""
    return _open_leased(context, None, monotonic(), BATCH)


def open_for(context: Context, seconds: int, rest: Rest | None = None) -> Opened:
    """Open periods for a number of seconds.

    Only one opening chain runs at a time, even if a message is repeated: while work remains no
    second chain starts, and each lease can be exchanged for the next one only once.
    """
    return _open_leased(context, rest, monotonic() + seconds, BATCH * BATCHES_LISTED)


def _open_leased(context: Context, rest: Rest | None, until: float, most: int) -> Opened:
    leased = rest.leased_until if rest else None
    with context.database.transaction() as connection:
        if not engine.may_open(connection, leased):
            return Opened(0)
    opened, place = _open(context, rest.behind if rest else BEGINNING, until, most)
    with context.database.transaction() as connection:
        if place is None:
            engine.end_opening(connection, leased)
            return Opened(opened)
        leased = engine.lease_opening(connection, leased, LEASE_SECONDS)
    return Opened(opened, Rest(place, leased) if leased else None)


class _Reached(NamedTuple):
    """How far opening got."""

    invoices: int
    place: Place | None
    """Where time ran out; None when nothing remains."""


def _open(context: Context, place: Place, until: float, most: int) -> _Reached:
    """Open what is due after a position; `most` subscriptions are listed at a time.

    The position only moves forward: subscriptions that cannot be opened are held, and do not delay
    others. A subscription that missed several periods gets one of them in each transaction, so that
    memory stays bounded after an outage of any length.
    """
    opened = 0
    while True:
        with context.database.transaction() as connection:
            # Many are listed at once: each search in the index of due dates reads all entries that
            # have moved since the last vacuum.
            due = subscriptions.due_to_open(connection, context.clock.now(), place, most)
        listed = _open_listed(context, [subscription for _at, subscription in due], until)
        opened += listed.invoices
        if listed.done:
            place = due[listed.done - 1]
        if listed.done < len(due):
            return _Reached(opened, place)
        if len(due) < most:
            return _Reached(opened, None)
        if monotonic() >= until:
            return _Reached(opened, place)


def _open_listed(context: Context, ids: Sequence[UUID], until: float) -> _Listed:
    """Open in batches; the first batch is opened even if time is over.

    With more than one batch, one is written to the database while the next is computed.
    """
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    if not batches:
        return _Listed(0, 0)
    new, batches[0] = _open_batch(context, batches[0])
    waiting = iter(enumerate(batches))
    openers = OPENERS if len(batches) > 1 else 1
    shares = list(context.pool.map(lambda _: _open_rest(context, waiting, until), range(openers)))
    stopped_at = min(share.stopped_at for share in shares)
    opened = new + sum(share.invoices for share in shares)
    return _Listed(opened, min(int(min(stopped_at, len(batches))) * BATCH, len(ids)))


def _open_rest(
    context: Context, batches: Iterator[tuple[int, Sequence[UUID]]], until: float
) -> _Share:
    """Open batches that no other thread has taken until none is left, or the time is over."""
    opened = 0
    try:
        for number, batch in batches:
            due = batch
            while due:
                if monotonic() >= until:
                    return _Share(opened, number)
                new, due = _open_batch(context, due)
                opened += new
    except BaseException:
        deque(batches, maxlen=0)  # stop the other thread after its current batch
        raise
    return _Share(opened, inf)


def _open_batch(context: Context, ids: Sequence[UUID]) -> Batch:
    """Open one period of each subscription; hold those that cannot be opened."""
    parts = held_rows.isolate(
        ids,
        lambda part: _open_together(context, part),
        held_rows.holder(context, Kind.SUBSCRIPTION),
    )
    return Batch(
        sum(part.invoices for part in parts), [key for part in parts for key in part.still_due]
    )


def _open_together(context: Context, ids: Sequence[UUID]) -> Batch:
    """Open one period of each due, unlocked subscription in one transaction."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        return opening.open_in(connection, ids, now)

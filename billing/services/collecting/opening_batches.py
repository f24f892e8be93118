"""Opening in batches: open everything that is due, a thousand subscriptions in a transaction.

A tick opens periods for one second at a time, so that refunds and admin tasks do not wait on a day
with many due periods. `opening` opens a single period.
"""

from collections.abc import Sequence
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
FIRST_BATCH = 250
"""Small, so that the first charges are sent soon."""
BATCHES_LISTED = 10
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


def open_due(context: Context) -> int:
    """Open every period that has begun, oldest first, and return the number of new invoices."""
    return _open(context, BEGINNING, inf, BATCH * BATCHES_LISTED).invoices


def open_first(context: Context) -> Opened:
    """Open one batch of what is due, so that its invoices do not wait for the others."""
    return _open_leased(context, None, monotonic(), FIRST_BATCH)


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
    """Open in batches, one after another; the first is opened even if time is over.

    Opening takes one core at most: charges are being sent at the same time.
    """
    opened, is_first = 0, True
    for start in range(0, len(ids), BATCH):
        due = ids[start : start + BATCH]
        while due:
            if not is_first and monotonic() >= until:
                return _Listed(opened, start)
            new, due = _open_batch(context, due)
            opened, is_first = opened + new, False
    return _Listed(opened, len(ids))


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

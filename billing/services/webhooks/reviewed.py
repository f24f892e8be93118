"""Reviewed: what a person decided about an endpoint or a delivery, on a page that showed its state.

The page's form carries a mark of that state and an idempotency key: what another person has changed
since is not acted on, and a double click acts once.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import orjson

from billing.domain.events import Actor
from billing.services.context import Context, Request
from billing.services.operating.confirming import CHANGED, Changed
from billing.services.webhooks import endpoints, resending
from billing.store.queries import event_feed, pages
from billing.store.queries.webhooks import Endpoint

T = TypeVar("T")


def mark_of(row: Endpoint) -> str:
    """Return one value for what people decide about an endpoint; sending does not change it."""
    rotated_at, disabled_at = (
        None if at is None else at.timestamp()
        for at in (row.previous_secret_ends_at, row.disabled_at)
    )
    shown = [row.url, row.event_types, row.description, rotated_at, disabled_at]
    return sha256(orjson.dumps(shown)).hexdigest()[:32]


def is_used(context: Context, request: Request) -> bool:
    """Whether the key of a form was used: then its secret was shown, and is not shown again."""
    with context.database.transaction() as connection:
        return pages.is_key_used(connection, request.key)


def change(
    context: Context,
    endpoint_id: UUID,
    seen: str,
    request: Request,
    act: Callable[[Context], T],
    *,
    enables: bool = False,
) -> T:
    """Act on an endpoint if it is as it was shown, under its lock. Raises Changed.

    `act` passes the request on to the service, which gives the first result for a used key.
    """
    with context.database.transaction() as connection:
        if enables:
            event_feed.lock(connection)  # before the endpoint, like every service
        if not pages.is_key_used(connection, request.key):
            found = endpoints.known(connection, endpoint_id)
            # A double click waits for the lock, and then finds its key.
            if mark_of(found) != seen and not pages.is_key_used(connection, request.key):
                raise Changed(CHANGED)
        return act(context.joined(connection))


def replay(
    context: Context, endpoint_id: UUID, seen: str, wanted: resending.Range, by: Actor,
    request: Request,
) -> int:  # fmt: skip
    """Send a range again if the endpoint is as it was shown; return how many events.

    The look at the endpoint has its own transaction: a replay makes many rows, and the sequencer
    of the feed must not wait for them.
    """
    change(context, endpoint_id, seen, request, lambda _inside: None)
    return resending.replay(
        context, endpoint_id, by, after=wanted.after, until=wanted.until, request=request
    )


def resend(context: Context, delivery_id: UUID, seen: str, by: Actor, request: Request) -> None:
    """Send a delivery again if it has the status that was shown. Raises Changed."""
    with context.database.transaction() as connection:
        inside = context.joined(connection)
        if not pages.is_key_used(connection, request.key):
            found = resending.one(inside.database, delivery_id)
            endpoints.known(connection, found.endpoint)
            found = resending.one(inside.database, delivery_id)
            if found.status.value != seen and not pages.is_key_used(connection, request.key):
                raise Changed(CHANGED)
        resending.resend(inside, delivery_id, by, request)

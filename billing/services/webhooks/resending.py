"""Resending: list deliveries, send one again, or replay a range of the event feed."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.clock import real_now
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.payloads import Json
from billing.domain.webhooks import DeliveryStatus
from billing.services.context import Context, Request, once
from billing.services.reading.results import local
from billing.services.webhooks import endpoints, event_feed
from billing.store.queries import deliveries as rows
from billing.store.queries import event_feed as feed_rows
from billing.store.queries import events
from billing.store.queries.deliveries import Delivery
from billing.store.session import Database

REPLAY_MAX = 100_000
"""Positions of one replay: it is one statement."""


def page(
    database: Database,
    limit: int,
    *,
    endpoint_id: UUID | None = None,
    status: DeliveryStatus | None = None,
    before: UUID | None = None,
) -> list[Delivery]:
    """Return deliveries, the latest first; `before` is the last delivery of the page before.

    Raises InvalidValue when there is no such delivery, or when it is of another endpoint.
    """
    with database.transaction() as connection:
        last = None if before is None else rows.one(connection, before)
        if before is not None and last is None:
            raise InvalidValue(f"the cursor {before} is no delivery; begin with the first page")
        if last is not None and endpoint_id not in {None, last.endpoint}:
            raise InvalidValue("the cursor is from the list of another endpoint")
        found = rows.page(connection, limit, endpoint_id=endpoint_id, status=status, before=before)
        return [local(row) for row in found]


def one(database: Database, delivery_id: UUID) -> Delivery:
    """Return one delivery, or raise NotKnown."""
    with database.transaction() as connection:
        return local(_known(connection, delivery_id))


def resend(
    context: Context, delivery_id: UUID, by: Actor, request: Request | None = None
) -> Delivery:
    """Send one delivery again, now and with all its attempts; its `webhook-id` stays.

    Raises NotKnown, or IllegalMove when its endpoint is disabled.
    """

    def act(connection: Connection, now: datetime) -> Json:
        row = _known(connection, delivery_id)
        _check_enabled(connection, row.endpoint)
        rows.send_again(connection, [delivery_id], real_now())
        data = {"webhook": str(row.endpoint), "delivery": str(delivery_id)}
        events.record(connection, [event("webhook.resend_requested", at=now, by=by, data=data)])
        return {"delivery": str(delivery_id)}

    once(context, request, act)
    return one(context.database, delivery_id)


class Range(NamedTuple):
    """A range of positions that a replay sends: above `after`, up to `until`; and its events."""

    after: int
    until: int
    events: int


def measure(
    context: Context, endpoint_id: UUID, after: int, until: int | None = None
) -> Range:  # fmt: skip
    """Return what a replay would send. Raises what the replay raises."""
    event_feed.sequence(context)
    with context.database.transaction() as connection:
        _check_enabled(connection, endpoint_id)
        last = _last(connection, after, until)
        return Range(after, last, rows.count_of_range(connection, endpoint_id, after, last))


def replay(
    context: Context,
    endpoint_id: UUID,
    by: Actor,
    *,
    after: int,
    until: int | None = None,
    request: Request | None = None,
) -> int:
    """Send all events of a range of positions to an endpoint again; return how many.

    Events of its types with a position above `after` and up to `until`, which is the end of the
    feed by default. Those that it received before keep their `webhook-id`.
    """
    event_feed.sequence(context)

    def act(connection: Connection, now: datetime) -> Json:
        _check_enabled(connection, endpoint_id)
        last = _last(connection, after, until)
        made = rows.replay(connection, endpoint_id, after, last, real_now())
        data = {"webhook": str(endpoint_id), "after": after, "until": last, "deliveries": made}
        events.record(connection, [event("webhook.replayed", at=now, by=by, data=data)])
        return {"deliveries": made}

    answer = once(context, request, act)
    return int(str(answer.get("deliveries")))


def _last(connection: Connection, after: int, until: int | None) -> int:
    """Return the last position of a range; without one the end of the feed."""
    end = feed_rows.end(connection)
    last = end if until is None else min(until, end)
    if after < 0 or after >= last:
        raise InvalidValue(f"the range after {after} up to {last} has no event", field="last")
    if feed_rows.scanned_to(connection, after, REPLAY_MAX) < last:
        raise InvalidValue(
            f"a replay has at most {REPLAY_MAX:,} events; give a shorter range", field="last"
        )
    return last


def _check_enabled(connection: Connection, endpoint_id: UUID) -> None:
    row = endpoints.known(connection, endpoint_id)
    if row.disabled_at is not None:
        raise IllegalMove(
            f"webhook endpoint {endpoint_id} is disabled ({row.disabled_cause}); enable it first",
            hint=f"billing webhook update {endpoint_id} --enable",
        )


def _known(connection: Connection, delivery_id: UUID) -> Delivery:
    row = rows.one(connection, delivery_id)
    if row is None:
        raise NotKnown(
            f"no delivery has the id {delivery_id}", hint="see: billing webhook deliveries"
        )
    return row

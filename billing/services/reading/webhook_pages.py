"""Webhook pages: whether the receivers of events hear us, and what was sent to them.

A payload is what a failed attempt sent, or what an attempt would send now. Nothing is written.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.clock import real_now
from billing.domain.errors import NotKnown
from billing.domain.paging import Listed, Of, Page, cursor, place_of
from billing.domain.webhooks import DISABLED_BY_OPERATOR, DeliveryStatus
from billing.services.context import Context
from billing.services.webhooks import endpoints, payloads, resending
from billing.store.queries import deliveries, event_feed
from billing.store.queries import webhooks as rows
from billing.store.queries.deliveries import Count, Delivery, LastAnswer, Place
from billing.store.queries.webhooks import Endpoint

COUNT_MAX = 10_000
"""Deliveries of a status that are counted; with more the page says `more than`."""
_PLACE = (datetime, int)
_OPEN = (DeliveryStatus.PENDING, DeliveryStatus.FAILED)


class Wanted(NamedTuple):
    """Which deliveries a list has: those of an endpoint, of one status or of all."""

    endpoint: UUID
    status: DeliveryStatus | None


class Health(NamedTuple):
    """An endpoint, and whether its receiver hears us."""

    endpoint: Endpoint
    last_succeeded_at: datetime | None
    counts: dict[DeliveryStatus, Count]

    @property
    def is_deaf(self) -> bool:
        """Whether events do not arrive, without an operator having wanted that."""
        row = self.endpoint
        is_off = row.disabled_at is not None and row.disabled_cause != DISABLED_BY_OPERATOR
        return is_off or row.first_failed_at is not None

    def count(self, status: DeliveryStatus) -> int:
        """Return how many deliveries have a status, at most one more than COUNT_MAX."""
        found = self.counts.get(status)
        return 0 if found is None else found.deliveries

    @property
    def oldest_pending_at(self) -> datetime | None:
        """Return since when the oldest pending delivery waits."""
        found = self.counts.get(DeliveryStatus.PENDING)
        return None if found is None else found.oldest_at


class Overview(NamedTuple):
    """All endpoints, at a moment of real time."""

    at: datetime
    endpoints: Sequence[Health]


class EndpointPage(NamedTuple):
    """An endpoint with one page of its deliveries; `end` is the last position of the feed.

    `last_failure` is why the oldest pending delivery was not accepted.
    """

    at: datetime
    health: Health
    listed: Listed[Delivery]
    last_received: int | None
    end: int
    last_failure: LastAnswer | None


class DeliveryPage(NamedTuple):
    """A delivery with its payload, None if it cannot be built; `is_kept` says that it was sent."""

    row: Delivery
    endpoint: Endpoint
    payload: str | None
    is_kept: bool


def overview(context: Context) -> Overview:
    """Return all endpoints, the oldest first."""
    with context.database.transaction() as connection:
        return Overview(real_now(), _health(connection, _OPEN))


def of_endpoint(
    context: Context, endpoint_id: UUID, status: DeliveryStatus | None, page: Page
) -> EndpointPage:
    """Return an endpoint with deliveries, newest first. Raises NotKnown, or InvalidValue."""
    of = Of.wanted("deliveries", Wanted(endpoint_id, status))
    after = None if page.after is None else _place(page.after, of)
    wanted = list(DeliveryStatus) if status is None else [status]
    with context.database.transaction() as connection:
        found = _health(connection, list(DeliveryStatus), endpoint_id)
        if not found:
            raise NotKnown(f"no webhook endpoint has the id {endpoint_id}")
        read = deliveries.of_endpoint(connection, endpoint_id, wanted, after, page.limit + 1)
        received = deliveries.of_endpoint(
            connection, endpoint_id, [DeliveryStatus.SUCCEEDED], None, 1
        )  # fmt: skip
        return EndpointPage(
            real_now(), found[0], _page(read, page.limit, of),
            received[0].position if received else None, event_feed.end(connection),
            deliveries.last_failure(connection, endpoint_id),
        )  # fmt: skip


def of_delivery(context: Context, delivery_id: UUID) -> DeliveryPage:
    """Return a delivery with its payload. Raises NotKnown, also for one of a deleted endpoint."""
    with context.database.transaction() as connection:
        inside = context.joined(connection)
        row = resending.one(inside.database, delivery_id)
        endpoint = endpoints.one(inside.database, row.endpoint)
        kept = deliveries.kept_body(connection, delivery_id)
        made = kept.encode() if kept is not None else _built(connection, row.event)
    written = None if made is None else json.dumps(json.loads(made), indent=2, ensure_ascii=False)
    return DeliveryPage(row, endpoint, written, kept is not None)


def _built(connection: Connection, event_id: int) -> bytes | None:
    events = deliveries.events_of(connection, [event_id])
    return payloads.bodies(connection, events).get(event_id)


def _health(
    connection: Connection, statuses: Sequence[DeliveryStatus], endpoint_id: UUID | None = None
) -> list[Health]:
    counts: dict[UUID, dict[DeliveryStatus, Count]] = {}
    for each in deliveries.counts(connection, statuses, COUNT_MAX + 1, endpoint_id):
        counts.setdefault(each.endpoint, {})[each.status] = each
    return [
        Health(row, succeeded_at, counts.get(row.id, {}))
        for row, succeeded_at in rows.watched(connection, endpoint_id)
    ]


def _page(found: list[Delivery], limit: int, of: Of) -> Listed[Delivery]:
    if len(found) <= limit:
        return Listed(found, None)
    last = found[limit - 1]
    return Listed(found[:limit], cursor(of, [last.created_at, last.event]))


def _place(text: str, of: Of) -> Place:
    created_at, event = place_of(text, of, _PLACE)
    assert isinstance(created_at, datetime)  # noqa: S101 - `place_of` checked it
    assert isinstance(event, int)  # noqa: S101 - the same
    return Place(created_at, event)

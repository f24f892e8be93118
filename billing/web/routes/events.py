"""`/v1/events`: every event once, in the order in which it became visible."""

from datetime import datetime
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from billing.domain.event_kinds import expanded
from billing.services.webhooks import event_feed
from billing.store.queries.event_feed import FeedEvent
from billing.web import answers, queries
from billing.web.access import Reader
from billing.web.routes.common import refusals
from billing.web.schemas import page_of

router = APIRouter(prefix="/v1", tags=["events"], responses=refusals())


class Event(NamedTuple):
    """A recorded fact, with its position in the feed."""

    position: int
    id: int
    created_at: datetime
    kind: str
    actor: str
    reason: str | None
    customer: str | None
    subscription: UUID | None
    invoice: UUID | None
    charge: UUID | None
    data: dict[str, object]


@router.get("/events", response_model=page_of(Event), operation_id="list_events")
def events(caller: Reader, query: Annotated[queries.Events, Query()]) -> Response:
    """Read the event feed, oldest first.

    `next_cursor` is never null: send it as `after` next time, also when `data` is empty. An event
    that is committed late gets a later position, so that a reader of all pages misses none.
    """
    kinds = expanded(query.kind) if query.kind else []
    found = event_feed.read_events(
        caller.context, query.after, query.limit, customer_id=query.customer,
        subscription_id=query.subscription, kinds=kinds,
    )  # fmt: skip
    return answers.page([_shown(each) for each in found.events], str(found.next_after))


def _shown(row: FeedEvent) -> Event:
    return Event(
        row.position, row.id, row.at, row.kind, row.actor, row.reason, row.customer_id,
        row.subscription_id, row.invoice_id, row.charge_id, dict(row.data),
    )  # fmt: skip

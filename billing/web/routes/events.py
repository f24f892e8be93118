"""`/v1/events`: every event once, in the order in which it became visible."""

from typing import Annotated

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


@router.get("/events", response_model=page_of(FeedEvent, "Event"), operation_id="list_events")
def events(caller: Reader, query: Annotated[queries.Events, Query()]) -> Response:
    """Read the event feed, oldest first.

    `next_cursor` is never null: send it as `after` next time, also when `data` is empty. An event
    that is committed late gets a later position, so that a reader of all pages misses none.
    """
    kinds = expanded(query.type) if query.type else []
    found = event_feed.read_events(
        caller.context, query.after, query.limit, customer_id=query.customer,
        subscription_id=query.subscription, kinds=kinds,
    )  # fmt: skip
    return answers.page(found.events, str(found.next_after))

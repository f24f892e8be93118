"""`/v1/webhook-endpoints` and `/v1/webhook-deliveries`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from billing.services.webhooks import endpoints, resending
from billing.store.queries.deliveries import Delivery
from billing.store.queries.webhooks import Endpoint
from billing.web import answers, bodies, deeds, queries
from billing.web.access import Administrator, Reader
from billing.web.deeds import Key
from billing.web.routes.common import refusals
from billing.web.schemas import model_of, page_of

router = APIRouter(prefix="/v1", tags=["webhooks"])
ENDPOINT, DELIVERY = model_of(Endpoint, "WebhookEndpoint"), model_of(Delivery, "WebhookDelivery")
WITH_SECRET = model_of(endpoints.WithSecret, "WebhookEndpointWithSecret")


@router.post(
    "/webhook-endpoints", response_model=WITH_SECRET, status_code=201,
    responses=refusals(409, body=True), operation_id="create_webhook_endpoint",
)  # fmt: skip
def create(body: bodies.WebhookEndpointBody, caller: Administrator, key: Key = None) -> Response:
    """Create an endpoint; its `secret` is shown here, and after a rotation."""
    deed = deeds.of(caller, key, "webhooks.create", body)
    made = deed.do(
        lambda context: endpoints.create(
            context, body.url, caller.actor(body.reason), event_types=body.event_types,
            description=body.description, request=deed.request,
        )
    )  # fmt: skip
    return answers.one(made, 201)


@router.get(
    "/webhook-endpoints", response_model=page_of(Endpoint, "WebhookEndpoint"),
    responses=refusals(), operation_id="list_webhook_endpoints",
)  # fmt: skip
def every(caller: Reader) -> Response:
    """List all endpoints, without their secrets."""
    return answers.page(endpoints.every(caller.context.database), None)


@router.get(
    "/webhook-endpoints/{endpoint_id}", response_model=ENDPOINT, responses=refusals(404),
    operation_id="get_webhook_endpoint",
)  # fmt: skip
def show(endpoint_id: UUID, caller: Reader) -> Response:
    """Show an endpoint, without its secret."""
    return answers.one(endpoints.one(caller.context.database, endpoint_id))


@router.patch(
    "/webhook-endpoints/{endpoint_id}", response_model=ENDPOINT,
    responses=refusals(404, 409, body=True), operation_id="update_webhook_endpoint",
)  # fmt: skip
def update(endpoint_id: UUID, body: bodies.WebhookChangesBody, caller: Administrator) -> Response:
    """Change an endpoint's URL, event types or description, or enable or disable it."""
    changes = endpoints.Changes(body.url, body.event_types, body.description, body.enabled)
    by = caller.actor(body.reason)
    return answers.one(endpoints.update(caller.context, endpoint_id, changes, by))


@router.delete(
    "/webhook-endpoints/{endpoint_id}", status_code=204, responses=refusals(404),
    operation_id="delete_webhook_endpoint",
)  # fmt: skip
def delete(endpoint_id: UUID, caller: Administrator) -> Response:
    """Delete an endpoint and its deliveries."""
    endpoints.delete(caller.context, endpoint_id, caller.actor())
    return Response(status_code=204)


@router.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret", response_model=WITH_SECRET,
    responses=refusals(404, 409), operation_id="rotate_webhook_secret",
)  # fmt: skip
def rotate_secret(endpoint_id: UUID, caller: Administrator, key: Key = None) -> Response:
    """Make a new secret; the previous one also signs for 24 hours."""
    deed = deeds.Deed(caller, key, "webhooks.rotate", {"endpoint": str(endpoint_id)})
    made = deed.do(
        lambda context: endpoints.rotate_secret(context, endpoint_id, caller.actor(), deed.request)
    )
    return answers.one(made)


@router.post(
    "/webhook-endpoints/{endpoint_id}/test", response_model=bodies.WebhookTest,
    responses=refusals(404, 409, 502), operation_id="test_webhook_endpoint",
)  # fmt: skip
def send_test(endpoint_id: UUID, caller: Administrator) -> Response:
    """Send a test event now, and say what the receiver answered."""
    answer = endpoints.send_test(caller.context, endpoint_id)
    found = {"succeeded": answer.succeeded, "status_code": answer.status_code,
             "error": answer.error}  # fmt: skip
    return answers.one(found)


@router.post(
    "/webhook-endpoints/{endpoint_id}/replay", response_model=bodies.WebhookReplayed,
    responses=refusals(404, 409, body=True), operation_id="replay_webhooks",
)  # fmt: skip
def replay(
    endpoint_id: UUID, body: bodies.WebhookReplayBody, caller: Administrator, key: Key = None
) -> Response:
    """Send the events of a range of feed positions again."""
    deed = deeds.of(caller, key, "webhooks.replay", body, endpoint=endpoint_id)
    count = deed.do(
        lambda context: resending.replay(
            context, endpoint_id, caller.actor(body.reason), after=body.after, until=body.last,
            request=deed.request,
        )
    )  # fmt: skip
    return answers.one({"deliveries_count": count})


@router.get(
    "/webhook-deliveries", response_model=page_of(Delivery, "WebhookDelivery"),
    responses=refusals(404), operation_id="list_webhook_deliveries",
)  # fmt: skip
def deliveries(caller: Reader, query: Annotated[queries.Deliveries, Query()]) -> Response:
    """List deliveries, newest first."""
    found = resending.page(
        caller.context.database, query.limit + 1, endpoint_id=query.endpoint,
        status=query.status, before=query.after,
    )  # fmt: skip
    shown = found[: query.limit]
    return answers.page(shown, str(shown[-1].id) if len(found) > query.limit else None)


@router.post(
    "/webhook-deliveries/{delivery_id}/resend", response_model=DELIVERY,
    responses=refusals(404, 409), operation_id="resend_webhook",
)  # fmt: skip
def resend(delivery_id: UUID, caller: Administrator, key: Key = None) -> Response:
    """Send one delivery again, now."""
    deed = deeds.Deed(caller, key, "webhooks.resend", {"delivery": str(delivery_id)})
    found = deed.do(
        lambda context: resending.resend(context, delivery_id, caller.actor(), deed.request)
    )
    return answers.one(found)

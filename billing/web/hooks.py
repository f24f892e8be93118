"""Hooks: the part of the OpenAPI document about what webhooks bring, one schema for all types."""

from datetime import datetime
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import models_json_schema

from billing.domain.event_kinds import KINDS, Resource
from billing.services.reading import results
from billing.services.webhooks import examples
from billing.services.webhooks.payloads import TEST
from billing.store.queries import listing_rows as rows
from billing.store.queries.balances import ShownCredit
from billing.store.queries.coupons import Coupon
from billing.web.schemas import model_of

OBJECTS: dict[Resource, Any] = {
    Resource.PLAN: model_of(rows.Plan, "Plan"),
    Resource.COUPON: model_of(Coupon),
    Resource.CUSTOMER: model_of(results.Customer),
    Resource.WALLET: model_of(rows.Wallet),
    Resource.SUBSCRIPTION: model_of(rows.Subscription),
    Resource.INVOICE: model_of(rows.Invoice),
    Resource.CHARGE: model_of(results.Charge),
    Resource.REFUND: model_of(rows.Refund),
    Resource.CREDIT: model_of(ShownCredit, "Credit"),
}
"""The schema of `object` for each `object_type`: the row of the list of that resource."""

EventType = StrEnum("EventType", {kind: kind for kind in KINDS})  # type: ignore[misc]  # computed
EventType.__doc__ = "The types of events. docs/events.md says when each happens."
PLAIN = frozenset({"EventType", "Resource"})
"""Enums whose values are explained elsewhere: in docs/events.md, and by the name of a resource."""
_REF = "#/components/schemas/{model}"
_HEADERS = {
    "webhook-id": "The delivery: the same for each attempt. Store it, and ignore a repeat",
    "webhook-timestamp": "Seconds since 1970 of this attempt; refuse one more than 5 minutes away",
    "webhook-signature": "`v1,` and the base64 of an HMAC-SHA256; several with blanks between",
}


class WebhookData(BaseModel):
    """The rest of the event's row in the feed, and what the event is about."""

    sequence: int | None = Field(
        description="Number of the event among those of its subscription, without gaps"
    )
    id: int | None = Field(description="Id of the event; null in a test")
    position: int | None = Field(description="Position in the event feed; null in a test")
    actor: str = Field(description="Who caused the event")
    reason: str | None = Field(description="The reason that a person gave")
    customer: str | None = Field(description="Id of the customer")
    subscription: UUID | None = Field(description="Id of the subscription")
    invoice: UUID | None = Field(description="Id of the invoice")
    charge: UUID | None = Field(description="Id of the charge")
    details: dict[str, Any] = Field(description="What happened; the keys depend on the type")
    object_type: Annotated[
        Resource | None, Field(description="What `object` is; null: the event is about none")
    ]


_DATA: Any = create_model(
    "WebhookData",
    __base__=WebhookData,
    __doc__=WebhookData.__doc__,
    object=(
        reduce(or_, OBJECTS.values()) | None,
        Field(description="The resource at the first attempt, as its list shows it"),
    ),
)
_TYPE: Any = Annotated[EventType, Field(description=f"The type; `{TEST}` in a test")]
EVENT = create_model(
    "WebhookEvent",
    __doc__="The body of a webhook (Standard Webhooks 1.0.0).",
    type=(_TYPE, ...),
    timestamp=(datetime, Field(description="When the event happened")),
    data=(_DATA, ...),
)


def add(document: dict[str, Any]) -> None:
    """Add the webhook to a document, with the schemas that it needs."""
    _, found = models_json_schema([(EVENT, "validation")], ref_template=_REF)
    schemas = document["components"]["schemas"]
    for name, schema in found["$defs"].items():
        schemas.setdefault(name, schema)
    schemas["EventType"]["enum"].append(TEST)
    for name in ("Event", "WebhookDelivery"):
        schemas[name]["properties"]["type"] = {"$ref": _REF.format(model="EventType")}
    document["webhooks"] = {"event": {"post": _operation()}}


def _operation() -> dict[str, Any]:
    content = {
        "schema": {"$ref": _REF.format(model="WebhookEvent")},
        "examples": {kind: {"value": body} for kind, body in examples.made().items()},
    }
    return {
        "operationId": "receive_event",
        "tags": ["webhooks"],
        "summary": "An event happened",
        "description": "Sent to each endpoint that receives the event's type, until it answers with"
        " a 2xx status. Check the signature with the endpoint's secret.",
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": meaning,
             "schema": {"type": "string"}}
            for name, meaning in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "204": {"description": "Accepted, like any other 2xx status"},
            "410": {"description": "No more webhooks are wanted: the endpoint is disabled"},
        },
    }  # fmt: skip

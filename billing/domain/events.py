"""Events: recorded facts and their actors."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from billing.domain.payloads import Json


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused an event, and the reason that an operator gave.

    `approved_by` is the second person, for what needs one; each event then has both names.
    """

    name: str
    reason: str | None = None
    approved_by: str | None = None


SCHEDULER = Actor("scheduler")
OPERATOR = Actor("operator")
GATEWAY = Actor("gateway")

MACHINES = (SCHEDULER.name, GATEWAY.name)
"""The actors of events that no person and no program of the merchant caused."""

NewEvent = tuple[str, Json]
"""The kind and the data of an event to record; the recorder adds the objects that it concerns."""


class About(TypedDict, total=False):
    """The objects that an event concerns."""

    customer_id: str
    subscription_id: UUID
    invoice_id: UUID
    charge_id: UUID


class Event(TypedDict):
    """An event as it is inserted."""

    kind: str
    at: datetime
    actor: str
    reason: str | None
    customer_id: str | None
    subscription_id: UUID | None
    invoice_id: UUID | None
    charge_id: UUID | None
    data: Json


def event(
    kind: str,
    *,
    at: datetime,
    by: Actor = SCHEDULER,
    customer_id: str | None = None,
    subscription_id: UUID | None = None,
    invoice_id: UUID | None = None,
    charge_id: UUID | None = None,
    data: Json | None = None,
    **more: object,
) -> Event:
    """Build one event: `noun.verb_past`, time, actor, reason, object.

    `data` must be valid JSON, and so must `more`, which is added to it.
    """
    if by.approved_by is not None:
        more["approved_by"] = by.approved_by
    return {
        "kind": kind,
        "at": at,
        "actor": by.name,
        "reason": by.reason,
        "customer_id": customer_id,
        "subscription_id": subscription_id,
        "invoice_id": invoice_id,
        "charge_id": charge_id,
        "data": {**data, **more} if data else more,
    }

"""Events: recorded facts and their actors."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused an event, and the reason that an operator gave."""

    name: str
    reason: str | None = None


SCHEDULER = Actor("scheduler")
OPERATOR = Actor("operator")


def event(
    kind: str,
    *,
    at: datetime,
    by: Actor = SCHEDULER,
    customer_id: str | None = None,
    subscription_id: UUID | None = None,
    invoice_id: UUID | None = None,
    charge_id: UUID | None = None,
    **data: Any,
) -> dict[str, Any]:
    """Build one event: `noun.verb_past`, time, actor, reason, object. `data` must be valid JSON."""
    return {
        "kind": kind,
        "at": at,
        "actor": by.name,
        "reason": by.reason,
        "customer_id": customer_id,
        "subscription_id": subscription_id,
        "invoice_id": invoice_id,
        "charge_id": charge_id,
        "data": data,
    }

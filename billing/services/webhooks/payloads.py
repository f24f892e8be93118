"""Payloads: the body, the id and the headers of a webhook.

The body is built from the event's row at each attempt, and is not stored. An event never changes,
so that each attempt sends the same bytes, except after an erasure: what is sent or sent again after
it has no text of the erased customer, and is signed as it is then.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import orjson

from billing.outbound import signing
from billing.store.queries.deliveries import Sequenced
from billing.store.queries.webhooks import Sealed
from billing.store.vault import Vault

TEST = "webhook.test"
"""The type of the event that only a test sends."""


def webhook_id(delivery_id: UUID) -> str:
    """Return the `webhook-id` of a delivery: the same for each attempt, also when sent again."""
    return f"msg_{delivery_id.hex}"


def body(sequenced: Sequenced) -> bytes:
    """Return the body for an event: type, timestamp and data, as Standard Webhooks names them."""
    event = sequenced.event
    document = {
        "type": event.kind,
        "timestamp": event.at.astimezone(UTC),
        "data": {
            "position": event.position,
            "customer": event.customer_id,
            "subscription": event.subscription_id,
            "invoice": event.invoice_id,
            "charge": event.charge_id,
            "sequence": sequenced.sequence,
            "details": event.data,
        },
    }
    return orjson.dumps(document)


def test_body(endpoint_id: UUID, now: datetime) -> bytes:
    """Return the body of a test."""
    data = {"webhook": endpoint_id}
    return orjson.dumps({"type": TEST, "timestamp": now.astimezone(UTC), "data": data})


def secrets(vault: Vault, row: Sealed, now: datetime) -> list[str]:
    """Decrypt the secrets that sign at this time. Raises NotConfigured when no key decrypts them.

    The previous secret counts for a day after a rotation.
    """
    live = [row.secret_sealed]
    until, previous = row.previous_secret_until, row.previous_secret_sealed
    if previous is not None and until is not None and now < until:
        live.append(previous)
    return [vault.open(each).decode() for each in live]


def headers(webhook_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return all headers of a webhook."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "ovo-billing-webhooks/1",
        **signing.headers(webhook_id, at, body, secrets),
    }

"""Payloads: the body, the id and the headers of a webhook.

The body is built for the first attempt, with the resource as it is then. When that attempt fails,
the body is stored, so that each attempt sends the same bytes. An erasure removes stored bodies; the
next attempt builds one without the personal data.
"""

from datetime import UTC, datetime
from uuid import UUID

import orjson
from sqlalchemy import Connection

from billing.domain.documents import document
from billing.domain.events import OPERATOR
from billing.outbound import signing
from billing.services.webhooks import resources
from billing.store.queries.deliveries import Sequenced
from billing.store.queries.event_feed import FeedEvent
from billing.store.queries.webhooks import Sealed
from billing.store.vault import Vault

TEST = "webhook.test"
"""The type of the event that only a test sends."""


def webhook_id(delivery_id: UUID) -> str:
    """Return the `webhook-id` of a delivery: the same for each attempt, also when sent again."""
    return f"msg_{delivery_id.hex}"


def bodies(connection: Connection, events: dict[int, Sequenced]) -> dict[int, bytes]:
    """Build the body for each event: type, timestamp and data, as Standard Webhooks names them."""
    found = resources.read(connection, [each.event for each in events.values()])
    return {key: body(each, found) for key, each in events.items()}


def body(sequenced: Sequenced, found: resources.Found) -> bytes:
    """Build the body for an event, with its resource if that is among those found."""
    event, key = sequenced.event, resources.key_of(sequenced.event)
    rest = {name: value for name, value in document(event).items() if name not in _OUTSIDE}
    resource = None if key is None else found.get(key)
    data = {
        "sequence": sequenced.sequence,
        **rest,
        "object_type": None if key is None else key.type.value,
        "object": None if resource is None else document(resource),
    }
    return _encoded({"type": event.type, "timestamp": event.timestamp, "data": data})


_OUTSIDE = frozenset({"type", "timestamp"})
"""Fields of an event that are beside the data."""


def _encoded(made: dict[str, object]) -> bytes:
    return orjson.dumps(made, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: object) -> str:
    """Write an instant in UTC, and a wall time as it is, like the HTTP interface."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a webhook")


def test_body(endpoint_id: UUID, now: datetime) -> bytes:
    """Return the body of a test: the fields of an event, nearly all of them empty."""
    data: dict[str, object] = {
        "sequence": None,
        **{name: None for name in FeedEvent._fields if name not in _OUTSIDE},
        "actor": OPERATOR.name,
        "details": {"webhook": str(endpoint_id)},
        "object_type": None,
        "object": None,
    }
    return _encoded({"type": TEST, "timestamp": now, "data": data})


def signer(vault: Vault, row: Sealed, now: datetime) -> signing.Signer:
    """Decrypt the secrets that sign at this time. Raises NotConfigured when no key decrypts them.

    The previous secret counts for a day after a rotation.
    """
    live = [row.secret_sealed]
    until, previous = row.previous_secret_until, row.previous_secret_sealed
    if previous is not None and until is not None and now < until:
        live.append(previous)
    return signing.Signer([vault.open(each).decode() for each in live])


def headers(webhook_id: str, at: datetime, body: bytes, signer: signing.Signer) -> dict[str, str]:
    """Return all headers of a webhook."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "ovo-billing-webhooks/1",
        **signer.headers(webhook_id, at, body),
    }

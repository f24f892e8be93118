"""The database refuses wrong rows of the event feed and of webhooks from any writer."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from billing.domain.events import OPERATOR
from billing.domain.webhooks import DISABLED_BY_OPERATOR
from billing.services.webhooks import endpoints
from tests.integration.engine import Engine

DELIVERY = """
    INSERT INTO webhook_deliveries (endpoint_id, event_id, status, next_attempt_at, created_at,
        settled_at) VALUES (:endpoint, :event, :status, {next}, now(), {settled})
"""


def created(engine: Engine) -> UUID:
    """An endpoint."""
    return endpoints.create(engine.context, "https://shop.example/", OPERATOR).endpoint.id


def deliver(
    engine: Engine, endpoint: UUID, *, event: int = 1, status: str = "pending",
    following: str = "now()", settled: str = "NULL",
) -> None:  # fmt: skip
    """Insert a delivery directly."""
    statement = DELIVERY.format(next=following, settled=settled)
    engine.execute(statement, endpoint=endpoint, event=event, status=status)


def test_an_event_is_in_the_feed_once(engine: Engine) -> None:
    """Two sequencers that both forgot the lock would not make a reader see it twice."""
    engine.execute("INSERT INTO event_feed (event_id) VALUES (1)")
    with pytest.raises(IntegrityError):
        engine.execute("INSERT INTO event_feed (event_id) VALUES (1)")
    with pytest.raises(IntegrityError):
        engine.execute("INSERT INTO event_feed_state (id) VALUES (2)")


def test_an_event_is_delivered_to_an_endpoint_once(engine: Engine) -> None:
    """One row for each pair; another endpoint has its own."""
    first, second = created(engine), created(engine)
    deliver(engine, first)
    deliver(engine, second)
    with pytest.raises(IntegrityError):
        deliver(engine, first)
    with pytest.raises(IntegrityError):
        deliver(engine, uuid4(), event=2)


@pytest.mark.parametrize(
    ("status", "following", "settled"),
    [
        ("pending", "NULL", "NULL"),
        ("pending", "now()", "now()"),
        ("succeeded", "now()", "now()"),
        ("failed", "NULL", "NULL"),
        ("lost", "NULL", "now()"),
    ],
)
def test_a_delivery_waits_or_is_settled(
    engine: Engine, status: str, following: str, settled: str
) -> None:
    """A pending one has its next attempt, and any other its end: none is forgotten."""
    endpoint = created(engine)
    with pytest.raises(IntegrityError):
        deliver(engine, endpoint, status=status, following=following, settled=settled)


@pytest.mark.parametrize(
    "change",
    [
        "disabled_at = now()",
        "disabled_cause = 'x'",
        "deleted_at = now()",
        "previous_secret_sealed = 'x'",
        "previous_secret_until = now()",
    ],
)
def test_an_endpoint_is_complete(engine: Engine, change: str) -> None:
    """A disabled one has its cause, a deleted one is disabled, a previous secret has its end."""
    endpoint = created(engine)
    with pytest.raises(IntegrityError):
        engine.execute(f"UPDATE webhook_endpoints SET {change} WHERE id = :id", id=endpoint)
    endpoints.update(engine.context, endpoint, endpoints.Changes(enabled=False), OPERATOR)
    assert endpoints.one(engine.context.database, endpoint).disabled_cause == DISABLED_BY_OPERATOR

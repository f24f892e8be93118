"""What the tests of webhooks share: an endpoint, the tick that sends, and the deliveries."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from billing.domain.events import OPERATOR
from billing.services.webhooks import endpoints, fanout, sending
from tests.integration.engine import Engine


def create(engine: Engine, url: str, *types: str) -> tuple[UUID, str]:
    """Create an endpoint; its id and its secret."""
    made = endpoints.create(engine.context, url, OPERATOR, event_types=types)
    return made.endpoint.id, made.secret


def tick(engine: Engine, seconds: float = 5) -> int:
    """Do what the tick and its tasks do, at the same time for all endpoints; return how many."""
    fanout.fan_out(engine.context)
    fanout.tidy_up(engine.context)
    due = sending.lease_due(engine.context, 100)
    with ThreadPoolExecutor(max(len(due), 1)) as pool:
        list(pool.map(lambda each: sending.send_due(engine.context, each, seconds), due))
    sending.end_leases(engine.context, due)
    return len(due)


def later(engine: Engine) -> None:
    """Make each retry due."""
    engine.execute("UPDATE webhook_deliveries SET next_attempt_at = now()"
                   " WHERE next_attempt_at IS NOT NULL")  # fmt: skip


def rows(engine: Engine, endpoint: UUID) -> list[dict[str, Any]]:
    """The deliveries of an endpoint, in the order of events."""
    statement = "SELECT * FROM webhook_deliveries WHERE endpoint_id = :id ORDER BY event_id"
    return [dict(row) for row in engine.rows(statement, id=endpoint)]

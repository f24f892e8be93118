"""An engine that sends webhooks to this machine, a receiver, and what the tick does.

It does what the tick and the webhook worker do, in this process and in real time.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR
from billing.sandbox.process import SandboxProcess
from billing.services.webhooks import endpoints, fanout, sending
from tests.integration.engine import Engine, running
from tests.integration.kept import Kept
from tests.integration.receiver import Receiver, receiving


@pytest.fixture
def hooked(emptied: Kept, gateway: SandboxProcess) -> Iterator[Engine]:
    """An engine that may send to this machine."""
    with running(emptied, gateway, webhook_allowed_hosts="127.0.0.1,localhost") as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with receiving() as made:
        yield made


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

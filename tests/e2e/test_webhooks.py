"""Webhooks with worker, beat, webhook worker and gateway as processes."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import psutil
import psycopg
import pytest
from sqlalchemy import text

from billing.services.webhooks import endpoints
from tests.e2e.world import BY, World, world
from tests.integration.receiver import Receiver, receiving, status
from tests.servers import Servers, short_folder
from tests.waits import wait_until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def shared(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[World]:
    """All processes, which may send to this machine."""
    with (
        short_folder() as folder,
        shared_servers.fresh_database(_admin) as database_url,
        world(
            folder, database_url, shared_servers.own_redis(), {"worker", "webhooks", "beat"},
            BILLING_WEBHOOK_ALLOWED_HOSTS="127.0.0.1",
        ) as there,
    ):  # fmt: skip
        yield there


@pytest.fixture
def engine(shared: World) -> World:
    """The processes, without rows of the previous test."""
    shared.begin_anew()
    return shared


def test_a_receiver_that_hangs_delays_no_charge_and_a_killed_sender_repeats(
    engine: World, receiver: Receiver
) -> None:
    """The charge succeeds while the receiver hangs; after a kill the same id comes again."""
    endpoints.create(engine.context, receiver.url, BY, event_types=["invoice.paid"])
    with receiving() as slow:
        slow.answer = slow.silent
        endpoints.create(engine.context, slow.url, BY, event_types=["plan.created"])
        engine.plan("gold")
        wait_until(lambda: bool(slow.received), "the slow receiver has a request")
        engine.join("putri", "gold")
        engine.until("2026-01-31T10:00:00+07:00")
        wait_until(lambda: bool(receiver.received), "the invoice is paid, and its webhook is here")
        # Accepted and not recorded yet, it would come again after the kill: at least once.
        wait_until(lambda: _succeeded(engine) == 1, "the delivery is recorded as succeeded")
        [request] = slow.received

        [sender] = [each for each in engine.stack.status() if each.name == "webhooks"]
        psutil.Process(sender.pid).kill()
        slow.answer = status(200)
        with engine.context.database.transaction() as connection:  # as time would
            for table in ("webhook_endpoints", "webhook_deliveries"):
                connection.execute(
                    text(f"UPDATE {table} SET leased_until = NULL WHERE leased_until IS NOT NULL")
                )
        wait_until(lambda: len(slow.received) > 1, "the killed sender's delivery comes again")

    assert {each.webhook_id for each in slow.received} == {request.webhook_id}
    assert {each.body for each in slow.received} == {request.body}
    assert receiver.kinds() == ["invoice.paid"]


def _succeeded(engine: World) -> int:
    with engine.context.database.transaction() as connection:
        counted = text("SELECT count(*) FROM webhook_deliveries WHERE status = 'succeeded'")
        return int(connection.execute(counted).scalar_one())


def test_a_receiver_that_was_down_gets_everything_later(engine: World, receiver: Receiver) -> None:
    """It answers 503 at first; each event comes again until it is accepted."""

    def unavailable(handler: BaseHTTPRequestHandler) -> None:
        receiver.answer = status(204)
        status(503)(handler)

    receiver.answer = unavailable
    _, secret = endpoints.create(engine.context, receiver.url, BY, event_types=["plan.created"])
    engine.plan("gold")
    wait_until(lambda: len(receiver.received) == 2, "the second attempt, five seconds later")

    first, second = receiver.received
    assert first.webhook_id == second.webhook_id
    for each in (first, second):
        each.verify(secret)

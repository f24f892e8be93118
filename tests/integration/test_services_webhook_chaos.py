"""Webhooks under random trouble: each event reaches each endpoint, always with the same id."""

import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from billing.sandbox.process import SandboxProcess
from billing.services.webhooks import sending
from billing.store.queries import deliveries
from tests.integration.engine import Engine
from tests.integration.hooked import create, later, tick
from tests.integration.receiver import Receiver, receiving, status

ENDPOINTS, ROUNDS = 3, 12


class Killed(BaseException):
    """What ends a sender in the middle."""


@pytest.fixture
def second(hooked: Engine, gateway: SandboxProcess) -> Iterator[Engine]:
    """Another process that sends for the same database."""
    made = Engine(hooked.url, gateway, webhook_allowed_hosts="127.0.0.1")
    yield made
    made.close()


def moody(rng: random.Random) -> Any:
    """A receiver that accepts, fails, redirects, hangs up or sends garbage."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        match rng.choice(["ok", "ok", "fails", "redirects", "hangs up", "garbage"]):
            case "ok":
                status(rng.choice([200, 202, 204]))(handler)
            case "fails":
                status(rng.choice([400, 401, 404, 429, 500, 503]))(handler)
            case "redirects":
                status(302, "http://127.0.0.1:9/")(handler)
            case "hangs up":
                handler.connection.close()
            case "garbage":
                handler.wfile.write(b"not http at all\r\n\r\n")

    return answer


def end_leases(engine: Engine) -> None:
    """Let leases end, as real time would."""
    for table in ("webhook_endpoints", "webhook_deliveries"):
        engine.execute(f"UPDATE {table} SET leased_until = NULL WHERE leased_until IS NOT NULL")


def check(receiver: Receiver, seed: int) -> None:
    """Each event has come, and each id has one body."""
    bodies = defaultdict[str, set[bytes]](set)
    for each in receiver.received:
        bodies[each.webhook_id].add(each.body)
    assert len(bodies) == ROUNDS, seed
    assert {len(found) for found in bodies.values()} == {1}, seed
    plans = {each.document["data"]["details"]["plan"] for each in receiver.received}
    assert plans == {f"P{number}" for number in range(ROUNDS)}, seed


def test_each_event_reaches_each_endpoint_in_spite_of_everything(
    hooked: Engine, second: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes send; receivers misbehave, and senders die before they record an answer."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    plain = deliveries.settle

    def settle(*args: Any) -> None:
        if rng.random() < 0.15:
            raise Killed
        plain(*args)

    def work(process: Engine) -> None:
        with suppress(Killed):
            tick(process, 0.2)

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        receivers: list[Receiver] = [
            stack.enter_context(receiving()) for _ in range(ENDPOINTS)
        ]  # fmt: skip
        for receiver in receivers:
            receiver.answer = moody(rng)
            create(hooked, receiver.url, "plan.created")
        with monkeypatch.context() as killing:
            killing.setattr(deliveries, "settle", settle)
            for number in range(ROUNDS):
                hooked.plan(f"P{number}")
                list(pool.map(work, (hooked, second)))
                if rng.random() < 0.5:
                    later(hooked)
                    end_leases(hooked)
        for receiver in receivers:
            receiver.answer = status(200)
        for _ in range(2 * ROUNDS):
            end_leases(hooked)
            later(hooked)
            tick(hooked)

        statement = "SELECT DISTINCT status FROM webhook_deliveries"
        assert hooked.rows(statement) == [{"status": "succeeded"}], seed
        for receiver in receivers:
            check(receiver, seed)
    assert sending.lease_due(hooked.context, 10) == []

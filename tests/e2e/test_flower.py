"""Story: an operator works through Flower's HTTP API."""

import json
import urllib.request
from typing import Any
from uuid import uuid4

from billing.local.processes import until
from tests.e2e.world import World
from tests.waits import WAIT_SECONDS


def post(engine: World, task: str, **body: Any) -> Any:
    """Start a task by name."""
    request = urllib.request.Request(
        f"{engine.stack.flower_url}/api/task/async-apply/{task}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def get(engine: World, path: str) -> Any:
    """What Flower says."""
    with urllib.request.urlopen(f"{engine.stack.flower_url}{path}", timeout=20) as answer:
        return json.loads(answer.read())


def test_admin_tasks_act_once_however_often_they_come(engine_with_flower: World) -> None:
    """
    Refund and cancel by name over HTTP; sent twice with a key, or delivered twice, they act once.

    A malformed argument is refused, and the worker goes on.
    """
    engine = engine_with_flower
    engine.plan("gold")
    subscription = str(engine.join("ayu", "gold"))
    engine.until("2026-02-01T09:00:00+07:00")
    invoice = str(engine.value("SELECT id FROM invoices"))
    workers = until(lambda: bool(get(engine, "/api/workers?refresh=1")), WAIT_SECONDS)
    assert workers, "Flower shows the worker"

    for _ in range(2):
        post(
            engine, "admin.refund_invoice",
            kwargs={"invoice": invoice, "amount": 10_000, "idempotency_key": "ticket-1"},
        )  # fmt: skip
    delivered_twice = str(uuid4())
    for _ in range(2):
        engine.messenger.send_task(
            "admin.refund_invoice", kwargs={"invoice": invoice, "amount": 5_000},
            task_id=delivered_twice, queue="admin",
        )  # fmt: skip
    for bad in (
        {"invoice": "no-id"},
        {"invoice": invoice, "amount": 1.5},
        {"invoice": invoice, "amount": "ten"},
        {"invoice": invoice, "amount": 40_000_000},
        {"invoice": invoice, "colour": "red"},
        {},
    ):
        post(engine, "admin.refund_invoice", kwargs=bad)
    post(
        engine, "admin.cancel_subscription",
        kwargs={"subscription": subscription, "refund": "full", "reason": "asked to"},
    )  # fmt: skip
    engine.eventually("SELECT status FROM subscriptions", "canceled")
    engine.until("2026-02-02T09:00:00+07:00")

    refunds = engine.rows("SELECT amount, status FROM refunds ORDER BY amount")
    assert [tuple(row) for row in refunds] == [
        (5_000, "succeeded"), (10_000, "succeeded"), (35_000, "succeeded"),
    ]  # fmt: skip
    assert engine.value("SELECT amount_refunded FROM invoices") == 50_000
    log = (engine.stack.logs / "worker.log").read_text()
    assert log.count("admin.refused") == 6
    assert "Traceback" not in log
    names = {task["name"] for task in get(engine, "/api/tasks?limit=500").values()}
    assert {"admin.refund_invoice", "admin.cancel_subscription", "ticks.open_periods"} <= names
    engine.reckon()


def test_a_wallet_is_bound_and_unbound_without_showing_the_phone(
    engine_with_flower: World,
) -> None:
    """Bind, subscribe and unbind work by name; neither Flower nor the log shows the phone."""
    engine = engine_with_flower
    engine.plan("gold")
    engine.billing("customer", "create", "budi", "--name", "Budi Santoso")
    phone = "6281299887766"
    engine.messenger.send_task(
        "admin.bind_wallet", kwargs={"customer": "budi", "phone": phone}, queue="admin"
    )
    engine.eventually("SELECT count(*) FROM wallets WHERE registration_url IS NOT NULL", 1)
    post(engine, "admin.subscribe", kwargs={"customer": "budi", "plan": "gold", "quantity": 2})
    engine.eventually("SELECT count(*) FROM subscriptions", 1)
    engine.until("2026-02-01T09:00:00+07:00")
    assert engine.value("SELECT amount FROM invoices WHERE status = 'paid'") == 100_000
    post(engine, "admin.stop_charging", kwargs={"reason": "a test"})
    engine.eventually("SELECT stopped_reason FROM engine", "a test")
    post(engine, "admin.start_charging")
    engine.eventually("SELECT stopped_at IS NULL FROM engine", True)
    post(engine, "admin.unbind_wallet", kwargs={"customer": "budi"})
    engine.eventually("SELECT unbind_wanted_at IS NOT NULL FROM wallets", True)
    engine.until("2026-02-02T09:00:00+07:00")
    assert engine.value("SELECT status FROM wallets") == "unlinked"

    seen = (engine.stack.logs / "worker.log").read_text()
    seen += json.dumps(get(engine, "/api/tasks?limit=500"))
    seen += json.dumps([str(row) for row in engine.rows("SELECT * FROM events")])
    assert phone not in seen
    engine.reckon()

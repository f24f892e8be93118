"""Story: an operator works through Flower's HTTP API."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest

from billing.local.processes import until
from tests.e2e.world import World, world
from tests.flower import ask, document
from tests.servers import Servers, short_folder
from tests.waits import WAIT_SECONDS


@pytest.fixture(scope="module")
def shared(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[World]:
    """Worker, gateway and Flower for all tests; the worker is started by Celery's own command."""
    worker = [str(Path(sys.executable).with_name("celery")), "-A", "workers.app", "worker"]
    with (
        short_folder() as folder,
        shared_servers.fresh_database(_admin) as database_url,
        world(
            folder, database_url, shared_servers.own_redis(), {"worker", "flower"},
            stand_ins={"worker": worker},
        ) as there,
    ):  # fmt: skip
        yield there


@pytest.fixture
def engine(shared: World) -> World:
    """The processes, without rows of the previous test."""
    shared.begin_anew()
    return shared


@pytest.fixture
def log(engine: World) -> Callable[[], str]:
    """What the worker has logged since the test began."""
    file = engine.stack.logs / "worker.log"
    before = file.stat().st_size

    def logged() -> str:
        return file.read_bytes()[before:].decode()

    return logged


def post(engine: World, task: str, **body: Any) -> Any:
    """Start a task by name."""
    stack = engine.stack
    return document(f"{stack.flower_url}/api/task/async-apply/{task}", stack.flower_login, body)


def get(engine: World, path: str) -> Any:
    """What Flower says."""
    return document(f"{engine.stack.flower_url}{path}", engine.stack.flower_login)


def test_admin_tasks_act_once_however_often_they_come(
    engine: World, log: Callable[[], str]
) -> None:
    """
    Refund and cancel tasks sent over HTTP twice with a key, or delivered twice, act once.

    A malformed argument is refused, and the worker continues.
    """
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
    logged = log()
    assert logged.count("admin.refused") == 6
    assert "Traceback" not in logged
    [ended] = [
        line for line in logged.splitlines()
        if "admin.done" in line and "admin.cancel_subscription" in line
    ]  # fmt: skip
    for told in ("refunded", "invoices_voided", "wallet", "stays"):
        assert told in ended
    names = {task["name"] for task in get(engine, "/api/tasks?limit=500").values()}
    assert {"admin.refund_invoice", "admin.cancel_subscription", "ticks.open_periods"} <= names
    engine.reckon()


def test_a_wallet_is_bound_and_unbound_without_showing_the_phone(
    engine: World, log: Callable[[], str]
) -> None:
    """Bind, subscribe and unlink work by name; neither Flower nor the log shows the phone."""
    engine.plan("gold")
    engine.billing("customer", "create", "budi", "--name", "Budi Santoso")
    phone = "6281299887766"
    engine.messenger.send_task(
        "admin.link_wallet", kwargs={"customer": "budi", "phone": phone}, queue="admin"
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
    post(engine, "admin.unlink_wallet", kwargs={"customer": "budi"})
    engine.eventually("SELECT unlink_requested_at IS NOT NULL FROM wallets", True)
    engine.until("2026-02-02T09:00:00+07:00")
    assert engine.value("SELECT status FROM wallets") == "unlinked"

    send = f"{engine.stack.flower_url}/api/task/send-task/admin.link_wallet"
    document(send, engine.stack.flower_login, {"kwargs": {"customer": "nobody", "phone": phone}})
    assert until(lambda: "admin.refused" in log(), 20), "the last task was never met"
    seen = log()
    seen += json.dumps(get(engine, "/api/tasks?limit=500"))
    seen += json.dumps([str(row) for row in engine.rows("SELECT * FROM events")])
    assert phone not in seen
    engine.reckon()


def test_no_foreign_page_acts_through_an_operators_browser(engine: World) -> None:
    """
    A browser with the password on another page, or on another host name of this server, is refused.

    That page gets no permission and no money moves. Forms of every content type are refused, and so
    are calls that would wait for a result.
    """
    url = engine.stack.flower_url
    engine.plan("gold")
    engine.join("citra", "gold")
    engine.until("2026-02-01T09:00:00+07:00")
    invoice = str(engine.value("SELECT id FROM invoices"))
    body = {"kwargs": {"invoice": invoice, "reason": "drive-by"}}
    refund, login = f"{url}/api/task/async-apply/admin.refund_invoice", engine.stack.flower_login
    own = {"Origin": url, "Sec_Fetch_Site": "same-origin"}
    tries = {
        "foreign page": (refund, {"Origin": "https://evil.example"}, 403),
        "another port": (refund, {"Origin": "http://localhost:3000"}, 403),
        "sandboxed frame": (refund, {"Origin": "null"}, 403),
        "rebound name": (refund, {"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        "no origin told": (refund, {"Sec_Fetch_Site": "cross-site"}, 403),
        "a form": (refund, own | {"Content_Type": "text/plain"}, 415),
        "waiting for it": (f"{url}/api/task/apply/admin.refund_invoice", own, 403),
    }  # fmt: skip
    for name, (where, headers, status) in tries.items():
        answer = ask(where, login, body, **headers)
        assert (name, answer.status) == (name, status)
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert ask(refund, "", body).status == 401
    assert ask(f"{url}/api/tasks", login, Origin="https://evil.example").status == 403

    engine.until("2026-02-02T09:00:00+07:00")
    assert engine.value("SELECT count(*) FROM refunds") == 0
    document(refund, login, body)
    engine.eventually("SELECT count(*) FROM refunds WHERE reason = 'drive-by'", 1)
    engine.until("2026-02-03T09:00:00+07:00")
    engine.reckon()


def test_flower_is_told_no_secret_but_its_own(engine: World) -> None:
    """Its process has neither the database, nor the gateway's keys, nor the token key."""
    settings = engine.stack.settings
    [flower] = [
        process
        for process in psutil.Process().children(recursive=True)
        if "workers.flower" in process.cmdline()
    ]
    told = "\n".join(f"{name}={value}" for name, value in flower.environ().items())

    assert settings.redis in told
    for secret in (
        settings.database, settings.doku_secret_key.get_secret_value(),
        settings.token_key.get_secret_value(),
    ):  # fmt: skip
        assert secret
        assert secret not in told

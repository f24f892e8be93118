"""The commands with a real database, Redis and sandbox: what they print, and what never."""

import json
import os
import re
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from billing import cli
from billing.cli import doctor
from billing.clock import real_now
from billing.domain.events import Actor
from billing.services.operating import kill_switch
from billing.store.queries import engine as engine_rows
from tests.integration.command import Billing, environment
from tests.integration.engine import KEY, START, Engine

PHONE = "6281234567890"


def test_a_customers_life_from_the_command_line(billing: Billing, engine: Engine) -> None:
    """Plan, customer, wallet, subscription, payment, refund, cancellation: as the guide has it."""
    plan = billing("plan", "create", "gym", "--amount", 150_000, "--every", "1 month")
    assert (plan["code"], plan["amount"], plan["retries"]) == ("gym", 150_000, "2d 5d 7d 7d")
    customer = billing("customer", "create", "cli-1", "--name", "Siti", "--phone", PHONE)
    assert customer["masked_phone"] == "****7890"
    wallet = billing("wallet", "link", "cli-1", "--phone", PHONE)
    assert wallet["status"] == "pending"
    assert wallet["registration_url"].startswith(engine.gateway.url)
    made = billing("subscribe", "cli-1", "gym", "--quantity", 2)
    assert made["done"]["charged_now"] == {"periods_count": 0, "amount": 0, "more": False}
    assert made["waits_for"] == "a linked wallet"

    engine.gateway.control("POST", "wallets/cli-1/confirm")
    wallet = billing("wallet", "refresh", "cli-1")
    assert (wallet["status"], wallet["registration_url"]) == ("active", None)
    assert wallet["expires_at"] == "2027-01-31T02:00:00+00:00"
    assert billing("wallet", "balance", "cli-1")["cash"] > 300_000
    engine.run()

    shown = billing("subscription", "show", made["id"])
    assert (shown["status"], shown["amount"]) == ("active", 300_000)
    assert shown["next_due_at"] == "2026-02-28T02:00:00+00:00"
    invoice = shown["invoices"][0]
    assert (invoice["status"], invoice["period_start_at"]) == ("paid", "2026-01-31T02:00:00+00:00")
    charge = invoice["charges"][0]
    assert charge["request_id"] == charge["id"]
    assert billing("charge", "show", charge["gateway_number"])["first_payment"] is True

    refund = billing("refund", invoice["id"], "--amount", 50_000, "--reason", "complaint")
    assert (refund["amount"], refund["status"], refund["reason"]) == (
        50_000, "requested", "complaint",
    )  # fmt: skip
    engine.run()
    assert billing("invoice", "show", invoice["id"])["amount_refunded"] == 50_000
    ended = billing("subscription", "cancel", made["id"], "--refund", "full", "--unlink")
    assert (ended["status"], ended["done"]["amount_refunded"]) == ("canceled", 250_000)
    engine.run()
    assert billing("customer", "show", "cli-1")["amount_kept"] == 0
    assert [row["status"] for row in billing("wallet", "list")] == ["unlinked"]
    assert billing("audit") == {"ok": True, "findings": []}


def test_reasons_are_kept_in_events(billing: Billing, engine: Engine) -> None:
    """Every write records the actor and the reason."""
    _, subscription = engine.begun()
    engine.run()
    billing("subscription", "cancel", subscription, "--at", "period-end", "--reason", "moving")
    told = billing("event", "list", "--subscription", subscription, "--limit", 1)
    assert [(e["type"], e["actor"], e["reason"]) for e in told] == [
        ("subscription.cancel_scheduled", "operator", "moving")
    ]


def test_a_local_start_is_in_the_plans_timezone(billing: Billing, engine: Engine) -> None:
    """`--start 2026-03-01T09:00` is nine o'clock where the plan is."""
    engine.plan(timezone="Asia/Jayapura")
    customer = engine.customer()
    made = billing("subscribe", customer, "P", "--start", "2026-03-01T09:00")
    shown = billing("subscription", "show", made["id"])
    assert shown["next_due_at"] == "2026-03-01T00:00:00+00:00"


def test_no_command_prints_a_token_a_phone_or_anything_sealed(
    billing: Billing, engine: Engine
) -> None:
    """All lists and pages, as JSON and for people."""
    engine.plan()
    customer = engine.customer()
    subscription = engine.subscribe(customer)
    engine.run()
    sealed = engine.wallets(customer)[0]
    secrets = [
        engine.context.vault.open(sealed["token_sealed"]).decode(),
        engine.context.vault.open(sealed["phone_sealed"]).decode(),
        engine.gateway.secret_key,
        KEY,
        "gAAAA",
    ]
    invoice = engine.invoices(subscription)[0]["id"]
    charge = engine.charges(subscription)[0]["id"]
    looks = [
        *((noun, "list") for noun in ("plan", "customer", "wallet", "subscription", "invoice",
                                      "charge", "event")),
        ("customer", "show", customer), ("subscription", "show", subscription),
        ("invoice", "show", invoice), ("charge", "show", charge), ("wallet", "refresh", customer),
    ]  # fmt: skip
    for look in looks:
        for printed in (json.dumps(billing(*look)), billing(*look, people=True)):
            assert printed
            assert not [secret for secret in secrets if secret in printed], look


def test_refusals_of_services_are_one_line(billing: Billing, engine: Engine) -> None:
    """Exit 1 and the service's own words."""
    engine.plan()
    customer = engine.customer()
    before = engine.counts()
    unknown = "00000000-0000-4000-8000-000000000000"
    for words, reason in (
        (("plan", "create", "P", "--amount", 5, "--every", "1 day"), "plans are never changed"),
        (("plan", "create", "Q", "--amount", 5, "--every", "1 dya"), 'did you mean "1 day"?'),
        (("plan", "show", "p"), "no plan has the code"),
        (("subscribe", customer, "PP"), "did you mean 'P'?"),
        (("subscribe", "nobody", "P"), "no customer has the id"),
        (("customer", "create", customer, "--name", "x"), "exists"),
        (("wallet", "link", customer, "--phone", PHONE), "unlink it first"),
        (("wallet", "link", customer, "--phone", "0812"), "an OVO number"),
        (("wallet", "balance", "nobody"), "has no linked wallet"),
        (("subscription", "show", unknown), "no subscription has the id"),
        (("subscription", "cancel", unknown, "--at", "soon"), "no subscription has the id"),
        (("invoice", "retry", unknown), "no invoice has the id"),
        (("refund", unknown, "--amount", 5), "no invoice has the id"),
        (("charge", "resolve", unknown, "--as", "declined"), "no charge has the id"),
        (("clock", "set", "2020-01-01"), "moves forward only"),
        (("clock", "advance", "30 lightyears"), "30 lightyears"),
    ):
        assert reason in billing(*words, code=1), words
    assert engine.counts() == before


def test_cancel_names_what_at_may_be(billing: Billing, engine: Engine) -> None:
    """A wrong --at is answered with the three right ones."""
    _, subscription = engine.begun()
    told = billing("subscription", "cancel", subscription, "--at", "soon", code=1)
    assert "now, period-end or an ISO 8601 instant" in told


def test_an_operators_word_settles_an_unknown_charge(billing: Billing, engine: Engine) -> None:
    """An operator resolves a charge that stays unknown, with a reason; but not a young one."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("html", customer, "status", times=None)
    engine.tick()
    charge = billing("charge", "list", "--status", "unknown")[0]["id"]
    said = ("charge", "resolve", charge, "--as", "succeeded", "--reason", "ticket 7")
    assert "can be resolved 900 s after" in billing(*said, code=1)
    engine.set_clock(START + timedelta(hours=1))
    settled = billing(*said)
    assert settled["status"] == "succeeded"
    assert settled["done"]["settled_by"] == "operator"
    assert settled["done"]["gateway"].startswith("nothing certain")
    assert billing("invoice", "list", "--subscription", subscription)[0]["status"] == "paid"


def test_the_kill_switch_from_the_command_line(billing: Billing, engine: Engine) -> None:
    """Nothing is charged while charging is stopped; the charges follow when it starts."""
    customer, subscription = engine.begun()
    stopped = billing("stop-charging", "--reason", "fire")
    assert (stopped["charging"], stopped["already"]) == ("stopped", False)
    again = billing("stop-charging", "--reason", "smoke")
    assert again == {**stopped, "already": True}
    assert (again["stopped_by"], again["stopped_reason"]) == ("operator", "fire")
    told = billing("stop-charging", people=True)
    assert "stopped already, since " in told
    assert "by operator (fire)" in " ".join(told.split())
    assert [fact["reason"] for fact in engine.told("engine.charging_stopped")] == ["fire"]
    engine.tick()
    assert engine.debits(customer) == []
    assert billing("start-charging") == {"charging": "started", "already": False}
    assert billing("start-charging") == {"charging": "started", "already": True}
    assert "was not stopped" in billing("start-charging", people=True)
    engine.forget_leases()
    engine.run()
    assert engine.status(subscription) == "active"
    assert len(engine.debits(customer)) == 1


def test_invoices_are_retried_and_voided(billing: Billing, engine: Engine) -> None:
    """An operator charges an open invoice at once, or voids it."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, times=2)
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]
    again = billing("invoice", "retry", invoice, "--reason", "asked")
    assert again["next_attempt_at"] == "2026-01-31T02:00:00+00:00"
    engine.run()
    assert [c["trigger"] for c in billing("charge", "list", "--invoice", invoice)] == [
        "operator", "scheduled",
    ]  # fmt: skip
    assert billing("invoice", "void", invoice)["status"] == "void"


def test_the_test_clock_is_shown_and_moved(billing: Billing, engine: Engine) -> None:
    """Forward by a duration or to an instant; a local one is Jakarta's."""
    assert billing("clock", "show") == {"now_at": "2026-01-31T02:00:00+00:00", "test_clock": True}
    assert billing("clock", "set", "2026-02-01T09:00")["now_at"] == "2026-02-01T02:00:00+00:00"
    assert billing("clock", "advance", "1 month")["now_at"] == "2026-03-01T02:00:00+00:00"
    assert engine.now == (START + timedelta(days=29))


def test_advancing_with_nothing_due_waits_for_nobody(
    billing: Billing, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--wait ends at once when there is no work; no worker has to be there."""
    monkeypatch.setenv("BILLING_REDIS_URL", redis_url)
    moved = billing("clock", "advance", "30d", "--wait")
    assert moved["now_at"] == "2026-03-02T02:00:00+00:00"


def test_a_broker_that_is_away_is_one_line(
    billing: Billing, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Due work must be sent to workers; without Redis that is refused within seconds."""
    engine.audited = False
    engine.begun()
    monkeypatch.setenv("BILLING_REDIS_URL", "redis://127.0.0.1:1/0")
    assert "cannot reach Redis" in billing("clock", "advance", "1d", "--wait", code=1)


def test_a_database_that_is_not_migrated_says_what_to_run(
    billing: Billing, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From no tables to the newest ones, without a traceback."""
    monkeypatch.setenv("BILLING_DATABASE_URL", database_url)
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")

    assert "billing db upgrade" in billing("plan", "list", code=1)
    assert "billing db upgrade" in billing("stop-charging", code=1)
    assert billing("db", "upgrade")["migrated"] is True
    assert billing("db", "status")["migrated"] is True
    assert billing("plan", "list") == []


def test_a_database_that_is_away_is_one_line_without_its_password(
    billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says where it was looked for."""
    monkeypatch.setenv("BILLING_DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/billing")
    told = billing("plan", "list", code=1)
    assert "cannot reach PostgreSQL at" in told
    assert "hidden" not in told


def test_reading_needs_no_gateway(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A support person's machine has the database, and no keys."""
    for name in ("BILLING_DOKU_CLIENT_ID", "BILLING_DOKU_SECRET_KEY", "BILLING_TOKEN_KEY"):
        monkeypatch.delenv(name)
    assert billing("plan", "list") == []
    assert billing("event", "list")[0]["type"] == "clock.set"


def test_an_audit_that_finds_something_exits_1_with_a_list(
    billing: Billing, engine: Engine
) -> None:
    """A broken invariant is named, with where it is."""
    engine.audited = False
    _, subscription = engine.begun()
    engine.run()
    engine.execute("UPDATE invoices SET amount_refunded = 1")
    found = billing("audit", code=1)
    assert found["ok"] is False
    assert found["findings"][0]["name"] == "refunded money adds up"
    assert str(engine.invoices(subscription)[0]["id"]) in found["findings"][0]["detail"]


def checks(document: dict[str, Any]) -> dict[str, bool]:
    """What the doctor found, by name."""
    return {check["name"]: check["ok"] for check in document["checks"]}


def test_the_doctor_says_what_is_wrong_and_when_all_is_well(
    billing: Billing, engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a beat the workers are the only wrong line; one that succeeded makes all well."""
    monkeypatch.setenv("BILLING_REDIS_URL", redis_url)
    sick = billing("doctor", code=1)
    assert [name for name, ok in checks(sick).items() if not ok] == ["workers"]
    with engine.context.database.transaction() as connection:
        engine_rows.beat(connection, "sweep_charges", real_now())
    begun = billing("doctor", code=1)
    assert [name for name, ok in checks(begun).items() if not ok] == [
        "ticks succeed", "tick sweep_charges",
    ]  # fmt: skip
    with engine.context.database.transaction() as connection:
        engine_rows.tick_succeeded(connection, "sweep_charges", real_now())

    well = billing("doctor")
    assert well["ok"] is True
    [gateway] = [each["detail"] for each in well["checks"] if each["name"] == "gateway"]
    assert gateway.endswith("): it accepts connections; no request was sent")
    monkeypatch.setenv("BILLING_DOKU_PROXY", engine.gateway.url)
    monkeypatch.setenv("BILLING_DOKU_BASE_URL", "http://127.0.0.1:1")
    [gateway] = [each for each in billing("doctor")["checks"] if each["name"] == "gateway"]
    assert gateway["ok"]
    assert "the proxy on the way there accepts connections" in gateway["detail"]
    assert not {engine.gateway.secret_key, KEY} & set(re.findall(r"[\w=-]+", json.dumps(well)))


def test_the_doctor_shows_problems_first_and_fits_the_terminal(
    billing: Billing, engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A line for each check, as wide as the terminal, what is wrong at the top."""
    monkeypatch.setenv("BILLING_REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    marks = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert lines[0].split()[:2] == ["wrong", "workers"]
    assert marks == sorted(marks, key=doctor.MARKS.index)
    assert set(marks) == {"wrong", "warning", "ok"}
    # A URL is not broken, so that it can be copied.
    assert [line for line in lines if len(line) > 80 and "http" not in line] == []


def test_the_doctor_waits_until_all_is_well(
    billing: Billing, engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --wait it repeats its checks, and answers as soon as the first tick has succeeded."""
    monkeypatch.setenv("BILLING_REDIS_URL", redis_url)

    def first_tick(_seconds: float) -> None:
        with engine.context.database.transaction() as connection:
            engine_rows.beat(connection, "sweep_charges", real_now())
            engine_rows.tick_succeeded(connection, "sweep_charges", real_now())

    monkeypatch.setattr(doctor, "_pause", first_tick)

    assert billing("doctor", "--wait", "60")["ok"] is True


def test_the_doctor_names_a_copied_database_and_a_stopped_engine(
    billing: Billing, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is pointed elsewhere, the kill switch, and a gateway that is away."""
    engine.run()
    with engine.context.database.transaction() as connection:
        engine_rows.bind_gateway(connection, "127.0.0.1", "SOMEBODY-ELSE", force=True)
    kill_switch.stop_charging(engine.context, Actor("operator", "fire"))
    monkeypatch.setenv("BILLING_DOKU_BASE_URL", "http://127.0.0.1:1")

    said = billing("doctor", code=1)
    [charging] = [each["detail"] for each in said["checks"] if each["name"] == "charging"]
    assert "by operator (fire)" in charging
    found = checks(said)
    assert not found["database belongs to"]
    assert not found["charging"]
    assert not found["gateway"]
    assert not found["BILLING_REDIS_URL"]
    assert found["PostgreSQL"]


@pytest.mark.usefixtures("_logs_as_before")
def test_the_doctor_works_with_no_settings_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newcomer's first question is answered: what is missing; and nobody is called."""
    called: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *address, **_: called.append(address))
    assert cli.run(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    found = checks(document)
    missing = {f"BILLING_{name}" for name in (
        "DATABASE_URL", "REDIS_URL", "DOKU_CLIENT_ID", "DOKU_SECRET_KEY", "TOKEN_KEY")}  # fmt: skip
    assert {name for name in missing if found[name]} == set()
    [gateway] = [each["detail"] for each in document["checks"] if each["name"] == "gateway"]
    assert "BILLING_DOKU_CLIENT_ID" in gateway
    assert called == []


def test_stdout_holds_the_document_alone_and_logs_go_to_stderr(engine: Engine) -> None:
    """At the most talkative level stdout is still one JSON document."""
    done = subprocess.run(
        [sys.executable, "-c", "from billing.cli import main; main()",
         "customer", "create", "log-1", "--name", "Ani", "--json"],
        env=os.environ | environment(engine) | {"BILLING_LOG_LEVEL": "debug"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["id"] == "log-1"

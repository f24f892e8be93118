"""`billing now` and `billing why`: what an operator asks first, answered by the rows."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.clock import real_now
from billing.services.reading import customer_page, live_view
from billing.store.queries import engine as engine_rows
from schedules import beat
from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY = timedelta(days=1)


def test_now_adds_up_the_money_of_today_by_the_rows(billing: Billing, engine: Engine) -> None:
    """Charged, declined and due, each equal to the rows; the person sees the same numbers."""
    engine.begun()
    engine.plan("Q", amount=70_000)
    engine.subscribe(engine.customer(), "Q")
    poor = engine.customer(cash=0)
    engine.subscribe(poor, "Q")
    engine.run()

    found = billing("now")

    succeeded = engine.rows("SELECT amount FROM charges WHERE status = 'succeeded'")
    assert found["today"]["succeeded"] == len(succeeded) == 2
    assert found["today"]["succeeded_amount"] == sum(row["amount"] for row in succeeded)
    assert found["today"]["declined"] == len(engine.told("charge.declined")) == 1
    assert found["waiting"]["unresolved"] == 0
    assert found["stopped_at"] is None
    said = billing("now", people=True)
    assert "charging is on\n" in said
    assert "in 2 charges, 1 declined, 0 unsent" in said
    assert poor not in said


def test_now_names_a_tick_that_has_never_run(billing: Billing, engine: Engine) -> None:
    """A new engine has not run its hourly ticks, which is no fault; it is not said that all run."""
    every = [row.removeprefix("ticks.") for row in beat.schedule(Decimal(10))]
    quick = [name for name in every if name != "audit"]
    for name in quick:
        engine.execute(
            "INSERT INTO heartbeats (tick, at, succeeded_at) VALUES (:tick, now(), now())"
            " ON CONFLICT (tick) DO UPDATE SET succeeded_at = now()", tick=name,
        )  # fmt: skip

    said = billing("now", people=True)

    assert f"{len(quick)} of {len(every)} ticks run; not once yet: audit" in said


def test_now_begins_with_the_kill_switch(billing: Billing, engine: Engine) -> None:
    """Stopped charging is the first line, with who, when and why; what is due is counted."""
    engine.plan("P")
    billing("stop-charging", "--reason", "the gateway answers nonsense")
    engine.subscribe(engine.customer(), "P")
    engine.tick(["ticks.open_periods"])

    first, *others = billing("now", people=True).splitlines()

    assert first.startswith("CHARGING IS STOPPED since 2026-01-31")
    assert first.endswith("by operator: the gateway answers nonsense")
    due = engine.one("SELECT count(*) FROM invoices WHERE next_attempt_at IS NOT NULL")
    assert due == 1
    assert any(line.startswith("due and uncharged: 1 invoices") for line in others)


def test_why_answers_for_a_customer_whose_charge_was_declined(
    billing: Billing, engine: Engine
) -> None:
    """Not charged twice, what is owed, when it is attempted next, and what can be done."""
    customer, subscription = engine.begun(cash=0)
    engine.run()

    found = billing("why", customer)

    assert found["charged_twice"] is False
    [ahead] = found["subscriptions"]
    [invoice] = ahead["open_invoices"]
    assert ahead["id"] == str(subscription)
    assert invoice["id"] == str(engine.invoices(subscription)[0]["id"])
    said = billing("why", customer, people=True)
    assert said.startswith(found["verdict"])
    assert "owed since 2026-01-31" in said
    assert "next attempt 2026-02" in said
    assert f"billing invoice retry {invoice['id']}" in said


def test_why_says_what_stops_a_charge(billing: Billing, engine: Engine) -> None:
    """No wallet, no running subscription, and charging that is stopped, each in one line."""
    engine.plan("P")
    waiting, nobody = engine.customer(linked=False), engine.customer()
    engine.subscribe(waiting, "P")
    billing("stop-charging", "--reason", "x")

    def told(customer: str) -> Any:
        return billing("why", customer, people=True)

    assert "it waits for a linked wallet" in told(waiting)
    assert "charging is stopped for everybody since 2026-01-31" in told(waiting)
    assert "no subscription is running: nothing will be charged" in told(nobody)


def test_why_counts_what_it_leaves_out(billing: Billing, engine: Engine) -> None:
    """With a limit the other running subscriptions are counted; ended ones are not listed."""
    customer = engine.customer()
    made = []
    for code in ("P", "Q", "R"):
        engine.plan(code)
        made.append(engine.subscribe(customer, code))
    engine.run()
    billing("subscription", "cancel", made[0], "--reason", "x")

    found = billing("why", customer, "--limit", 1)

    assert found["subscriptions_count"] == 2
    assert len(found["subscriptions"]) == 1
    assert "and 1 more subscriptions" in billing("why", customer, "--limit", 1, people=True)


def test_why_finds_a_running_subscription_behind_many_ended_ones(
    billing: Billing, engine: Engine
) -> None:
    """It is older than 100 that ended; it is counted, and the Customer page shows it."""
    customer = engine.customer()
    engine.plan("P")
    running = engine.subscribe(customer, "P")
    names = [r["column_name"] for r in engine.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'subscriptions'"
        " AND is_generated = 'NEVER'")]  # fmt: skip
    changed = {
        "id": "gen_random_uuid()", "created_at": "created_at + interval '1 second' * n",
        "ended_at": "created_at + interval '1 day'", "status": "'canceled'", "next_due_at": "NULL",
        "next_period_index": "0",
    }  # fmt: skip
    values = ", ".join(changed.get(name, name) for name in names)
    engine.execute(
        f"INSERT INTO subscriptions ({', '.join(names)})"
        f" SELECT {values} FROM subscriptions, generate_series(1, 101) AS n"
    )
    found = billing("why", customer)
    assert found["subscriptions_count"] == 1
    assert found["subscriptions"][0]["id"] == str(running)
    page = customer_page.read(engine.context, customer)
    assert [each.row.id for each in page.ahead] == [running]


def test_why_names_what_is_owed_after_the_end(billing: Billing, engine: Engine) -> None:
    """Dunning canceled it: the uncollectible invoice is named; after a retry, its attempt."""
    customer, subscription = engine.begun(cash=0, retries="1d", on_exhausted="cancel")
    engine.run()
    engine.advance(10 * DAY)
    [invoice] = engine.invoices(subscription)
    assert (invoice["status"], engine.subscription(subscription)["status"]) == (
        "uncollectible", "canceled",
    )  # fmt: skip
    said = billing("why", customer, people=True)
    assert "no subscription is running: nothing will be charged" in said
    assert f"invoice {invoice['id']} of subscription {subscription}: uncollectible" in said
    assert "Rp 50,000; no attempt is planned" in said
    assert live_view.watch(engine.context, 0, 1).figures.owed_amount == 50_000
    assert f"billing invoice retry {invoice['id']}" in said

    billing("invoice", "retry", invoice["id"], "--reason", "asked")

    said = billing("why", customer, people=True)
    assert "no subscription is running: nothing" not in said
    assert "Rp 50,000; next attempt" in said
    [debt] = customer_page.read(engine.context, customer).debts
    assert (debt.row.id, debt.row.next_attempt_at) == (invoice["id"], engine.now)
    engine.run()


def test_why_says_who_canceled_and_why(billing: Billing, engine: Engine) -> None:
    """At once, planned, as planned, and by dunning after a plan that was withdrawn."""
    customer, subscription = engine.begun()
    engine.run()
    ani, budi = ("--by", "ani"), ("--by", "budi")

    def said() -> str:
        return billing("why", customer, people=True)

    billing("subscription", "cancel", subscription, "--at", "period-end", *ani, "--reason", "moved")
    assert f"subscription {subscription} to plan P: will be canceled at 2026-02-28" in said()
    assert "by ani (moved)" in said()
    engine.advance(40 * DAY)
    assert f"subscription {subscription} to plan P: canceled at 2026-02-28" in said()
    assert "by ani (moved)" in said()

    other = engine.subscribe(customer, "P")
    engine.run()
    billing("subscription", "cancel", other, *budi, "--reason", "a mistake")
    [latest, _] = billing("why", customer)["endings"]
    assert (latest["subscription"], latest["by"]) == (str(other), "budi")
    assert latest["reason"] == "a mistake"


def test_why_names_no_person_for_what_the_scheduler_did(billing: Billing, engine: Engine) -> None:
    """A plan that was withdrawn is no cause of a later end."""
    customer, subscription = engine.begun(cash=0, retries="1d", on_exhausted="cancel")
    engine.run()
    billing("subscription", "cancel", subscription, "--at", "period-end", "--by", "ani")
    billing("subscription", "cancel", subscription, "--withdraw", "--by", "ani")
    engine.advance(10 * DAY)

    [ending] = billing("why", customer)["endings"]

    assert (ending["status"], ending["by"]) == ("canceled", "scheduler")


def test_a_retry_says_what_it_waits_for(billing: Billing, engine: Engine) -> None:
    """While charging is stopped a retry does not promise the next tick."""
    _, subscription = engine.begun(cash=0, retries="5d")
    engine.run()
    [invoice] = engine.invoices(subscription)
    retry = ("invoice", "retry", invoice["id"], "--reason", "x")
    assert "attempted at the next tick" in billing(*retry, people=True)
    billing("stop-charging", "--reason", "fire")
    said = billing(*retry, people=True)
    assert "is due now, and waits for charging, which is stopped (fire)" in said
    billing("start-charging")
    engine.execute("UPDATE engine SET resting_until = clock_timestamp() + interval '1 hour'")
    assert "is due now, and waits for the gateway" in billing(*retry, people=True)
    engine.execute("UPDATE engine SET resting_until = NULL")
    engine.run()


def test_an_unknown_customer_is_one_line(billing: Billing) -> None:
    """Nothing is guessed about a customer that does not exist."""
    assert "no customer has the id 'nobody'" in billing("why", "nobody", code=1)


@pytest.mark.parametrize("command", [("why",), ("customer", "show")])
def test_a_customer_is_found_as_in_the_console(
    billing: Billing, engine: Engine, command: tuple[str, ...]
) -> None:
    """By the last digits of a phone when they are unique; several are named in one line."""
    ids = [engine.customer(linked=False) for _ in range(3)]
    phones = ("6281200001111", "6281300001111", "6281200002222")
    for customer, phone in zip(ids, phones, strict=True):
        engine.execute("UPDATE customers SET phone = :p WHERE id = :c", p=phone, c=customer)

    assert ids[2] in billing(*command, "2222", people=True)
    assert ids[2] in billing(*command, "081200002222", people=True)
    said = billing(*command, "1111", code=1)
    assert "'1111' fits several customers" in said
    assert all(customer in said for customer in ids[:2])
    assert len(said.strip().splitlines()) == 1
    assert "no customer has the id '9999'" in billing(*command, "9999", code=1)


def test_the_doctor_has_a_line_for_each_tick(
    billing: Billing, engine: Engine, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """Those of the beat table, before and after one has run; one that skips its work says so."""
    monkeypatch.setenv("BILLING_REDIS_URL", redis_url)

    def lines(code: int) -> dict[str, str]:
        found = billing("doctor", code=code)["checks"]
        return {each["name"]: each["detail"] for each in found if each["name"].startswith("tick ")}

    ticks = [name.replace("ticks.", "tick ") for name in beat.schedule(Decimal(10))]
    assert list(lines(1)) == ticks
    assert lines(1)["tick audit"] == "has not run yet; it runs once an hour"
    with engine.context.database.transaction() as connection:
        engine_rows.beat(connection, "count_ahead", real_now())
        engine_rows.tick_succeeded(connection, "count_ahead", real_now() - timedelta(minutes=5))
    assert list(lines(0)) == ticks
    assert lines(0)["tick count_ahead"].startswith("succeeded 5 min ago; ran ")

"""Periods become invoices, invoices become charges, and each exactly once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.events import OPERATOR
from billing.services.collecting import charging
from billing.services.operating import charge_resolution, invoice_actions, kill_switch
from billing.services.reading import auditing
from billing.services.subscriptions import subscribing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)


def periods(engine: Engine, subscription: UUID) -> list[int]:
    """The indexes of the periods that have an invoice."""
    return [row["period_index"] for row in engine.invoices(subscription)]


def test_the_first_payment_is_the_first_one_that_succeeds(engine: Engine) -> None:
    """`first_payment` is true until one charge has succeeded: a retry of the first still is."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)

    engine.advance(timedelta(days=35))

    told = [(r["first_payment"], r["status"]) for r in engine.ledger(customer, "payment")]
    assert told == [(True, "FAILED"), (True, "SUCCESS"), (False, "SUCCESS")]
    assert [c["first_payment"] for c in engine.charges(subscription)] == [True, True, False]


def test_month_end_is_billed_on_the_last_day_and_returns_to_the_31st(engine: Engine) -> None:
    """31 January, 28 February, 31 March, at nine in Jakarta; one invoice, one charge each."""
    customer, subscription = engine.begun()

    engine.advance(timedelta(days=70))

    starts = [row["period_start"] for row in engine.invoices(subscription)]
    assert starts == [
        START,
        datetime(2026, 2, 28, 2, tzinfo=UTC),
        datetime(2026, 3, 31, 2, tzinfo=UTC),
    ]
    assert [c["created_at"] for c in engine.charges(subscription)] == starts
    assert len(engine.debits(customer)) == 3


def test_work_that_is_done_twice_changes_nothing(engine: Engine) -> None:
    """Ticks and messages may come again, late, or in another order."""
    customer, subscription = engine.begun()
    engine.run()
    ids = [row["id"] for row in engine.invoices(subscription)]
    before = engine.counts()

    for _ in range(3):
        charging.collect(engine.context, ids * 2)
        engine.tick()

    assert engine.counts() == before
    assert len(engine.debits(customer)) == 1


def test_catch_up_all_bills_every_missed_period_oldest_first(engine: Engine) -> None:
    """After 100 days without a worker four invoices are charged, one after the other."""
    customer, subscription = engine.begun()
    engine.set_clock(START + timedelta(days=100))

    engine.run()

    assert [c["period_index"] for c in engine.charges(subscription)] == [0, 1, 2, 3]
    numbers = [row["number"].split("-")[1] for row in engine.debits(customer)]
    assert numbers == ["0", "1", "2", "3"]
    assert {row["status"] for row in engine.invoices(subscription)} == {"paid"}


def test_catch_up_all_sends_one_charge_of_a_subscription_at_a_time(engine: Engine) -> None:
    """Four missed periods and a wallet that declines: one charge, the others wait behind it."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, times=1)
    engine.set_clock(START + timedelta(days=100))

    engine.run()

    assert periods(engine, subscription) == [0, 1, 2, 3]
    assert [c["period_index"] for c in engine.charges(subscription)] == [0]
    dates = [row["next_attempt_at"] for row in engine.invoices(subscription)]
    assert dates == [engine.now + 2 * DAY, None, None, None]
    engine.advance(2 * DAY)
    assert [c["period_index"] for c in engine.charges(subscription)] == [0, 0, 1, 2, 3]


def test_catch_up_latest_skips_missed_periods_on_record(engine: Engine) -> None:
    """Only the running period is invoiced; the others are skipped by an event."""
    customer, subscription = engine.begun(catch_up="latest")
    engine.set_clock(START + timedelta(days=100))

    engine.run()

    assert periods(engine, subscription) == [3]
    assert len(engine.debits(customer)) == 1
    [skipped] = engine.told("period.skipped")
    assert (skipped["data"]["first"], skipped["data"]["last"]) == (0, 2)
    assert engine.subscription(subscription)["next_period_index"] == 4


def test_the_last_cycle_completes_the_subscription_when_it_is_paid(engine: Engine) -> None:
    """Three cycles are three charges; then the subscription is completed and nothing is due."""
    customer, subscription = engine.begun(cycles=3)

    engine.advance(timedelta(days=200))

    assert len(engine.debits(customer)) == 3
    assert engine.status(subscription) == "completed"
    assert engine.subscription(subscription)["ended_at"] == datetime(2026, 3, 31, 2, tzinfo=UTC)


def test_cycles_that_went_by_during_an_outage_complete_the_subscription(engine: Engine) -> None:
    """With `latest` and all cycles missed nothing is owed and no period left: it is completed."""
    customer, subscription = engine.begun(cycles=2, catch_up="latest")
    engine.set_clock(START + timedelta(days=200))

    engine.run()

    assert engine.debits(customer) == []
    assert engine.status(subscription) == "completed"
    assert len(engine.told("subscription.completed")) == 1


def test_a_void_of_the_last_cycle_completes_the_subscription(engine: Engine) -> None:
    """When nothing is owed and no period is left, a subscription does not stay active."""
    customer, subscription = engine.begun(cycles=1)
    engine.script("decline", customer)
    engine.run()
    [invoice] = engine.invoices(subscription)

    invoice_actions.void_invoice(engine.context, invoice["id"], OPERATOR)

    assert engine.status(subscription) == "completed"
    engine.advance(timedelta(days=60))
    assert engine.debits(customer) == []


def test_a_trial_ends_with_the_first_charge_and_sets_the_anchor(engine: Engine) -> None:
    """Seven days of trial move first charge and anchor to the 7th; the first charge is first."""
    customer, subscription = engine.begun(trial="7 days")
    assert engine.status(subscription) == "trialing"
    engine.advance(6 * DAY)
    assert engine.ledger(customer, "payment") == []

    engine.advance(timedelta(days=30))

    starts = [row["period_start"] for row in engine.invoices(subscription)]
    assert starts == [datetime(2026, 2, 7, 2, tzinfo=UTC), datetime(2026, 3, 7, 2, tzinfo=UTC)]
    assert [row["first_payment"] for row in engine.debits(customer)] == [True, False]
    assert engine.status(subscription) == "active"


def test_a_cron_plan_with_seconds_charges_at_its_seconds(engine: Engine) -> None:
    """Six fields: every ten seconds means four charges in half a minute."""
    customer, subscription = engine.begun(cron="* * * * * */10")

    engine.advance(timedelta(seconds=30))

    starts = [row["period_start"] - START for row in engine.invoices(subscription)]
    assert starts == [timedelta(seconds=n) for n in (0, 10, 20, 30)]
    assert len(engine.debits(customer)) == 4


def test_an_archived_plan_takes_nobody_new_and_goes_on_for_the_others(engine: Engine) -> None:
    """Archiving refuses a new subscription and leaves the running one alone."""
    customer, subscription = engine.begun()
    subscribing.archive_plan(engine.context, "P", OPERATOR)

    with pytest.raises(IllegalMove, match="archived"):
        engine.subscribe(customer)
    engine.advance(timedelta(days=30))

    assert periods(engine, subscription) == [0, 1]


def test_a_subscription_waits_for_the_wallet_and_starts_with_it(engine: Engine) -> None:
    """Without a wallet it is pending; the customer's yes starts it, and period 0 is that day."""
    engine.plan()
    customer = engine.customer(linked=False)
    subscription = engine.subscribe(customer)
    engine.advance(3 * DAY)
    assert (engine.status(subscription), engine.counts()["invoices"]) == ("pending", 0)

    engine.link(customer)
    engine.run()

    assert engine.invoices(subscription)[0]["period_start"] == START + 3 * DAY
    assert engine.status(subscription) == "active"
    assert len(engine.debits(customer)) == 1


def test_the_kill_switch_stops_charges_and_nothing_else(engine: Engine) -> None:
    """Periods still open while charging is stopped; afterwards everything owed is collected."""
    customer, subscription = engine.begun()
    kill_switch.stop_charging(engine.context, OPERATOR)
    engine.set_clock(START + timedelta(days=40))
    engine.tick()

    assert periods(engine, subscription) == [0, 1]
    assert engine.charges(subscription) == []
    assert engine.ledger(customer, "payment") == []
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.run()

    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"] * 2
    assert [len(engine.told(f"engine.charging_{kind}")) for kind in ("stopped", "started")] == [
        1,
        1,
    ]


def test_the_kill_switch_also_stops_a_message_that_is_on_its_way(engine: Engine) -> None:
    """The claim checks the kill switch: a message from before it sends nothing after it."""
    customer, subscription = engine.begun()
    kill_switch.stop_charging(engine.context, OPERATOR)
    engine.tick()
    ids = [row["id"] for row in engine.invoices(subscription)]

    charging.collect(engine.context, ids)

    assert engine.ledger(customer, "payment") == []
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.run()
    assert len(engine.debits(customer)) == 1


def test_the_kill_switch_holds_back_a_charge_that_would_be_sent_again(engine: Engine) -> None:
    """A charge the gateway never saw is not sent again while charging is stopped."""
    customer, subscription = engine.begun()
    engine.script("drop_before", customer)
    engine.run()
    kill_switch.stop_charging(engine.context, OPERATOR)

    engine.advance(timedelta(hours=2))
    assert engine.ledger(customer, "payment") == []
    assert engine.charges(subscription)[0]["status"] == "unknown"
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.advance(timedelta(days=2))

    assert len(engine.debits(customer)) == 1


def test_points_are_used_where_the_plan_allows_them(engine: Engine) -> None:
    """`use_points` travels to the gateway, and the balance check counts them."""
    engine.plan(use_points=True)
    customer = engine.customer(cash=20_000, points=30_000)
    engine.subscribe(customer)

    engine.run()

    [debit] = engine.debits(customer)
    assert (debit["points"], debit["cash"]) == (30_000, 20_000)


def test_two_subscriptions_of_one_customer_are_charged_apart(engine: Engine) -> None:
    """One charge at a time is a rule of a subscription; the customer's other one is charged."""
    customer, first = engine.begun()
    second = engine.subscribe(customer, again=True)
    engine.script("pending", customer, times=1, end="SUCCESS", after_queries=0)

    engine.run()

    states = sorted(engine.charges(s)[0]["status"] for s in (first, second))
    assert states == ["pending", "succeeded"]
    engine.advance(timedelta(minutes=5))
    assert len(engine.debits(customer)) == 2


def test_a_void_invoice_is_not_charged_and_the_next_one_follows(engine: Engine) -> None:
    """Voiding the oldest open invoice lets the one behind it be charged at once."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.set_clock(START + timedelta(days=30))
    engine.run()
    oldest = engine.invoices(subscription)[0]["id"]

    invoice_actions.void_invoice(engine.context, oldest, OPERATOR)
    engine.run()

    assert [row["status"] for row in engine.invoices(subscription)] == ["void", "paid"]
    assert engine.status(subscription) == "active"
    assert [row["first_payment"] for row in engine.debits(customer)] == [True]


def test_nothing_hangs_when_an_invoice_is_void_while_its_charge_is_unknown(engine: Engine) -> None:
    """The next period waits for the unknown charge, has no date until then, and follows it."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=2)
    engine.run()
    invoice_actions.void_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)

    engine.advance(timedelta(days=30))

    assert [row["status"] for row in engine.invoices(subscription)] == ["void", "paid"]
    assert [row["status"] for row in engine.refunds(customer)] == ["succeeded"]
    assert len(engine.debits(customer)) == 2


@pytest.mark.parametrize("outcome", ["declined", "pending_for_ever"])
def test_a_period_that_opens_behind_a_void_unresolved_charge_is_charged(
    engine: Engine, outcome: str
) -> None:
    """After any end of the unresolved charge, also by an operator, the next one follows."""
    customer, subscription = engine.begun(every="1 day")
    end: dict[str, Any] = {"end": "FAILED", "after_queries": 2} if outcome == "declined" else {}
    engine.script("pending", customer, **end)
    engine.run()
    invoice_actions.void_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)

    engine.advance(timedelta(days=12))

    if outcome == "pending_for_ever":
        [charge] = engine.charges(subscription)
        assert charge["parked_at"] is not None
        charge_resolution.resolve_charge(engine.context, charge["id"], False, OPERATOR)
        engine.run()
    assert {row["status"] for row in engine.invoices(subscription)[1:]} == {"paid"}
    assert len(engine.debits(customer)) == 12


def test_resolving_by_a_persons_word_needs_an_unresolved_charge(engine: Engine) -> None:
    """A settled charge and one that does not exist are refused; nothing is written."""
    customer, subscription = engine.begun()
    engine.run()
    before = engine.counts()

    with pytest.raises(IllegalMove):
        charge_resolution.resolve_charge(
            engine.context, engine.charges(subscription)[0]["id"], False, OPERATOR
        )
    with pytest.raises(NotKnown):
        charge_resolution.resolve_charge(engine.context, UUID(int=1), True, OPERATOR)

    assert engine.counts() == before
    assert len(engine.debits(customer)) == 1


def test_a_person_may_say_what_became_of_a_parked_charge(engine: Engine) -> None:
    """A charge that stays unknown is parked with an alarm; an operator resolves it."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=None, status="VOIDED")
    engine.advance(timedelta(days=10))
    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["next_check_at"]) == ("unknown", None)
    assert charge["parked_at"] is not None
    assert len(engine.told("charge.parked")) == 1

    charge_resolution.resolve_charge(engine.context, charge["id"], True, OPERATOR)

    assert engine.invoices(subscription)[0]["status"] == "paid"
    assert engine.charges(subscription)[0]["status"] == "succeeded"
    assert engine.told("charge.succeeded")[0]["actor"] == "operator"


def test_a_subscription_whose_dates_make_no_sense_keeps_nobody_waiting(engine: Engine) -> None:
    """A manually corrupted subscription is held and the audit names it; the others are billed."""
    engine.audited = False
    engine.plan()
    bent, straight = (engine.subscribe(engine.customer()) for _ in range(2))
    engine.execute(
        "UPDATE subscriptions SET anchor_local = anchor_local + interval '0.5 s' WHERE id = :id",
        id=bent,
    )

    engine.tick()

    assert (len(engine.invoices(bent)), len(engine.charges(straight))) == (0, 1)
    assert engine.subscription(bent)["held_why"].startswith("ScheduleError")
    [finding] = auditing.audit(engine.context)
    assert finding.name == "nothing needs an operator"
    assert str(bent) in finding.detail


def test_a_paid_invoice_is_refunded_and_not_voided(engine: Engine) -> None:
    """The refusal says what to do instead, by the command's name; a void one is said to be void."""
    _, subscription = engine.begun()
    engine.run()
    paid = engine.invoices(subscription)[0]["id"]
    with pytest.raises(IllegalMove) as refused:
        invoice_actions.void_invoice(engine.context, paid, OPERATOR)
    assert str(refused.value) == (
        f"invoice {paid} is paid and cannot be voided; refund it with: billing refund {paid}"
    )
    assert engine.invoices(subscription)[0]["status"] == "paid"

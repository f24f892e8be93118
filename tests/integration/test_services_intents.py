"""Intents and other actions: nothing is paid twice, free, or lost without an event."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, InvalidValue
from billing.domain.events import OPERATOR, Actor
from billing.domain.money import MAX_AMOUNT
from billing.domain.subscription import RefundPolicy
from billing.services.money import coupons, extra_lines, refunding
from billing.services.subscriptions import canceling, changing, pausing, subscribing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)


@pytest.fixture
def march(engine: Engine) -> tuple[str, UUID]:
    """A customer on A (31,000 a month) since 31 March, paid until 30 April."""
    engine.plan("A", amount=31_000, timezone="UTC")
    engine.plan("B", amount=62_000, timezone="UTC")
    engine.plan("YEAR", amount=1_000_000, every="1 year", timezone="UTC")
    engine.set_clock(START + timedelta(days=59))  # 31 March, 02:00 UTC
    customer = engine.customer()
    subscription = engine.subscribe(customer, "A")
    engine.run()
    return customer, subscription


def paid(engine: Engine, customer: str) -> list[int]:
    """What the customer's wallet paid, in order."""
    return [row["amount"] for row in engine.debits(customer)]


def credited(engine: Engine) -> list[int]:
    """Return the credited amounts, in order."""
    return [event["data"]["amount"] for event in engine.told("credit.given")]


def skipped(engine: Engine) -> list[tuple[int, int, str]]:
    """The periods that were not billed, and why."""
    told = [event["data"] for event in engine.told("period.skipped")]
    return [(data["first"], data["last"], data["why"]) for data in told]


def change(engine: Engine, subscription: UUID, **options: Any) -> Any:
    """Change a subscription, and do the due work."""
    done = changing.change(engine.context, subscription, OPERATOR, **options)
    engine.run()
    return done


def test_another_interval_is_refused_while_an_end_is_planned(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """No year is charged for a subscription that ends in sixteen days; the line says what to do."""
    customer, subscription = march
    canceling.cancel(engine.context, subscription, OPERATOR, at=canceling.PERIOD_END)
    engine.advance(15 * DAY)

    with pytest.raises(IllegalMove, match=f"cancel {subscription} --withdraw"):
        change(engine, subscription, plan_code="YEAR")
    canceling.withdraw(engine.context, subscription, OPERATOR)
    change(engine, subscription, plan_code="YEAR")

    assert paid(engine, customer) == [31_000, 1_000_000 - credited(engine)[0]]
    assert engine.subscription(subscription)["cancel_at"] is None


def test_a_resumption_from_now_gives_the_paid_days_back_and_moves_the_end(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """Ten of thirty paid days reduce the new period's price; the end moves to its end."""
    customer, subscription = march
    canceling.cancel(engine.context, subscription, OPERATOR, at=canceling.PERIOD_END)
    engine.advance(5 * DAY)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(15 * DAY)

    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.run()

    assert credited(engine) == [10_333]
    assert paid(engine, customer) == [31_000, 31_000 - 10_333]
    first, second = engine.invoices(subscription)
    assert first["period_end"] == second["period_start"]
    assert engine.subscription(subscription)["cancel_at"] == second["period_end"]
    assert [e["data"]["why"] for e in engine.told("subscription.cancel_moved")]
    engine.advance(40 * DAY)
    assert engine.subscription(subscription)["ended_at"] == second["period_end"]


def test_a_resumption_from_now_is_refused_while_the_running_period_is_not_paid(
    engine: Engine,
) -> None:
    """Its days would be owed twice: once by the open invoice, once by the new period."""
    customer, subscription = engine.begun(cash=0)
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(DAY)

    with pytest.raises(IllegalMove, match="is not paid yet"):
        pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.put_cash(customer, 10**6)
    pausing.resume(engine.context, subscription, OPERATOR)


def test_a_return_on_a_due_date_keeps_the_end_of_that_period(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """The period that begins at this instant is billed and served before the end comes."""
    customer, subscription = march
    due = engine.subscription(subscription)["next_due_at"]
    pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END)
    engine.advance(due)
    canceling.cancel(engine.context, subscription, OPERATOR, at=canceling.PERIOD_END)
    planned = engine.subscription(subscription)["cancel_at"]

    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(40 * DAY)

    assert planned > due
    assert engine.subscription(subscription)["ended_at"] == planned
    assert paid(engine, customer) == [31_000, 31_000]


@pytest.mark.parametrize("late", [timedelta(0), 2 * DAY, 45 * DAY])
def test_a_pause_that_ends_on_a_due_date_skips_nothing(
    engine: Engine, march: tuple[str, UUID], late: timedelta
) -> None:
    """The period that begins at that instant opens, also with a late tick."""
    customer, subscription = march
    back = engine.subscription(subscription)["next_due_at"]
    pausing.pause(engine.context, subscription, OPERATOR, until=back)

    engine.set_clock(back + late)
    engine.run()

    assert paid(engine, customer) == [31_000] * (3 if late > 31 * DAY else 2)
    assert engine.invoices(subscription)[1]["period_start"] == back
    assert skipped(engine) == []


def test_plans_that_a_late_tick_works_off_take_effect_as_of_their_dates(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """Pause, resume and end fall into an outage: one period paused, two billed, then the end."""
    customer, subscription = march
    due = engine.subscription(subscription)["next_due_at"]
    pausing.pause(
        engine.context, subscription, OPERATOR, at=pausing.PERIOD_END, until=due + 31 * DAY
    )
    canceling.cancel(engine.context, subscription, OPERATOR, at=due + 70 * DAY)

    engine.set_clock(due + 200 * DAY)
    engine.run()

    row = engine.subscription(subscription)
    assert (row["status"], row["ended_at"]) == ("canceled", due + 70 * DAY)
    assert [i["period_index"] for i in engine.invoices(subscription)] == [0, 2, 3]
    assert paid(engine, customer) == [31_000] * 3
    assert skipped(engine) == [(1, 1, "paused")]
    [paused] = engine.told("subscription.paused")
    assert paused["data"]["effective_at"] == due.isoformat()


def test_a_period_that_has_begun_is_billed_before_a_pause_takes_effect(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """A pause that comes before the tick which opens the period leaves no free days."""
    customer, subscription = march
    engine.set_clock(engine.subscription(subscription)["next_due_at"] + DAY)

    pausing.pause(engine.context, subscription, OPERATOR)
    engine.run()

    assert engine.status(subscription) == "paused"
    assert paid(engine, customer) == [31_000, 31_000]


def test_a_planned_change_survives_a_change_of_quantity(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """Plan B at the period's end, then two of A now: B comes, twice, and an event says so."""
    customer, subscription = march
    change(engine, subscription, plan_code="B", at="period-end")
    change(engine, subscription, quantity=2)

    row = engine.subscription(subscription)
    assert (row["next_plan_code"], row["next_quantity"], row["next_amount"]) == ("B", 2, 124_000)
    assert [e["data"]["quantity"] for e in engine.told("subscription.change_moved")] == [2]
    engine.advance(31 * DAY)
    assert engine.subscription(subscription)["plan_code"] == "B"
    assert paid(engine, customer)[-1] == 124_000


def test_a_planned_change_with_a_price_of_its_own_is_dropped_with_an_event(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """The price for another quantity is not known."""
    _, subscription = march
    change(engine, subscription, plan_code="B", amount=50_000, at="period-end")
    change(engine, subscription, quantity=2)

    assert engine.subscription(subscription)["change_at"] is None
    [dropped] = engine.told("subscription.change_dropped")
    assert "change made now" in dropped["data"]["why"]


def test_a_planned_change_is_checked_against_what_will_be_then(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """A plan whose term is over by then, what follows an end, and what is too large: refused."""
    _, subscription = march
    engine.plan("TWICE", amount=1_000, cycles=1, timezone="UTC")
    engine.plan("LARGE", amount=MAX_AMOUNT, timezone="UTC")
    with pytest.raises(IllegalMove, match="ends after 1 periods"):
        change(engine, subscription, plan_code="TWICE", at="period-end")
    extra_lines.add(engine.context, subscription, "a towel", 999, OPERATOR)
    with pytest.raises(InvalidValue, match="extra lines"):
        change(engine, subscription, plan_code="LARGE", at="period-end")
    canceling.cancel(engine.context, subscription, OPERATOR, at=canceling.PERIOD_END)
    for act in (
        lambda: change(engine, subscription, plan_code="B", at="period-end"),
        lambda: pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END),
    ):
        with pytest.raises(IllegalMove, match="before that"):
            act()


def test_a_planned_change_whose_term_went_by_in_a_pause_is_dropped(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """No one asked to end the subscription: it stays on its plan, and an event says why."""
    customer, subscription = march
    engine.plan("THREE", amount=1_000, cycles=3, timezone="UTC")
    change(engine, subscription, plan_code="THREE", at="period-end")
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(100 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(31 * DAY)

    assert engine.subscription(subscription)["plan_code"] == "A"
    assert paid(engine, customer) == [31_000, 31_000]
    assert "ends after 3" in engine.told("subscription.change_dropped")[0]["data"]["why"]


def test_a_downgrade_after_a_goodwill_refund_charges_nothing(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """Nothing is left to be credited, and a change to something cheaper never charges."""
    customer, subscription = march
    engine.plan("SMALL", amount=10_000, timezone="UTC")
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], None, Actor("operator", "goodwill"))
    engine.run()
    engine.advance(14 * DAY)

    assert change(engine, subscription, plan_code="SMALL")["net"] == 0
    assert paid(engine, customer) == [31_000]


@pytest.mark.parametrize("start", [pausing.ANCHOR, pausing.NOW])
def test_a_pause_in_a_trial_keeps_its_days(engine: Engine, start: str) -> None:
    """Twelve days are left; they run from the return on, and then the first charge comes."""
    engine.plan("T", amount=20_000, trial="14 days")
    customer = engine.customer()
    subscription = engine.subscribe(customer, "T")
    engine.advance(2 * DAY)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(30 * DAY)
    assert engine.subscription(subscription)["trial_left_seconds"] == 12 * 86_400
    pausing.resume(engine.context, subscription, OPERATOR, start=start)

    assert engine.status(subscription) == "trialing"
    engine.advance(12 * DAY - timedelta(hours=1))
    assert paid(engine, customer) == []
    engine.advance(DAY)
    assert paid(engine, customer) == [20_000]
    assert engine.invoices(subscription)[0]["period_start"] == START + 44 * DAY
    assert skipped(engine) == []


def test_a_trial_that_is_over_is_billed_before_it_is_changed(engine: Engine) -> None:
    """A late tick does not bill the new price for the period that began at the old one."""
    _customer, subscription = engine.begun(trial="14 days")
    engine.set_clock(START + 20 * DAY)
    with pytest.raises(IllegalMove, match="is not paid yet"):
        change(engine, subscription, quantity=3)
    engine.run()


def test_an_unpaid_subscription_resumes_and_says_what_it_left_out(engine: Engine) -> None:
    """Resume is a way out of `unpaid`; the skipped periods have their reason."""
    customer, subscription = engine.begun(cash=0, retries="1d", on_exhausted="unpaid")
    engine.advance(40 * DAY)
    assert engine.status(subscription) == "unpaid"
    engine.put_cash(customer, 10**6)

    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(25 * DAY)

    assert engine.status(subscription) == "active"
    assert skipped(engine) == [(1, 1, "unpaid")]
    assert paid(engine, customer) == [50_000]


def test_a_given_up_period_is_void_when_a_new_one_takes_its_place(engine: Engine) -> None:
    """Late money for it would pay days that another period covers, so it is refunded."""
    customer, subscription = engine.begun(cash=0, retries="1d", on_exhausted="pause")
    engine.advance(10 * DAY)
    assert engine.status(subscription) == "paused"
    engine.put_cash(customer, 10**6)

    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.run()

    assert [i["status"] for i in engine.invoices(subscription)] == ["void", "paid"]
    assert paid(engine, customer) == [50_000]


def test_an_end_leaves_nothing_planned_and_tells_of_each(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """Pause, return, change and coupon end with an event when the subscription does."""
    _, subscription = march
    coupons.create(engine.context, "HALF", OPERATOR, percent=50, cycles=3)
    coupons.apply(engine.context, "HALF", subscription, OPERATOR)
    change(engine, subscription, plan_code="B", at="period-end")
    back = engine.now + 60 * DAY
    pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END, until=back)

    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.PRORATED)
    engine.run()

    row = engine.subscription(subscription)
    for column in ("cancel_at", "pause_at", "resume_at", "change_at", "coupon_left"):
        assert row[column] is None
    for noun in ("pause", "resume", "change", "coupon"):
        [told] = engine.told(f"subscription.{noun}_dropped")
        assert told["data"]["why"] == "canceled before that"


def test_an_end_before_the_tick_records_the_period_that_nobody_owes(
    engine: Engine, march: tuple[str, UUID]
) -> None:
    """A period had begun and was not open yet: it is left out with its reason."""
    _, subscription = march
    engine.set_clock(engine.subscription(subscription)["next_due_at"] + DAY)
    canceling.cancel(engine.context, subscription, OPERATOR)

    assert skipped(engine) == [(1, 1, "canceled")]


def test_the_latest_period_before_a_pause_is_billed(engine: Engine) -> None:
    """A plan that bills the latest only does not step over the beginning of a pause."""
    customer, subscription = engine.begun(every="10 days", catch_up="latest")
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END)
    engine.execute("UPDATE subscriptions SET pause_at = pause_at + interval '20 days'")

    engine.set_clock(START + 75 * DAY)
    engine.run()

    assert engine.status(subscription) == "paused"
    assert [i["period_index"] for i in engine.invoices(subscription)] == [0, 2]
    assert skipped(engine) == [(1, 1, "latest")]
    assert len(paid(engine, customer)) == 2


def test_a_latest_plan_turns_to_another_without_billing_the_old_price(engine: Engine) -> None:
    """The outage ends after a planned change: the running period is billed at the new price."""
    engine.plan("DEAR", amount=90_000, every="10 days", catch_up="latest")
    customer, subscription = engine.begun(every="10 days", catch_up="latest")
    engine.run()
    change(engine, subscription, plan_code="DEAR", at="period-end")
    engine.execute("UPDATE subscriptions SET change_at = change_at + interval '20 days'")

    engine.set_clock(START + 35 * DAY)
    engine.run()

    assert paid(engine, customer) == [50_000, 90_000]


def test_plans_meet_archived_plans_as_promised(engine: Engine, march: tuple[str, UUID]) -> None:
    """A change that was planned before its plan was archived takes effect."""
    customer, subscription = march
    change(engine, subscription, plan_code="B", at="period-end")
    subscribing.archive_plan(engine.context, "B", OPERATOR)
    engine.advance(31 * DAY)
    assert paid(engine, customer) == [31_000, 62_000]

"""Whether a customer was charged twice: one invoice, or one plan, for the same time."""

from datetime import timedelta
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.services.money import refunding
from billing.services.reading import read_models, results
from billing.services.subscriptions import canceling, changing
from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY = timedelta(days=1)


def shown(engine: Engine, customer: str) -> results.CustomerInDetail:
    """What is shown of a customer."""
    return read_models.customer(engine.context.database, customer, 100)


def test_two_live_subscriptions_to_one_plan_are_named(engine: Engine, billing: Billing) -> None:
    """Before a charge it is no double payment, but it is reported."""
    engine.plan("gold", trial="7 days")
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    assert shown(engine, customer).verdict == "charged twice: no"
    engine.advance(DAY)
    second = engine.subscribe(customer, "gold", again=True)

    found = shown(engine, customer)

    assert found.verdict == (
        f"charged twice: no (but two live subscriptions to plan gold: {first}, {second})"
    )
    assert not found.charged_twice
    people = billing("customer", "show", customer, people=True)
    assert f"more than one subscription to plan gold: {first}, {second}" in people


def test_both_charged_for_the_same_time_is_charged_twice(engine: Engine) -> None:
    """The answer has the number of periods, the amount, and the refunds."""
    engine.plan("gold", every="10 days")
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    engine.advance(3 * DAY)
    second = engine.subscribe(customer, "gold", again=True)
    engine.run()

    found = shown(engine, customer)
    assert found.charged_twice
    assert found.verdict == (
        f"charged twice: yes: two live subscriptions to plan gold: {first}, {second};"
        " charged for both: 1 period, Rp 50,000; refunded: Rp 0"
    )
    refunding.refund_invoice(engine.context, engine.invoices(second)[0]["id"], 20_000, OPERATOR)
    assert shown(engine, customer).verdict.endswith("refunded: Rp 0, Rp 20,000 on its way")
    engine.run()
    canceling.cancel(engine.context, second, OPERATOR)
    assert shown(engine, customer).verdict == (
        f"charged twice: yes: two subscriptions to plan gold: {first}, {second};"
        " charged for both: 1 period, Rp 50,000; refunded: Rp 20,000"
    )


def test_two_subscriptions_after_each_other_are_no_double_charge(engine: Engine) -> None:
    """A customer who canceled during a period and came back paid each served day once."""
    engine.plan("gold", every="10 days")
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    engine.advance(3 * DAY)
    canceling.cancel(engine.context, first, OPERATOR)
    engine.advance(DAY)
    engine.subscribe(customer, "gold")
    engine.advance(25 * DAY)

    assert shown(engine, customer).verdict == "charged twice: no"
    assert shown(engine, customer).twins == []


def test_two_plans_and_two_customers_are_not_twice(engine: Engine) -> None:
    """A subscription to another plan, or of another customer, does not count."""
    for code in ("gold", "silver"):
        engine.plan(code)
    one, two = engine.customer(), engine.customer()
    engine.subscribe(one, "gold")
    engine.subscribe(one, "silver")
    engine.subscribe(two, "gold")
    engine.advance(40 * DAY)

    assert shown(engine, one).verdict == "charged twice: no"
    assert shown(engine, two).verdict == "charged twice: no"


def twice(engine: Engine) -> tuple[str, Any, Any]:
    """A customer with two live subscriptions to plan gold, both charged for the same time."""
    engine.plan("gold", every="10 days")
    engine.plan("gold-plus", every="10 days", amount=80_000)
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    engine.advance(timedelta(minutes=1))  # they are listed in the order in which they were made
    second = engine.subscribe(customer, "gold", again=True)
    engine.run()
    return customer, first, second


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("waits", [timedelta(0), DAY])
@pytest.mark.parametrize("then_cancel", [False, True])
def test_a_change_of_plan_takes_no_double_payment_back(
    engine: Engine, which: int, waits: timedelta, then_cancel: bool
) -> None:
    """No money moved: an invoice belongs to the plan that it was opened for."""
    customer, *both = twice(engine)
    assert shown(engine, customer).charged_twice
    engine.advance(waits)

    changing.change(engine.context, both[which], OPERATOR, plan_code="gold-plus")
    engine.run()
    engine.advance(DAY)
    if then_cancel:
        canceling.cancel(engine.context, both[which], OPERATOR)

    found = shown(engine, customer)
    assert found.charged_twice
    assert found.verdict == (
        f"charged twice: yes: two subscriptions to plan gold: {both[0]}, {both[1]};"
        " charged for both: 1 period, Rp 50,000; refunded: Rp 0"
    )


def test_both_changed_to_another_plan_are_told_once(engine: Engine) -> None:
    """One period was paid twice, and not one for each plan that it had."""
    customer, *both = twice(engine)
    for each in both:
        changing.change(engine.context, each, OPERATOR, plan_code="gold-plus")
    engine.run()

    found = shown(engine, customer)
    assert [(each.plan, each.periods_count) for each in found.twins] == [
        ("gold", 1), ("gold-plus", 0),
    ]  # fmt: skip
    assert found.verdict.count("charged for both") == 1


def test_a_plan_change_before_the_second_subscription_is_no_double_charge(engine: Engine) -> None:
    """The remaining days moved to another plan; from then on both have that plan."""
    engine.plan("gold", every="10 days")
    engine.plan("gold-plus", every="10 days", amount=80_000)
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    engine.advance(DAY)
    changing.change(engine.context, first, OPERATOR, plan_code="gold-plus")
    engine.run()
    engine.advance(DAY)
    engine.subscribe(customer, "gold")
    engine.run()
    assert shown(engine, customer).verdict == "charged twice: no"

    engine.subscribe(customer, "gold-plus", again=True)
    engine.run()
    found = shown(engine, customer)
    assert [(each.plan, each.periods_count) for each in found.twins] == [("gold-plus", 1)]


@pytest.mark.parametrize("which", [0, 1])
def test_a_double_payment_that_went_back_in_full_is_told_as_such(
    engine: Engine, billing: Billing, which: int
) -> None:
    """After a refund of either one it is no double charge any more, in text and in JSON."""
    customer, *both = twice(engine)
    assert not shown(engine, customer).refunded_in_full
    paid = engine.invoices(both[which])[0]["id"]
    refunding.refund_invoice(engine.context, paid, 49_999, OPERATOR)
    engine.run()
    assert not shown(engine, customer).refunded_in_full
    refunding.refund_invoice(engine.context, paid, 1, OPERATOR)
    engine.run()

    found = billing("customer", "show", customer)
    assert (found["charged_twice"], found["refunded_in_full"]) == (True, True)
    told = (
        f"was charged twice; refunded in full: two live subscriptions to plan gold: {both[0]},"
        f" {both[1]}; charged for both: 1 period, Rp 50,000; refunded: Rp 50,000"
    )
    assert found["verdict"] == told
    assert told in " ".join(billing("customer", "show", customer, people=True).split())

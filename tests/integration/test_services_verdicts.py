"""Whether a customer was charged twice: one invoice, or one plan, for the same time."""

from datetime import timedelta
from typing import Any

from billing.domain.events import OPERATOR
from billing.services import ending, refunding, showing
from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY = timedelta(days=1)


def shown(engine: Engine, customer: str) -> dict[str, Any]:
    """What is shown of a customer."""
    return showing.customer(engine.context.database, customer, 100)


def test_two_live_subscriptions_to_one_plan_are_named(engine: Engine, billing: Billing) -> None:
    """Before anything is charged it is no double payment, and told all the same."""
    engine.plan("gold", trial="7 days")
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    assert shown(engine, customer)["verdict"] == "charged twice: no"
    engine.advance(DAY)
    second = engine.subscribe(customer, "gold", again=True)

    found = shown(engine, customer)

    assert found["verdict"] == (
        f"charged twice: no (but two live subscriptions to plan gold: {first}, {second})"
    )
    assert not found["charged_twice"]
    people = billing("customer", "show", customer, people=True)
    assert f"more than one subscription to plan gold: {first}, {second}" in people


def test_both_charged_for_the_same_time_is_charged_twice(engine: Engine) -> None:
    """With how many periods, how much, and what was given back of it."""
    engine.plan("gold", every="10 days")
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    engine.advance(3 * DAY)
    second = engine.subscribe(customer, "gold", again=True)
    engine.run()

    found = shown(engine, customer)
    assert found["charged_twice"]
    assert found["verdict"] == (
        f"charged twice: yes: two live subscriptions to plan gold: {first}, {second};"
        " charged for both: 1 period, Rp 50,000; given back: Rp 0"
    )
    refunding.refund_invoice(engine.context, engine.invoices(second)[0]["id"], 20_000, OPERATOR)
    assert shown(engine, customer)["verdict"].endswith("given back: Rp 0, Rp 20,000 on its way")
    engine.run()
    ending.cancel(engine.context, second, OPERATOR)
    assert shown(engine, customer)["verdict"] == (
        f"charged twice: yes: two subscriptions to plan gold: {first}, {second};"
        " charged for both: 1 period, Rp 50,000; given back: Rp 20,000"
    )


def test_one_after_the_other_is_not_twice(engine: Engine) -> None:
    """Who left in the middle of a period and came back paid for each day that was served once."""
    engine.plan("gold", every="10 days")
    customer = engine.customer()
    first = engine.subscribe(customer, "gold")
    engine.advance(3 * DAY)
    ending.cancel(engine.context, first, OPERATOR)
    engine.advance(DAY)
    engine.subscribe(customer, "gold")
    engine.advance(25 * DAY)

    assert shown(engine, customer)["verdict"] == "charged twice: no"
    assert shown(engine, customer)["twins"] == []


def test_two_plans_and_two_customers_are_not_twice(engine: Engine) -> None:
    """A subscription to another plan, or of somebody else, is none of the same."""
    for code in ("gold", "silver"):
        engine.plan(code)
    one, two = engine.customer(), engine.customer()
    engine.subscribe(one, "gold")
    engine.subscribe(one, "silver")
    engine.subscribe(two, "gold")
    engine.advance(40 * DAY)

    assert shown(engine, one)["verdict"] == "charged twice: no"
    assert shown(engine, two)["verdict"] == "charged twice: no"

"""Paid days: unused days are worth what was paid for them, not their list price."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR, Actor
from billing.domain.subscription import RefundPolicy
from billing.services.money import refunding
from billing.services.operating import invoice_actions
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.engine import Engine

APRIL = datetime(2026, 4, 1, 2, tzinfo=UTC)
"""The first of a month of thirty days, so that 30,000 a month are 1,000 a day."""
DAY = timedelta(days=1)
WHY = Actor("operator", "a reason")
Running = tuple[str, UUID]


def offers(engine: Engine, on_exhausted: str = "cancel") -> None:
    """Plans of 3,000, 30,000, 60,000 and 900,000 a month, and one of a year."""
    prices = {"THREE": 3_000, "THIRTY": 30_000, "SIXTY": 60_000, "MUCH": 900_000}
    for code, amount in prices.items():
        engine.plan(code, amount=amount, retries="1d", on_exhausted=on_exhausted)
    engine.plan("YEAR", amount=1_000_000, every="1 year", retries="1d", on_exhausted=on_exhausted)


def begin(engine: Engine, on_exhausted: str = "cancel", cash: int | None = None) -> Running:
    """A customer on 30,000 a month since 1 April."""
    engine.set_clock(APRIL)
    offers(engine, on_exhausted)
    customer = engine.customer(cash=cash)
    subscription = engine.subscribe(customer, "THIRTY")
    engine.run()
    return customer, subscription


@pytest.fixture
def april(engine: Engine) -> Running:
    """A customer who paid 30,000 for April."""
    return begin(engine)


def change(engine: Engine, subscription: UUID, **what: Any) -> dict[str, Any]:
    """Change now, and do the due work."""
    said = changing.change(engine.context, subscription, OPERATOR, **what)
    engine.run()
    return said


def unpaid_upgrade(engine: Engine, running: Running, plan: str) -> UUID:
    """Change to a dearer plan while the wallet is empty; the id of the invoice."""
    customer, subscription = running
    engine.put_cash(customer, 0)
    change(engine, subscription, plan_code=plan)
    made = engine.invoices(subscription)[-1]
    assert (made["change_index"], made["status"]) == (1, "open")
    return UUID(str(made["id"]))


def cancel(engine: Engine, subscription: UUID, refund: str = "prorated") -> None:
    """Cancel now, and do the due work."""
    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy(refund))
    engine.run()


def paid(engine: Engine, customer: str) -> list[int]:
    """What the customer's wallet paid, in order."""
    return [row["amount"] for row in engine.debits(customer)]


def refunded(engine: Engine, customer: str) -> int:
    """Return the refunds to the wallet."""
    return sum(r["amount"] for r in engine.refunds(customer) if r["status"] == "succeeded")


def balance(engine: Engine, customer: str) -> int:
    """What of the customer's credits is left."""
    statement = "SELECT coalesce(sum(remaining), 0) FROM credits WHERE customer_id = :id"
    return int(engine.one(statement, id=customer))


def test_an_upgrade_that_was_not_paid_is_worth_nothing(engine: Engine, april: Running) -> None:
    """30,000 paid, an unpaid upgrade to 900,000 on day 29, an end: one day is refunded, 1,000."""
    customer, subscription = april
    engine.advance(29 * DAY)
    unpaid_upgrade(engine, april, "MUCH")

    cancel(engine, subscription)

    assert refunded(engine, customer) == 1_000


@pytest.mark.parametrize("way", ["cancel", "downgrade", "other dates"])
def test_a_void_upgrade_is_worth_nothing(engine: Engine, april: Running, way: str) -> None:
    """Half a month after it was void: 15,000 of 30,000, by every way of returning them."""
    customer, subscription = april
    invoice_actions.void_invoice(engine.context, unpaid_upgrade(engine, april, "SIXTY"), WHY)
    engine.put_cash(customer, 10**7)
    engine.advance(15 * DAY)

    if way == "cancel":
        cancel(engine, subscription)
        assert refunded(engine, customer) == 15_000
    elif way == "downgrade":
        said = change(engine, subscription, plan_code="THIRTY")
        assert (said["credit"], said["charge"]) == (15_000, 15_000)
        assert change(engine, subscription, plan_code="THREE")["net"] == -13_500
    else:
        change(engine, subscription, plan_code="YEAR")
        assert [e["data"]["amount"] for e in engine.told("credit.given")] == [15_000]
        assert paid(engine, customer) == [30_000, 985_000]


def test_a_void_upgrade_is_asked_for_again(engine: Engine, april: Running) -> None:
    """Voided and requested again: the whole difference is charged, and counts as paid."""
    customer, subscription = april
    invoice_actions.void_invoice(engine.context, unpaid_upgrade(engine, april, "SIXTY"), WHY)
    engine.put_cash(customer, 10**7)
    engine.advance(15 * DAY)
    change(engine, subscription, plan_code="THIRTY")

    change(engine, subscription, plan_code="SIXTY")

    assert paid(engine, customer) == [30_000, 15_000]
    engine.advance(5 * DAY)
    cancel(engine, subscription)
    assert refunded(engine, customer) == 20_000


def test_a_new_period_after_an_upgrade_was_given_up(engine: Engine) -> None:
    """Resumed from now, a period whose upgrade dunning ended credits what was paid for."""
    running = customer, subscription = begin(engine, on_exhausted="pause")
    engine.advance(11 * DAY)
    unpaid_upgrade(engine, running, "SIXTY")
    engine.advance(4 * DAY)
    assert engine.status(subscription) == "paused"
    engine.put_cash(customer, 10**7)

    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.run()

    assert [e["data"]["amount"] for e in engine.told("credit.given")] == [17_000]


def test_a_void_base_invoice_is_worth_nothing(engine: Engine) -> None:
    """A free period is changed to a dearer plan: its days are charged, and come back once."""
    customer, subscription = begin(engine, cash=0)
    [base] = engine.invoices(subscription)
    invoice_actions.void_invoice(engine.context, base["id"], WHY)
    engine.put_cash(customer, 10**7)
    engine.advance(15 * DAY)
    assert change(engine, subscription, plan_code="THREE")["net"] == 0
    assert change(engine, subscription, plan_code="SIXTY")["net"] == 30_000

    engine.advance(5 * DAY)
    cancel(engine, subscription)

    assert refunded(engine, customer) == 20_000


def test_goodwill_is_not_charged_again(engine: Engine, april: Running) -> None:
    """All of April is refunded; a price of one rupiah more charges one rupiah."""
    customer, subscription = april
    [base] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, base["id"], None, WHY)
    engine.run()

    change(engine, subscription, amount=30_001)

    assert paid(engine, customer) == [30_000, 1]


def test_goodwill_then_an_upgrade_at_half_time(engine: Engine, april: Running) -> None:
    """20,000 of 30,000 are refunded; 15 days of 60,000 cost 15,000 more, not 20,000."""
    customer, subscription = april
    [base] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, base["id"], 20_000, WHY)
    engine.advance(15 * DAY)

    assert change(engine, subscription, plan_code="SIXTY")["net"] == 15_000
    engine.advance(7 * DAY)
    cancel(engine, subscription)

    assert paid(engine, customer) == [30_000, 15_000]
    assert refunded(engine, customer) == 20_000 + 16_000


@pytest.mark.parametrize("plan", ["SIXTY", "THREE"])
def test_a_change_over_an_invoice_that_was_given_up_is_refused(engine: Engine, plan: str) -> None:
    """It may still be paid, and its days would be paid twice: one line says what to do first."""
    customer, subscription = begin(engine, on_exhausted="pause", cash=0)
    engine.advance(5 * DAY)
    engine.put_cash(customer, 10**7)
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(10 * DAY)
    [base] = engine.invoices(subscription)
    before = engine.counts()

    with pytest.raises(
        IllegalMove, match=f"uncollectible; retry it or void it first.*retry {base['id']}.* void"
    ):
        changing.change(engine.context, subscription, OPERATOR, plan_code=plan)

    assert engine.counts() == before
    invoice_actions.retry_invoice(engine.context, base["id"], OPERATOR)
    engine.run()
    change(engine, subscription, plan_code=plan)
    net = sum(paid(engine, customer)) - balance(engine, customer)
    assert net == {"SIXTY": 45_000, "THREE": 16_500}[plan]


@pytest.mark.parametrize(
    ("final", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("pause", "paused")]
)
def test_dunning_over_a_change_keeps_the_paid_days(engine: Engine, final: str, status: str) -> None:
    """A small upgrade fails for good: the unused days of the paid month are the customer's."""
    customer, subscription = begin(engine, on_exhausted=final)
    engine.advance(5 * DAY)
    engine.put_cash(customer, 0)
    change(engine, subscription, amount=31_000)

    engine.advance(10 * DAY)

    assert engine.status(subscription) == status
    [given] = [e["data"] for e in engine.told("credit.given")]
    assert given["amount"] == balance(engine, customer) == 23_000
    assert given["why"].startswith("dunning ended")
    if final != "cancel":
        cancel(engine, subscription, "prorated")
    assert (balance(engine, customer), refunded(engine, customer)) == (23_000, 0)


def test_a_hard_decline_of_a_change_keeps_the_paid_days(engine: Engine, april: Running) -> None:
    """Ended in the minute of the change: the whole month is the customer's."""
    customer, subscription = april
    engine.script("decline", customer, code="suspected_fraud", message="no")

    change(engine, subscription, amount=31_000)
    engine.advance(timedelta(hours=1))

    assert (engine.status(subscription), balance(engine, customer)) == ("canceled", 30_000)


def test_withheld_days_are_paid_anew_from_the_resumption(engine: Engine) -> None:
    """The credit of the pause pays for the period that begins at the resume."""
    running = customer, subscription = begin(engine, on_exhausted="pause")
    unpaid_upgrade(engine, running, "SIXTY")
    engine.advance(5 * DAY)
    assert (engine.status(subscription), balance(engine, customer)) == ("paused", 28_000)
    engine.put_cash(customer, 10**7)

    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.run()

    assert (paid(engine, customer), balance(engine, customer)) == ([30_000, 32_000], 0)


@pytest.mark.parametrize(("cycles", "status"), [(None, "active"), (2, "completed")])
def test_nobody_is_past_due_who_owes_nothing(
    engine: Engine, cycles: int | None, status: str
) -> None:
    """A manual retry fails after the resume: the subscription is active, or completed."""
    engine.plan("P", amount=30_000, retries="1d", on_exhausted="unpaid", cycles=cycles)
    customer = engine.customer(cash=0)
    subscription = engine.subscribe(customer, "P")
    engine.advance((70 if cycles else 10) * DAY)
    assert engine.status(subscription) == "unpaid"
    invoice_actions.retry_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)
    pausing.resume(engine.context, subscription, OPERATOR)
    assert engine.status(subscription) == "past_due"

    engine.advance(DAY)

    assert engine.status(subscription) == status
    assert [row["status"] for row in engine.invoices(subscription)] == ["uncollectible"]


def test_a_price_that_is_not_raised_charges_nothing_after_a_void_upgrade(engine: Engine) -> None:
    """The upgrade was written off for this period; a lower price than its own does not debit."""
    customer, subscription = begin(engine, cash=30_000)
    changing.change(engine.context, subscription, OPERATOR, plan_code="SIXTY")
    engine.run()
    [upgrade] = [i for i in engine.invoices(subscription) if i["change_index"]]
    invoice_actions.void_invoice(engine.context, upgrade["id"], WHY)
    engine.put_cash(customer, 1_000_000)

    made = change(engine, subscription, amount=45_000)

    assert (made["net"], made["charge"]) == (0, 0)
    assert len(engine.debits(customer)) == 1
    assert change(engine, subscription, amount=15_000)["net"] == -15_000, "30,000 were paid"
    engine.advance(APRIL + 31 * DAY)
    assert engine.invoices(subscription)[-1]["amount"] == 15_000

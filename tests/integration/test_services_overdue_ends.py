"""A due end takes effect as of its date, also when other actions happen before the tick."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR, Actor
from billing.domain.subscription import RefundPolicy
from billing.services.operating import kill_switch
from billing.services.subscriptions import canceling
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)


@pytest.fixture
def april(engine: Engine) -> tuple[str, UUID]:
    """A customer who pays 30,000 a month since 1 April."""
    engine.plan(amount=30_000, timezone="UTC")
    engine.set_clock(START + timedelta(days=60))
    customer = engine.customer()
    subscription = engine.subscribe(customer)
    engine.run()
    return customer, subscription


def cancel(engine: Engine, subscription: UUID, **options: Any) -> dict[str, Any]:
    """Cancel, as an operator."""
    return canceling.cancel(engine.context, subscription, OPERATOR, **options)


def paid(engine: Engine, customer: str) -> list[int]:
    """What the customer's wallet paid, in order."""
    return [row["amount"] for row in engine.debits(customer)]


@pytest.mark.parametrize("at", ["now", "period-end", "later"])
@pytest.mark.parametrize("late", [10 * DAY, 15 * DAY, 45 * DAY])
def test_a_second_cancellation_carries_the_overdue_one_out(
    engine: Engine, april: tuple[str, UUID], at: str, late: timedelta
) -> None:
    """It ends as of its date and with its refund; later days are not billed."""
    customer, subscription = april
    ended_at = engine.now + 10 * DAY
    cancel(engine, subscription, at=ended_at, refund=RefundPolicy.PRORATED)
    engine.set_clock(engine.now + late)
    when: str | datetime = engine.now + 90 * DAY if at == "later" else at

    told = cancel(engine, subscription, at=when)
    engine.advance(100 * DAY)

    assert told == {
        "id": str(subscription), "status": "canceled", "refunded": 20_000, "invoices_voided": 0,
        "wallet": "stays", "wallet_used_by": [],
    }  # fmt: skip
    assert engine.subscription(subscription)["ended_at"] == ended_at
    assert paid(engine, customer) == [30_000]
    assert [row["amount"] for row in engine.refunds(customer)] == [20_000]


def test_a_second_cancellation_waits_for_what_is_owed_before_the_overdue_one(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """A period that began before the end is opened and charged first; the line says to wait."""
    customer, subscription = april
    cancel(engine, subscription, at=engine.now + 40 * DAY)
    engine.set_clock(engine.now + 45 * DAY)

    with pytest.raises(IllegalMove, match=r"is to cancel as of .* try again in a moment"):
        cancel(engine, subscription)
    engine.run()

    assert engine.status(subscription) == "canceled"
    assert paid(engine, customer) == [30_000, 30_000]


def test_an_overdue_cancellation_cannot_be_withdrawn(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """It has ended, and only the tick is late; before its date it can be withdrawn."""
    customer, subscription = april
    cancel(engine, subscription, at="period-end")
    canceling.withdraw(engine.context, subscription, OPERATOR)
    cancel(engine, subscription, at="period-end")
    engine.set_clock(engine.now + 40 * DAY)

    with pytest.raises(IllegalMove, match="is to cancel as of"):
        canceling.withdraw(engine.context, subscription, OPERATOR)
    engine.run()

    assert engine.status(subscription) == "canceled"
    assert paid(engine, customer) == [30_000]


def test_an_overdue_end_of_a_held_subscription_names_the_release_command(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """No tick touches a held row, so that trying again would not help."""
    _, subscription = april
    cancel(engine, subscription, at=engine.now + DAY)
    engine.execute("UPDATE subscriptions SET held_at = :now, held_why = 'x'", now=engine.now)
    engine.set_clock(engine.now + 2 * DAY)

    for act in (
        lambda: cancel(engine, subscription),
        lambda: canceling.withdraw(engine.context, subscription, OPERATOR),
    ):
        with pytest.raises(IllegalMove, match=f"billing release subscription {subscription}"):
            act()
    engine.dead_ends = {"held"}


def test_stopped_charging_makes_no_served_days_free(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """An end waits until the period before it is charged, also while charging is stopped."""
    customer, subscription = april
    begun, ended_at = engine.now, engine.now + 50 * DAY
    cancel(engine, subscription, at=ended_at)
    engine.advance(29 * DAY)
    kill_switch.stop_charging(engine.context, Actor("operator", "maintenance"))
    for days in (31, 40, 51):
        engine.set_clock(begun + days * DAY)
        engine.tick()
    assert engine.status(subscription) == "active"

    kill_switch.start_charging(engine.context, OPERATOR)
    engine.run()

    row = engine.subscription(subscription)
    assert (row["status"], row["ended_at"]) == ("canceled", ended_at)
    assert paid(engine, customer) == [30_000, 30_000]

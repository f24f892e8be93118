"""Two pending intents: no year is charged to a customer whose cancellation is planned."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)


@pytest.fixture
def april(engine: Engine) -> tuple[str, UUID]:
    """A customer on A (30,000 a month) since 1 April, paid until 1 May."""
    engine.plan("A", amount=30_000, timezone="UTC")
    engine.plan("B", amount=60_000, timezone="UTC")
    engine.plan("YEAR", amount=1_000_000, every="1 year", timezone="UTC")
    engine.set_clock(START + timedelta(days=60))
    customer = engine.customer()
    subscription = engine.subscribe(customer, "A")
    engine.run()
    return customer, subscription


def paid(engine: Engine, customer: str) -> list[int]:
    """What the customer's wallet paid, in order."""
    return [row["amount"] for row in engine.debits(customer)]


def plan_year(engine: Engine, subscription: UUID) -> None:
    """Plan a year from the next period on."""
    changing.change(engine.context, subscription, OPERATOR, plan_code="YEAR", at="period-end")


def test_no_year_is_planned_that_would_end_after_ten_days(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """An end on 11 May, and a year from 1 May on: one of both must be withdrawn."""
    customer, subscription = april
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 40 * DAY)
    before = engine.subscription(subscription)

    with pytest.raises(IllegalMove, match=f"cancel {subscription} --withdraw"):
        plan_year(engine, subscription)
    assert engine.subscription(subscription) == before

    changing.change(engine.context, subscription, OPERATOR, plan_code="B", at="period-end")
    engine.advance(60 * DAY)
    assert paid(engine, customer) == [30_000, 60_000], "the same due dates are no longer period"


def test_no_end_is_planned_inside_a_year_that_is_to_begin(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """The other way round; before the year, or after it, it may end."""
    customer, subscription = april
    plan_year(engine, subscription)
    before = engine.subscription(subscription)

    with pytest.raises(IllegalMove, match=f"change {subscription} --plan A"):
        canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 40 * DAY)
    assert engine.subscription(subscription) == before

    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 400 * DAY)
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 20 * DAY)
    engine.advance(60 * DAY)
    assert paid(engine, customer) == [30_000]


def test_a_year_that_the_end_comes_before_is_not_charged_by_a_resumption(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """Both were for 1 May: a new month from now on is the last one."""
    customer, subscription = april
    plan_year(engine, subscription)
    canceling.cancel(engine.context, subscription, OPERATOR, at=canceling.PERIOD_END)
    engine.advance(10 * DAY)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(DAY)
    resumed_at = engine.now

    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.advance(60 * DAY)

    row = engine.subscription(subscription)
    assert (row["status"], row["plan_code"]) == ("canceled", "A")
    assert row["ended_at"] == resumed_at + 30 * DAY
    assert max(paid(engine, customer)) == 30_000
    [told] = engine.told("subscription.change_dropped")
    assert told["data"]["why"] == "it ends before that"


def test_an_end_after_the_change_moves_to_the_end_of_the_year(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """The year was due on 1 May, during the pause, and the end came after it: a whole year runs."""
    customer, subscription = april
    plan_year(engine, subscription)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(35 * DAY)
    canceling.cancel(engine.context, subscription, OPERATOR, at=canceling.PERIOD_END)
    engine.advance(DAY)
    resumed_at = engine.now

    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.advance(300 * DAY)

    row = engine.subscription(subscription)
    assert (row["status"], row["plan_code"]) == ("active", "YEAR")
    assert row["cancel_at"] == row["next_due_at"] == resumed_at.replace(year=resumed_at.year + 1)
    assert paid(engine, customer) == [30_000, 1_000_000]
    engine.advance(100 * DAY)
    assert engine.status(subscription) == "canceled"


@pytest.mark.parametrize("by_itself", [True, False])
def test_a_return_that_brings_the_year_before_the_end(
    engine: Engine, april: tuple[str, UUID], *, by_itself: bool
) -> None:
    """The pause moves the year's start so that the end falls inside it: the operator is told."""
    customer, subscription = april
    plan_year(engine, subscription)
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 397 * DAY)
    until = engine.now + 40 * DAY if by_itself else None
    pausing.pause(engine.context, subscription, OPERATOR, until=until)
    engine.advance(41 * DAY)

    if not by_itself:
        with pytest.raises(IllegalMove, match=f"cancel {subscription} --withdraw"):
            pausing.resume(engine.context, subscription, OPERATOR)
        assert engine.status(subscription) == "paused"
        return
    assert engine.status(subscription) == "active"
    [told] = engine.told("subscription.change_dropped")
    assert told["data"]["why"] == "it ends within that period"
    engine.advance(40 * DAY)
    assert paid(engine, customer) == [30_000, 30_000]

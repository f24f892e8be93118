"""Giving up on a subscription whose next period had begun and could not be opened."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR, Actor
from billing.domain.money import MAX_AMOUNT
from billing.services.money import crediting
from billing.services.operating.held_rows import Kind
from billing.services.subscriptions import canceling, pausing
from tests.integration.engine import START, Engine
from tests.integration.held import is_held, release

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def skipped(engine: Engine) -> list[tuple[int, int, str]]:
    """The periods that were not billed, and why."""
    told = [event["data"] for event in engine.told("period.skipped")]
    return [(data["first"], data["last"], data["why"]) for data in told]


@pytest.fixture
def weekly(engine: Engine, on_exhausted: str) -> tuple[str, UUID]:
    """A weekly subscription whose first charge is declined, and given up on the eighth day."""
    customer, subscription = engine.begun(
        every="1 week", on_exhausted=on_exhausted, retries="8d", timezone="UTC"
    )
    engine.script("decline", customer, times=2)
    engine.run()
    return customer, subscription


def give_up(engine: Engine) -> None:
    """The second decline comes on day eight; no tick has opened, paused or cancelled before."""
    engine.set_clock(START + 8 * DAY)
    engine.tick(["ticks.sweep_charges"])
    engine.set_clock(engine.now + 10 * MINUTE)
    engine.tick(["ticks.reconcile"])


@pytest.mark.parametrize(
    ("on_exhausted", "ends", "why"),
    [("pause", "paused", "held"), ("unpaid", "unpaid", "held"), ("cancel", "canceled", "canceled")],
)
def test_a_held_period_that_began_before_giving_up_is_left_out_as_what_it_was(
    engine: Engine, weekly: tuple[str, UUID], ends: str, why: str
) -> None:
    """Held on day seven, given up on day eight: the period between began in no pause."""
    customer, subscription = weekly
    engine.execute(
        "UPDATE subscriptions SET amount = :most, extras = :extras WHERE id = :id",
        most=MAX_AMOUNT, extras='[{"kind": "extra", "title": "x", "amount": 1}]', id=subscription,
    )  # fmt: skip
    engine.set_clock(START + 7 * DAY)
    engine.tick(["ticks.open_periods"])
    is_held(engine, Kind.SUBSCRIPTION, subscription)

    give_up(engine)

    assert engine.status(subscription) == ends
    assert skipped(engine) == [(1, 1, why)]
    assert [row["status"] for row in engine.invoices(subscription)] == ["uncollectible"]
    engine.dead_ends = set()
    if ends == "canceled":
        return
    engine.execute("UPDATE subscriptions SET amount = 50000, extras = '[]'")
    release(engine, Kind.SUBSCRIPTION, subscription)
    engine.advance(7 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.run()

    stood_still = "paused" if ends == "paused" else "unpaid"
    assert skipped(engine) == [(1, 1, "held"), (2, 2, stood_still)]
    engine.advance(7 * DAY)
    assert [row["period_index"] for row in engine.invoices(subscription)] == [0, 3]
    assert [row["amount"] for row in engine.debits(customer)] == [50_000]


@pytest.mark.parametrize(("on_exhausted", "ends"), [("pause", "paused"), ("unpaid", "unpaid")])
def test_a_pause_that_is_overdue_begins_on_its_own_date_when_dunning_gives_up(
    engine: Engine, weekly: tuple[str, UUID], ends: str
) -> None:
    """A pause was planned for day seven; the decline of day eight is settled before it."""
    _customer, subscription = weekly
    pausing.pause(engine.context, subscription, OPERATOR, at="period-end")

    give_up(engine)

    assert engine.status(subscription) == ends
    assert skipped(engine) == []
    kind = "subscription.paused" if ends == "paused" else "subscription.marked_unpaid"
    [told] = engine.told(kind)
    assert told["data"]["effective_at"] == (START + 7 * DAY).isoformat()
    engine.advance(7 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR)
    assert skipped(engine) == [(1, 2, ends)]


@pytest.mark.parametrize("on_exhausted", ["pause", "unpaid"])
def test_a_cancellation_that_is_overdue_ends_on_its_own_date_when_dunning_gives_up(
    engine: Engine, weekly: tuple[str, UUID]
) -> None:
    """It was to end on day seven; what follows from the decline of day eight changes no date."""
    _customer, subscription = weekly
    canceling.cancel(engine.context, subscription, OPERATOR, at="period-end")

    give_up(engine)
    engine.run()

    assert engine.status(subscription) == "canceled"
    assert skipped(engine) == []
    [row] = engine.rows("SELECT ended_at FROM subscriptions")
    assert row["ended_at"] == START + 7 * DAY


@pytest.mark.parametrize(
    ("on_exhausted", "overdue"),
    [("pause", "pause_at"), ("unpaid", "pause_at"), ("pause", "cancel_at")],
)
def test_paid_days_are_credited_from_the_overdue_date_on(
    engine: Engine, weekly: tuple[str, UUID], overdue: str
) -> None:
    """Credit paid the second week; its pause or end was due a day before dunning ended."""
    customer, subscription = weekly
    crediting.grant(engine.context, customer, 50_000, Actor("operator", "sorry"))
    engine.set_clock(START + 7 * DAY)
    engine.tick(["ticks.open_periods"])
    assert [row["status"] for row in engine.invoices(subscription)] == ["open", "paid"]
    engine.execute(f"UPDATE subscriptions SET {overdue} = :at", at=START + 9 * DAY)
    engine.set_clock(START + 12 * DAY)
    engine.tick(["ticks.sweep_charges"])
    engine.set_clock(engine.now + 10 * MINUTE)
    engine.tick(["ticks.reconcile"])

    returned = engine.one("SELECT sum(returned) FROM credit_uses")
    assert returned == 35_714, "five of seven days, not two"
    engine.run()

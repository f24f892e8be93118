"""What waits for the lock of a change of plan goes on with the new plan."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.domain.events import OPERATOR
from billing.services.subscriptions import canceling, changing, pausing
from billing.services.wallets import linking
from tests.integration.engine import Engine
from tests.integration.races import is_waiting

Act = Callable[[Engine, UUID], Any]
CHANGED = text("UPDATE subscriptions SET plan_code = 'B', amount = 30000 WHERE id = :id")
DEEDS: dict[str, Act] = {
    "change": lambda e, s: changing.change(e.context, s, OPERATOR, plan_code="C", at="period-end"),
    "cancel": lambda e, s: canceling.cancel(e.context, s, OPERATOR),
    "pause": lambda e, s: pausing.pause(e.context, s, OPERATOR),
}


def behind_a_change(engine: Engine, subscription: UUID, act: Act) -> None:
    """Let an act wait for a transaction that changes the plan, and go on when it commits."""
    with ThreadPoolExecutor(1) as thread:
        with engine.context.database.transaction() as connection:
            connection.execute(CHANGED, {"id": subscription})
            waiting = thread.submit(act, engine, subscription)
            engine.until(lambda: waiting.done() or is_waiting(engine), "the act waits for the lock")
            assert not waiting.done()
        waiting.result()


@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_that_waits_for_a_change_of_plan_finds_the_subscription(
    engine: Engine, deed: str
) -> None:
    """It is not refused as unknown."""
    for code, amount in (("A", 10_000), ("B", 30_000), ("C", 40_000)):
        engine.plan(code, amount=amount)
    subscription = engine.subscribe(engine.customer(), "A")
    engine.run()
    engine.audited = False  # the change is only its two columns

    behind_a_change(engine, subscription, DEEDS[deed])

    assert engine.subscription(subscription)["plan_code"] == "B"


def test_a_wallet_that_is_linked_during_a_change_of_plan_begins_the_subscription(
    engine: Engine,
) -> None:
    """Else it would be pending for ever, with a wallet that works."""
    engine.plan("A", amount=10_000)
    engine.plan("B", amount=30_000)
    customer = engine.customer(linked=False, cash=1_000_000)
    subscription = engine.subscribe(customer, "A")
    engine.bind(customer)
    engine.gateway.control("POST", f"wallets/{customer}/confirm")

    behind_a_change(engine, subscription, lambda e, _: linking.refresh(e.context, customer))
    engine.advance(timedelta(days=1))

    assert engine.status(subscription) == "active"
    assert [row["amount"] for row in engine.invoices(subscription)] == [30_000]

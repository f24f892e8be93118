"""Extras for the next invoice are refused when there is none, and nothing is written."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.services.money import coupons, extra_lines
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY = timedelta(days=1)


def extra(engine: Engine, subscription: UUID) -> None:
    """A line for the next invoice."""
    extra_lines.add(engine.context, subscription, "a towel", 25_000, OPERATOR)


def coupon(engine: Engine, subscription: UUID) -> None:
    """A coupon that counts from the next invoice on."""
    coupons.apply(engine.context, "HALF", subscription, OPERATOR)


def change(engine: Engine, subscription: UUID) -> None:
    """A price from the next invoice on."""
    changing.change(engine.context, subscription, OPERATOR, amount=60_000, at="period-end")


each_of_them = pytest.mark.parametrize("act", [extra, coupon, change])


@pytest.fixture
def running(engine: Engine) -> UUID:
    """A subscription every ten days, one of which is paid."""
    coupons.create(engine.context, "HALF", OPERATOR, percent=50)
    _, subscription = engine.begun(every="10 days", cycles=3)
    engine.run()
    engine.advance(DAY)
    return subscription


def refused(engine: Engine, act: Any, subscription: UUID) -> str:
    """What is said; the subscription and its events are as before."""
    before = engine.subscription(subscription), engine.counts()
    redeemed = engine.one("SELECT redeemed FROM coupons")
    with pytest.raises(IllegalMove) as said:
        act(engine, subscription)
    assert (engine.subscription(subscription), engine.counts()) == before
    assert engine.one("SELECT redeemed FROM coupons") == redeemed
    return str(said.value)


@each_of_them
@pytest.mark.parametrize("at", ["period-end", 3 * DAY])
def test_an_end_before_the_next_invoice_refuses_what_is_for_it(
    engine: Engine, running: UUID, act: Any, at: str | timedelta
) -> None:
    """The line says when it ends and how that is taken back; then it is done."""
    when = engine.now + at if isinstance(at, timedelta) else at
    canceling.cancel(engine.context, running, OPERATOR, at=when)

    said = refused(engine, act, running)
    assert "it ends at 2026-02-" in said
    assert f"billing subscription cancel {running} --withdraw" in said
    canceling.withdraw(engine.context, running, OPERATOR)
    act(engine, running)


@each_of_them
def test_an_end_behind_the_next_invoice_refuses_nothing(
    engine: Engine, running: UUID, act: Any
) -> None:
    """That invoice comes, and takes it."""
    canceling.cancel(engine.context, running, OPERATOR, at=engine.now + 12 * DAY)
    act(engine, running)


@each_of_them
def test_a_term_that_is_billed_to_its_end_refuses_what_is_for_a_next_invoice(
    engine: Engine, running: UUID, act: Any
) -> None:
    """Its cycles are used up: the last period runs, and none follows."""
    engine.advance(11 * DAY)
    engine.script("decline", engine.subscription(running)["customer_id"])
    engine.advance(8.5 * DAY)
    assert engine.subscription(running)["next_due_at"] is None
    assert engine.status(running) == "past_due"

    refused(engine, act, running)


@pytest.mark.parametrize("act", [extra, coupon])
def test_a_pause_that_ends_behind_the_end_refuses_what_is_for_a_next_invoice(
    engine: Engine, running: UUID, act: Any
) -> None:
    """Paused, the next invoice comes after the return at the earliest."""
    pausing.pause(engine.context, running, OPERATOR)
    extra(engine, running)
    canceling.cancel(engine.context, running, OPERATOR, at=engine.now + 5 * DAY)

    assert "no invoice comes before that" in refused(engine, act, running)


def test_the_command_line_says_it_in_one_line(
    engine: Engine, billing: Billing, running: UUID
) -> None:
    """Nothing is promised for an invoice that will not be opened."""
    canceling.cancel(engine.context, running, OPERATOR, at="period-end")
    words = ("subscription", "extra", running, "--amount", "25000", "--title", "a towel")
    assert "no invoice comes before that" in billing(*words, code=1)

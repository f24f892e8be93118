"""Unlinking: the token goes last, and until the gateway confirms it."""

from datetime import timedelta

import pytest

from billing.domain.events import OPERATOR
from billing.services.wallets import unlinking
from tests.integration.engine import Engine

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def statuses(engine: Engine, customer: str) -> list[str]:
    """The states of a customer's wallets, oldest first."""
    return [row["status"] for row in engine.wallets(customer)]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "http_500", "failed",
                                  "turn_away", "garbage", "wrong_signature"])  # fmt: skip
def test_an_unlink_is_tried_until_confirmed(engine: Engine, kind: str) -> None:
    """After any first answer the token is deleted once at the gateway, and recorded as deleted."""
    customer = engine.customer()
    engine.script(kind, customer, "unbind")
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.run()
    assert statuses(engine, customer) == ["unlinking"]

    engine.advance(timedelta(minutes=10))

    [wallet] = engine.wallets(customer)
    assert (wallet["status"], wallet["token_sealed"]) == ("unlinked", None)
    assert len(engine.ledger(customer, "unbind")) == 1


def test_an_unlink_that_is_never_confirmed_raises_an_alarm(engine: Engine) -> None:
    """It is sent daily, and an event says that an operator should check it."""
    customer = engine.customer()
    engine.script("failed", customer, "unbind", times=None)
    unlinking.unlink(engine.context, customer, OPERATOR)

    engine.advance(20 * DAY)

    assert statuses(engine, customer) == ["unlinking"]
    assert len(engine.told("wallet.unlink_stuck")) == 1
    engine.dead_ends = {"unlink stuck"}


def test_after_a_token_was_replaced_the_present_one_is_unbound(engine: Engine) -> None:
    """An expired wallet beside the active one does not prevent it."""
    customer = engine.customer()
    engine.lose_wallet(customer)
    engine.advance(HOUR)
    engine.link(customer)
    assert statuses(engine, customer) == ["expired", "active"]

    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.run()

    assert statuses(engine, customer) == ["expired", "unlinked"]
    assert engine.gateway.control("GET", f"wallets/{customer}")["token_id"] is None


def test_a_wish_to_unbind_outlives_the_tokens_year(engine: Engine) -> None:
    """The token expires while a charge prevents the unlink: it is deleted afterwards."""
    customer, _subscription = engine.begun()
    engine.script("pending", customer, end="SUCCESS", after_queries=3)
    engine.run()
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.execute("UPDATE wallets SET expires_at = :at", at=engine.now + timedelta(minutes=2))
    engine.advance(timedelta(minutes=5))
    assert statuses(engine, customer) == ["expired"]

    engine.advance(10 * DAY)

    assert statuses(engine, customer) == ["unlinked"]
    assert len(engine.ledger(customer, "unbind")) == 1


def test_a_new_link_replaces_an_expired_token_that_was_to_be_unbound(engine: Engine) -> None:
    """The planned unlink ends with the old token, and the new wallet is kept."""
    customer, _subscription = engine.begun()
    engine.script("pending", customer, end="SUCCESS", after_queries=3)
    engine.run()
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.lose_wallet(customer)
    engine.tick()
    engine.link(customer)

    engine.advance(10 * DAY)

    assert statuses(engine, customer) == ["expired", "active"]


def test_a_new_subscription_withdraws_the_wish(engine: Engine) -> None:
    """A wallet with a planned unlink is needed again: it stays, and is charged."""
    customer, _ = engine.begun()
    engine.script("pending", customer, end="FAILED", after_queries=1)
    engine.run()
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.run()

    second = engine.subscribe(customer, again=True)
    engine.advance(HOUR)

    assert statuses(engine, customer) == ["active"]
    assert [c["status"] for c in engine.charges(second)] == ["succeeded"]


def test_waiting_for_an_obstacle_is_not_hectic(engine: Engine) -> None:
    """An unlink that waits for a pending charge is checked with its queries, not every minute."""
    customer, _ = engine.begun(every="1 year")
    engine.script("pending", customer)
    engine.run()
    unlinking.unlink(engine.context, customer, OPERATOR)

    before = engine.one("SELECT count(*) FROM events WHERE kind = 'clock.set'")
    engine.advance(30 * DAY)

    stops = engine.one("SELECT count(*) FROM events WHERE kind = 'clock.set'") - before
    assert stops < 60
    assert statuses(engine, customer) == ["active"]
    engine.dead_ends = {"parked", "unlink stuck"}

"""Six ways an external call fails, for each of the seven calls, and how it is resolved.

For each pair: the failure happens, nothing is guessed from it, and in the end the rows equal the
gateway's ledger.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.domain.errors import GatewayRefused
from billing.domain.events import OPERATOR
from billing.services.money import refunding
from billing.services.wallets import linking, unlinking
from tests.integration.engine import Engine

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "refused": ("refuse", {}),
    "dropped": ("drop_after", {}),
    "too slow": ("hold", {"seconds": 1.6, "work": "done"}),
    "http 500": ("http_500", {"work": "done"}),
    "unreadable": ("garbage", {}),
    "forged": ("wrong_signature", {}),
}
DAY = timedelta(days=1)


class Fail:
    """One way of failing, for a call of a customer that the story chooses; it happens once."""

    def __init__(self, engine: Engine, customer: str, way: str) -> None:
        self._engine, self._customer = engine, customer
        self._kind, self._options = WAYS[way]
        self._scripts: list[int] = []

    def __call__(self, call: str, customer: str | None = None) -> None:
        """Let the next such call fail."""
        whose = customer or self._customer
        script = self._engine.script(self._kind, whose, call, **self._options)
        self._scripts.append(script)

    @property
    def met(self) -> list[int]:
        """How often each failure was met."""
        return [self._engine.met(script) for script in self._scripts]


def pay(engine: Engine, customer: str, fail: Fail) -> None:
    """A first charge."""
    engine.plan()
    subscription = engine.subscribe(customer)
    fail("pay")
    engine.run()
    assert engine.charges(subscription)[0]["status"] in {"unknown", "unsent"}
    engine.advance(DAY)
    assert engine.status(subscription) == "active"
    assert len(engine.debits(customer)) == 1


def refund(engine: Engine, customer: str, fail: Fail) -> None:
    """A full refund."""
    engine.plan()
    subscription = engine.subscribe(customer)
    engine.run()
    fail("refund")
    refunding.refund_invoice(engine.context, engine.invoices(subscription)[0]["id"], None, OPERATOR)
    engine.run()
    assert engine.refunds(customer)[0]["status"] in {"unknown", "requested"}
    engine.advance(DAY)
    assert engine.refunds(customer)[0]["status"] == "succeeded"
    assert [row["moves"] for row in engine.ledger(customer, "refund")] == [1]


def unlink(engine: Engine, customer: str, fail: Fail) -> None:
    """A token to be deleted."""
    fail("unbind")
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.run()
    assert engine.wallets(customer)[0]["status"] == "unlinking"
    engine.advance(DAY)
    assert engine.wallets(customer)[0]["status"] == "unlinked"
    assert len(engine.ledger(customer, "unbind")) == 1


def bind(engine: Engine, customer: str, fail: Fail) -> None:
    """A second wallet, after the first was unlinked."""
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.run()
    fail("bind")
    with pytest.raises(GatewayRefused):
        engine.bind(customer)
    assert {row["status"] for row in engine.wallets(customer)} == {"unlinked", "failed"}
    engine.link(customer)
    live = [row["status"] for row in engine.wallets(customer)]
    assert live.count("active") == 1


def tokens(engine: Engine, customer: str, fail: Fail) -> None:
    """The poll of a link that the customer has finished."""
    other = engine.customer(linked=False)
    engine.bind(other)
    engine.gateway.control("POST", f"wallets/{other}/confirm")
    fail("tokens", other)
    linking.refresh(engine.context, other)
    assert fail.met == [1]
    assert engine.wallets(other)[0]["status"] == "pending"
    engine.advance(timedelta(minutes=1))
    assert engine.wallets(other)[0]["status"] == "active"


def balance(engine: Engine, customer: str, fail: Fail) -> None:
    """The advice before a retry: without it the retry is made."""
    engine.plan(every="1 year")
    subscription = engine.subscribe(customer)
    engine.script("decline", customer)
    engine.run()
    fail("balance")
    engine.advance(2 * DAY)
    assert [c["status"] for c in engine.charges(subscription)] == ["declined", "succeeded"]


def status(engine: Engine, customer: str, fail: Fail) -> None:
    """The question about an unknown charge."""
    engine.plan(every="1 year")
    subscription = engine.subscribe(customer)
    engine.script("drop_after", customer)
    fail("status")
    engine.advance(timedelta(minutes=2))
    assert engine.charges(subscription)[0]["status"] == "unknown"
    engine.advance(DAY)
    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
    assert len(engine.debits(customer)) == 1


CALLS = (pay, refund, unlink, bind, tokens, balance, status)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("story", CALLS, ids=lambda story: story.__name__)
def test_a_call_that_fails_is_not_guessed_about(
    impatient: Engine, story: Callable[[Engine, str, Fail], None], way: str
) -> None:
    """The failure is met once, the thing stays open, and it ends with ledger equal to rows."""
    customer = impatient.customer()
    fail = Fail(impatient, customer, way)

    story(impatient, customer, fail)

    assert fail.met == [1]

"""The sendings of one refund: whose answer counts, and to which gateway they may go.

It drives the services and reads the gateway's ledger; how a refund is stored is not known here.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import RefundTooLarge
from billing.domain.events import OPERATOR
from billing.domain.outcomes import RefundOrder, RefundOutcome, Unsent
from billing.services.context import Context
from billing.services.money import refunding
from tests.integration.engine import Engine

FAR = timedelta(minutes=20)
"""Longer than a refund on the wire is left alone, and than "not found" is not believed."""


class Slow:
    """A gateway whose first refund call is answered when the test says so."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.began, self.answer_now = Event(), Event()
        self.calls = 0
        self.late: Callable[[RefundOrder], RefundOutcome] = inner.refund

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """The first call hangs; the others go through."""
        self.calls += 1
        if self.calls > 1:
            return self._inner.refund(order)
        self.began.set()
        assert self.answer_now.wait(30)
        return self.late(order)


@pytest.fixture
def refund(engine: Engine) -> tuple[str, UUID, UUID]:
    """A customer whose invoice is paid, the invoice, and a refund of 20,000 that is due."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    [invoice] = engine.invoices(subscription)
    made = refunding.refund_invoice(engine.context, invoice["id"], 20_000, OPERATOR)
    return customer, invoice["id"], UUID(str(made["refund"]))


def given_back(engine: Engine, customer: str) -> int:
    """Rupiah that the gateway gave back."""
    return sum(row["amount"] * row["moves"] for row in engine.ledger(customer, "refund"))


def test_a_late_answer_of_an_older_sending_does_not_speak_for_the_newer_one(
    engine: Engine, other: Engine, refund: tuple[str, UUID, UUID]
) -> None:
    """
    The first sending hangs, a second one is on the wire, and then the first was "never sent".

    Believed, that would let the refund be sent as if nothing had gone out, or be given up, while
    the second sending pays.
    """
    customer, invoice, refund_id = refund
    slow = Slow(engine.context.gateway)
    slow.late = lambda _order: Unsent("connection refused")
    first: Context = replace(engine.context, gateway=slow)
    second = Slow(other.context.gateway)
    newer: Context = replace(other.context, gateway=second)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(refunding.send_due, first, refund_id)
        assert slow.began.wait(30)
        engine.set_clock(engine.now + FAR)
        two = pool.submit(refunding.send_due, newer, refund_id)
        assert second.began.wait(30)
        slow.answer_now.set()
        one.result(30)
        [row] = engine.refunds(customer)
        second.answer_now.set()
        two.result(30)

    assert row["status"] == "in_flight", "another sending was on the wire"
    engine.forget_leases()
    engine.advance(timedelta(hours=2))
    assert [r["status"] for r in engine.refunds(customer)] == ["succeeded"]
    assert given_back(engine, customer) == 20_000
    with pytest.raises(RefundTooLarge):
        refunding.refund_invoice(engine.context, invoice, 30_001, OPERATOR)


def test_a_refund_is_not_sent_to_a_gateway_that_is_not_the_databases(
    engine: Engine, refund: tuple[str, UUID, UUID]
) -> None:
    """
    A message about a refund reaches a worker that was pointed elsewhere: nothing is sent.

    The lease was made by one that had the right gateway, so that the lease's check is no help.
    """
    customer, _, refund_id = refund
    assert refunding.lease_due(engine.context, 10) == [refund_id]
    before = engine.refunds(customer)
    elsewhere = engine.context.settings.model_copy(
        update={"doku_base_url": "http://elsewhere.example.com", "doku_client_id": "MCH-OTHER"}
    )
    watched = Slow(engine.context.gateway)
    watched.answer_now.set()
    foreign = replace(engine.context, settings=elsewhere, gateway=watched)

    refunding.send_due(foreign, refund_id)

    assert watched.calls == 0
    assert engine.refunds(customer) == before
    assert given_back(engine, customer) == 0
    engine.forget_leases()
    engine.run()
    assert given_back(engine, customer) == 20_000

"""Possible dead ends and ways around a guard: each has a way out, or is closed."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR, Actor
from billing.services.collecting import charging
from billing.services.money import crediting, refunding
from billing.services.operating import invoice_actions
from billing.services.reading import auditing
from billing.services.subscriptions import canceling
from tests.integration.engine import Engine

DAY = timedelta(days=1)


def test_an_outage_before_the_end_makes_no_period_free(engine: Engine) -> None:
    """Periods that began before the date of the cancellation are billed when the engine is back."""
    customer, subscription = engine.begun(every="10 days")
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 25 * DAY)

    engine.set_clock(engine.now + 40 * DAY)
    engine.run()

    assert engine.subscription(subscription)["status"] == "canceled"
    assert len(engine.debits(customer)) == 3, "of the days 0, 10 and 20"
    assert [i["status"] for i in engine.invoices(subscription)] == ["paid"] * 3


def test_an_end_waits_for_what_is_unknown(engine: Engine) -> None:
    """A charge that may have been paid gets a status query before the subscription ends."""
    customer, subscription = engine.begun(every="10 days")
    engine.script("drop_after", customer, times=1)
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + timedelta(seconds=30))
    engine.advance(DAY)

    assert engine.subscription(subscription)["status"] == "canceled"
    assert [i["status"] for i in engine.invoices(subscription)] == ["paid"]
    assert len(engine.debits(customer)) == 1
    assert engine.ledger(customer, "refund") == []


@pytest.mark.parametrize("says", ["FAILED", "SUCCESS"])
def test_a_term_is_over_when_the_last_doubt_is(engine: Engine, says: str) -> None:
    """A void invoice's charge is unresolved when the last cycle is free: it ends the term."""
    customer, subscription = engine.begun(every="10 days", cycles=2)
    engine.script("pending", customer, end=says, after_queries=2)
    engine.run()
    [first] = engine.invoices(subscription)
    invoice_actions.void_invoice(engine.context, first["id"], OPERATOR)
    crediting.grant(engine.context, customer, 50_000, Actor("operator", "a gift"))
    engine.set_clock(engine.now + 11 * DAY)
    engine.tick(["ticks.open_periods"])
    assert engine.subscription(subscription)["status"] == "active"
    engine.advance(20 * DAY)

    assert engine.subscription(subscription)["status"] == "completed"
    assert auditing.audit(engine.context) == []


def test_a_wish_to_unbind_survives_an_earlier_end(engine: Engine) -> None:
    """Dunning that ends the subscription before its date deletes the token as was asked."""
    customer, subscription = engine.begun(every="1 month", retries="1d")
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 80 * DAY, unlink=True)
    engine.put_cash(customer, 0)
    engine.advance(40 * DAY)

    assert engine.subscription(subscription)["status"] == "canceled"
    assert engine.wallets(customer)[0]["status"] == "unlinked"


def test_a_parked_refund_is_sent_again_by_a_person(engine: Engine) -> None:
    """It goes out under its own Request-Id, so that one that was paid is not paid again."""
    customer, subscription = engine.begun()
    engine.run()
    invoice = UUID(str(engine.invoices(subscription)[0]["id"]))
    with pytest.raises(IllegalMove):
        refunding.send_again(engine.context, invoice, OPERATOR)
    engine.script("drop_after", customer, "refund", times=12)
    engine.script("drop_after", customer, "status", times=None)
    refunding.refund_invoice(engine.context, invoice, 10_000, OPERATOR)
    engine.advance(2 * DAY)
    assert engine.refunds(customer)[0]["parked_at"] is not None

    engine.no_more_scripts()
    assert refunding.send_again(engine.context, invoice, OPERATOR) == 1
    engine.run()

    assert engine.refunds(customer)[0]["status"] == "succeeded"
    assert [row["moves"] for row in engine.ledger(customer, "refund")] == [1]


def test_a_message_left_over_asks_no_foreign_gateway(engine: Engine) -> None:
    """In a database of another gateway no call is made, and no token is sent."""
    customer, subscription = engine.begun(retries="1d")
    engine.put_cash(customer, 0)
    engine.run()
    invoice = UUID(str(engine.invoices(subscription)[0]["id"]))
    engine.set_clock(engine.now + 2 * DAY)
    engine.execute("UPDATE engine SET gateway_host = 'elsewhere.example.com'")
    before = engine.gateway.control("GET", "totals")["answers"]

    charging.collect(engine.context, [invoice])

    assert engine.gateway.control("GET", "totals")["answers"] == before
    engine.execute("UPDATE engine SET gateway_host = '127.0.0.1'")
    engine.run()


def test_a_token_that_cannot_be_opened_stops_only_its_own_invoice(engine: Engine) -> None:
    """The invoice says why it cannot be charged; the others of the batch are charged."""
    spoilt, broken = engine.begun()
    healthy = engine.customer()
    fine = engine.subscribe(healthy)
    engine.execute("UPDATE wallets SET token_sealed = 'x' WHERE customer_id = :id", id=spoilt)

    engine.run()

    assert [i["status"] for i in engine.invoices(fine)] == ["paid"]
    [waiting] = engine.invoices(broken)
    assert waiting["status"] == "open"
    assert "BILLING_TOKEN_KEY" in waiting["reason"]
    assert engine.debits(spoilt) == []
    assert len(engine.debits(healthy)) == 1
    engine.dead_ends = {"unsendable"}


def test_the_gateway_is_asked_about_a_window(engine: Engine) -> None:
    """All charges agree with the gateway; a row that says otherwise is named."""
    _customer, subscription = engine.begun(every="10 days")
    engine.advance(25 * DAY)
    since, until = engine.now - 30 * DAY, engine.now
    assert list(auditing.audit_gateway(engine.context, since, until)) == []

    [first, *_] = engine.charges(subscription)
    engine.audited = False
    engine.execute(
        "UPDATE charges SET status = 'declined', fault = 'other', kept = 0 WHERE id = :id",
        id=first["id"],
    )
    [finding] = auditing.audit_gateway(engine.context, since, until)
    assert "the gateway says the money moved" in finding.detail
    assert first["gateway_number"] in finding.detail

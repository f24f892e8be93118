"""Which answers settle a charge: proxies, second queries, dead tokens, and similar codes."""

from datetime import timedelta

import pytest

from billing.domain.events import OPERATOR
from billing.services.subscriptions import canceling
from tests.integration.answering import answer_as_before, answer_with, paid_with, status_with
from tests.integration.engine import START, Engine

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("http_status", "body"),
    [
        (403, b'{"message":"Missing Authentication Token"}'),
        (401, b'{"message":"Unauthorized"}'),
        (403, b'{"message":"Your IP address is blocked"}'),
        (413, b'{"message":"Request entity too large: limit exceeded"}'),
        (401, b'{"error":{"code":"invalid_token","message":"The token is expired"}}'),
        (403, b"<html><title>403 Forbidden</title></html>"),
    ],
)
def test_a_proxys_page_costs_the_customers_nothing(
    engine: Engine, http_status: int, body: bytes
) -> None:
    """No wallet expires, no step is used, nothing is canceled; later all are charged once."""
    engine.plan()
    people = [engine.customer() for _ in range(3)]
    subscriptions = [engine.subscribe(person) for person in people]
    proxy = answer_with(engine, pay=paid_with(http_status, body))
    engine.run()

    assert [c["status"] for s in subscriptions for c in engine.charges(s)] == ["unknown"] * 3
    assert {w["status"] for person in people for w in engine.wallets(person)} == {"active"}
    assert {engine.status(s) for s in subscriptions} == {"active"}

    answer_as_before(engine, proxy)
    engine.advance(DAY)

    assert [len(engine.debits(person)) for person in people] == [1, 1, 1]
    assert {engine.status(s) for s in subscriptions} == {"active"}


@pytest.mark.parametrize("body", [b"{}", b'{"status":"ok"}', b'{"data":null}'])
def test_a_blank_status_writes_no_payment_off(engine: Engine, body: bytes) -> None:
    """Money moved, its answer was lost, and a health page answers the queries: it stays unknown."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_after", customer)
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR)
    page = answer_with(engine, check_status=status_with(200, body))
    engine.advance(30 * DAY)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["parked_at"] is None) == ("unknown", False)

    answer_as_before(engine, page)
    engine.late_success(charge["id"])
    engine.run()
    assert [row["status"] for row in engine.refunds(customer)] == ["succeeded"]


def test_a_hard_decline_cancels_only_after_the_gateway_was_asked(engine: Engine) -> None:
    """Suspected at once, with its code; confirmed by the next answer, and then canceled."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, code="suspected_fraud", message="no")
    engine.run()

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["fault"]) == ("unknown", "hard")
    assert engine.status(subscription) == "active"

    engine.advance(10 * MINUTE)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["fault"]) == ("declined", "hard")
    assert charge["code"] == "suspected_fraud"
    assert engine.status(subscription) == "canceled"


@pytest.mark.parametrize("code", ["suspected_fraud", "invalid_token"])
def test_a_decline_whose_money_moved_is_paid(engine: Engine, code: str) -> None:
    """The gateway declines but takes the money: a status query says so."""
    customer, subscription = engine.begun()
    body = b'{"error":{"code":"%s","message":"no","type":"x"}}' % code.encode()
    engine.script("drop_after", customer)
    inner, decline = engine.context.gateway, paid_with(400, body)
    liar = answer_with(engine, pay=lambda payment: (inner.pay(payment), decline(payment))[1])
    engine.run()
    answer_as_before(engine, liar)
    engine.advance(10 * MINUTE)

    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
    assert engine.status(subscription) == "active"
    assert engine.wallets(customer)[0]["status"] == "active"
    assert len(engine.debits(customer)) == 1


def test_an_expired_token_that_ends_as_failed_needs_the_customer(engine: Engine) -> None:
    """No step is used and the dead token is not charged again; it is paid after a new link."""
    customer, subscription = engine.begun(every="2 months")
    engine.script("token_expired", customer, end="FAILED", after_queries=0)
    engine.run()
    engine.advance(2 * HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["fault"]) == ("declined", "wallet")
    [invoice] = engine.invoices(subscription)
    assert (invoice["blocked_on"], invoice["first_failed_at"]) == ("wallet", None)
    assert [w["status"] for w in engine.wallets(customer)] == ["expired"]
    engine.advance(START + 5 * DAY)
    assert len(engine.charges(subscription)) == 1


def test_a_gateways_not_found_is_no_marker_of_ours(engine: Engine) -> None:
    """A live decline with that very code is a decline: each retry is a charge of its own."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("decline", customer, code="not_found", message="x", times=2)

    engine.advance(30 * DAY)

    charges = engine.charges(subscription)
    assert [c["status"] for c in charges] == ["declined", "declined", "succeeded"]
    assert [c["sends"] for c in charges] == [1, 1, 1]
    assert not any(c["never_received"] for c in charges)


def test_a_charge_the_gateway_never_had_is_marked_and_sent_again(engine: Engine) -> None:
    """It keeps its number: another one would leave this one free for a restored database."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_before", customer)
    engine.run()
    engine.lose_wallet(customer)
    engine.advance(HOUR)
    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["never_received"]) == ("declined", True)

    engine.link(customer)
    engine.advance(HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["never_received"]) == ("succeeded", False)
    assert (charge["attempt"], charge["sends"]) == (1, 2)


def test_money_of_a_charge_that_was_believed_never_received_is_recorded(engine: Engine) -> None:
    """The gateway said "not found" beyond the horizon, and later that it has the money."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", status="NOT_FOUND", times=10)
    engine.run()
    engine.lose_wallet(customer)
    engine.advance(HOUR)
    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["never_received"]) == ("declined", True)

    engine.no_more_scripts()
    engine.link(customer)
    engine.advance(HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["never_received"]) == ("succeeded", False)
    assert [invoice["status"] for invoice in engine.invoices(subscription)] == ["paid"]
    assert len(engine.debits(customer)) == 1


def test_a_decline_of_a_second_sending_is_asked_about(engine: Engine) -> None:
    """The first sending was paid and its answer lost; the repeat's decline ends nothing."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=3, status="NOT_FOUND")
    engine.run()
    repeat = answer_with(
        engine,
        pay=paid_with(400, b'{"error":{"code":"insufficient_funds","message":"x","type":"y"}}'),
    )
    engine.advance(START + 20 * MINUTE)
    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["sends"]) == ("unknown", 2)
    answer_as_before(engine, repeat)
    engine.advance(HOUR)

    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
    assert len(engine.debits(customer)) == 1

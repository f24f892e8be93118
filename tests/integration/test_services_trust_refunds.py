"""Which answers settle a refund: not the payment's own record, nor a decline that changes."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.domain.outcomes import Declined, Fault, Pending, Unknown, Waiting
from billing.services.money import refund_resolution, refunding
from billing.services.operating import charge_resolution
from tests.integration.answering import answer_as_before, answer_with, status_with
from tests.integration.engine import Engine

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
FAILED = Declined(Fault.OTHER, "failed")


@pytest.fixture
def refunded(engine: Engine) -> tuple[str, Mapping[Any, Any]]:
    """A customer, and the charge of 50,000 of which a full refund is due."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    [invoice], [charge] = engine.invoices(subscription), engine.charges(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], None, OPERATOR)
    return customer, charge


@pytest.mark.parametrize("said", [b"SUCCESS", b"REFUNDED"])
def test_the_payments_own_record_does_not_pass_for_the_refund(
    engine: Engine, refunded: tuple[str, Mapping[Any, Any]], said: bytes
) -> None:
    """A record that names nothing of the refund does not make it paid."""
    customer, charge = refunded
    engine.script("drop_before", customer, "refund")
    engine.tick()
    body = b'{"order":{"invoice_number":"%s","amount":50000},"transaction":{"status":"%s"}}'
    number = charge["gateway_number"].encode()
    page = answer_with(engine, check_status=status_with(200, body % (number, said)))
    engine.advance(2 * HOUR)

    [refund] = engine.refunds(customer)
    assert refund["status"] == "unknown"
    answer_as_before(engine, page)
    engine.advance(24 * HOUR)

    [refund] = engine.refunds(customer)
    assert refund["status"] == "succeeded"
    assert [row["amount"] for row in engine.ledger(customer, "refund") if row["moves"]] == [50_000]


def test_a_decline_that_pending_takes_back_does_not_end_at_the_first_failed(
    engine: Engine, refunded: tuple[str, Mapping[Any, Any]]
) -> None:
    """Declined live, PENDING, FAILED: one more query before its money counts as kept."""
    customer, _ = refunded
    said = iter([Pending(Waiting.CUSTOMER), FAILED])
    page = answer_with(
        engine,
        refund=lambda _order: Declined(Fault.OTHER, "x", "y"),
        check_status=lambda *_: next(said, Unknown("timeout")),
    )
    engine.tick()
    for _ in range(2):
        [refund] = engine.refunds(customer)
        engine.set_clock(max(refund["next_attempt_at"], engine.now))
        engine.forget_leases()
        engine.tick()

    [refund] = engine.refunds(customer)
    assert (refund["status"], refund["declined_seen_at"]) == ("unknown", None)
    assert refund["failed_seen_at"] is not None
    answer_as_before(engine, page)
    engine.advance(24 * HOUR)
    assert engine.refunds(customer)[0]["status"] == "succeeded"


def test_a_decline_after_a_429_does_not_set_the_money_free(
    engine: Engine, refunded: tuple[str, Mapping[Any, Any]]
) -> None:
    """The money went back behind a 429; the repeated request is declined, and nothing is found."""
    customer, _ = refunded
    engine.script("rate_limited", customer, "refund", work="done")
    engine.tick()
    page = answer_with(engine, refund=lambda _order: Declined(Fault.OTHER, "x", "y"))
    hidden = engine.script("status_says", customer, "status", status="NOT_FOUND")
    while not engine.met(hidden):
        engine.advance(5 * MINUTE)
    answer_as_before(engine, page)
    assert engine.refunds(customer)[0]["status"] == "unknown"
    engine.advance(2 * HOUR)

    [refund] = engine.refunds(customer)
    assert refund["status"] == "succeeded"
    assert [row["amount"] for row in engine.ledger(customer, "refund") if row["moves"]] == [50_000]


def test_unsigned_answers_set_no_refunds_money_free(
    engine: Engine, refunded: tuple[str, Mapping[Any, Any]]
) -> None:
    """The refund was paid, its answer was lost, and a page says FAILED: an operator decides."""
    customer, charge = refunded
    engine.script("drop_after", customer, "refund")
    engine.tick()
    body = (
        b'{"order":{"invoice_number":"%s","amount":50000},'
        b'"transaction":{"status":"FAILED","type":"REFUND"}}'
    )
    page = status_with(200, body % charge["gateway_number"].encode())
    answering = answer_with(engine, check_status=page)
    engine.advance(2 * HOUR)

    [refund] = engine.refunds(customer)
    assert (refund["status"], refund["parked_at"] is None) == ("unknown", False)
    assert refund["message"] == "failed, by unsigned answers only"
    answer_as_before(engine, answering)
    refund_resolution.retry_refund(engine.context, refund["id"], OPERATOR)
    engine.run()
    assert engine.refunds(customer)[0]["status"] == "succeeded"


def test_unsigned_answers_expire_no_wallet(engine: Engine) -> None:
    """TOKEN_EXPIRED, then FAILED without a signature: only an operator ends the wallet."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("token_expired", customer)
    engine.run()
    [charge] = engine.charges(subscription)
    body = b'{"order":{"invoice_number":"%s","amount":50000},"transaction":{"status":"FAILED"}}'
    page = status_with(200, body % charge["gateway_number"].encode())
    answer_with(engine, check_status=page)
    engine.advance(2 * HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["parked_at"] is None) == ("pending", False)
    assert [wallet["status"] for wallet in engine.wallets(customer)] == ["active"]
    charge_resolution.resolve_charge(engine.context, charge["id"], False, OPERATOR)
    assert [wallet["status"] for wallet in engine.wallets(customer)] == ["expired"]

"""Refunds that a restore has lost: a repeated order meets its own, and another order never does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import KeyReused
from billing.domain.events import OPERATOR
from billing.domain.subscription import RefundPolicy
from billing.sandbox.process import SandboxProcess
from billing.services.context import Request
from billing.services.money import crediting, refund_resolution, refunding
from billing.services.subscriptions import canceling, changing
from tests.integration.engine import Engine
from tests.integration.test_services_restore import restored, snapshot

__all__ = ["snapshot"]  # a fixture

DAY = timedelta(days=1)


def order(key: str, task: str = "admin.refund_invoice", **arguments: Any) -> Request:
    """An operator's order under an idempotency key."""
    return Request(key, task, arguments)


def paid(engine: Engine) -> tuple[str, UUID, UUID]:
    """A customer, a subscription and its first invoice of 50,000, which is paid."""
    customer, subscription = engine.begun()
    engine.run()
    return customer, subscription, engine.invoices(subscription)[0]["id"]


def returned(engine: Engine, customer: str) -> list[int]:
    """What the gateway has returned to the customer, refund by refund."""
    return [row["amount"] for row in engine.ledger(customer, "refund") for _ in range(row["moves"])]


def test_a_repeated_order_does_not_move_money_twice(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """The operator repeats under its key what the restored database has forgotten."""
    customer, _, invoice = paid(engine)
    before, request = snapshot(), order("ticket-1", invoice=str(invoice), amount=20_000)
    first = refunding.refund_invoice(engine.context, invoice, 20_000, OPERATOR, request)
    engine.run()

    with restored(before, gateway) as copy:
        again = refunding.refund_invoice(copy.context, invoice, 20_000, OPERATOR, request)
        copy.run()
        assert again == first
        assert copy.refunds(customer)[0]["status"] == "succeeded"
        assert returned(copy, customer) == [20_000]


def test_a_key_moves_money_once_also_with_another_reason(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """Operators type a reason again; the key says which order it is."""
    customer, _, invoice = paid(engine)
    before = snapshot()
    first, second = (
        order("ticket-1", amount=20_000, reason=why) for why in ("late", "arrived late")
    )
    refunding.refund_invoice(engine.context, invoice, 20_000, OPERATOR, first)
    engine.run()

    with restored(before, gateway) as copy:
        refunding.refund_invoice(copy.context, invoice, 20_000, OPERATOR, second)
        copy.run()
        assert copy.refunds(customer)[0]["status"] == "succeeded"
        assert returned(copy, customer) == [20_000]


def test_a_credit_is_paid_out_once_also_under_another_number(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """After a restore the same credit may get another number, by the order of what happens then."""
    engine.plan("BIG", amount=90_000)
    engine.plan("SMALL", amount=50_000)
    one, two = engine.customer(), engine.customer()
    both = [engine.subscribe(one, "BIG"), engine.subscribe(two, "BIG")]
    engine.run()
    before = snapshot()

    def pay_out(on: Engine, downgraded: list[UUID]) -> None:
        for each in downgraded:
            changing.change(on.context, each, OPERATOR, plan_code="SMALL")
            on.run()
        credit = on.one("SELECT id FROM credits WHERE customer_id = :c", c=one)
        request = order("payout-1", "credits.refund", credit=str(credit))
        crediting.refund(on.context, credit, OPERATOR, request)
        on.run()

    pay_out(engine, both)
    with restored(before, gateway) as copy:
        pay_out(copy, both[::-1])
        assert returned(copy, one) == [40_000]


@pytest.mark.parametrize(
    "second",
    [
        order("ticket-2", amount=20_000),
        order("ticket-1", task="refunds.create", amount=20_000),
        None,
    ],
    ids=["another key", "another door", "no key"],
)
def test_another_order_of_the_lost_amount_moves_money(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str], second: Request | None
) -> None:
    """
    Two refunds of one amount on one charge are two, also when the first was lost.

    Under one Request-Id the gateway would repeat its answer to the first: recorded as succeeded,
    and the customer would never get it.
    """
    customer, _, invoice = paid(engine)
    before = snapshot()
    first = order("ticket-1", amount=20_000)
    refunding.refund_invoice(engine.context, invoice, 20_000, OPERATOR, first)
    engine.run()

    copy = Engine(before, gateway)
    refunding.refund_invoice(copy.context, invoice, 20_000, OPERATOR, second)
    copy.run()
    [row] = copy.refunds(customer)
    copy.close()

    assert row["status"] == "succeeded"
    assert returned(engine, customer) == [20_000, 20_000]


def test_without_a_key_each_order_is_another(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """A lost one without a key is not met by one that was given a key, in any order."""
    customer, _, invoice = paid(engine)
    before = snapshot()
    refunding.refund_invoice(engine.context, invoice, 20_000, OPERATOR)
    engine.run()

    copy = Engine(before, gateway)
    refunding.refund_invoice(copy.context, invoice, 20_000, OPERATOR, order("ticket-1"))
    copy.run()
    copy.close()

    assert returned(engine, customer) == [20_000, 20_000]


def test_the_refund_of_a_lost_cancellation_is_met_by_the_next_one(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """A subscription is canceled once: its unused days are returned once, whoever repeats it."""
    customer, subscription, _ = paid(engine)
    before = snapshot()
    for number, each in enumerate([engine, Engine(before, gateway)]):
        key = order(f"cancel-{number}", "admin.cancel_subscription")
        canceling.cancel(
            each.context, subscription, OPERATOR, refund=RefundPolicy.FULL, request=key
        )
        each.run()
        [row] = each.refunds(customer)
        assert row["status"] == "succeeded"
    each.close()

    assert returned(engine, customer) == [50_000]


def test_a_lost_cancellation_with_another_amount_is_not_guessed_about(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """The same Request-Id with another amount: neither paid nor declined, but visibly unknown."""
    customer, subscription, _ = paid(engine)
    before = snapshot()
    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.PRORATED)
    engine.run()

    copy = Engine(before, gateway)
    copy.advance(10 * DAY)
    canceling.cancel(copy.context, subscription, OPERATOR, refund=RefundPolicy.PRORATED)
    copy.advance(2 * DAY)
    [row] = copy.refunds(customer)
    copy.close()

    assert (row["status"], row["parked_at"] is not None) == ("unknown", True)
    assert len(returned(engine, customer)) == 1


def test_a_lost_refund_and_a_cancellation_of_its_amount_are_two(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """The operator had returned half; the restored database returns the other half on its own."""
    customer, subscription, invoice = paid(engine)
    before = snapshot()
    refunding.refund_invoice(engine.context, invoice, 25_000, OPERATOR, order("ticket-1"))
    engine.run()

    copy = Engine(before, gateway)
    copy.advance(14 * DAY)  # of 28
    canceling.cancel(copy.context, subscription, OPERATOR, refund=RefundPolicy.PRORATED)
    copy.run()
    [row] = copy.refunds(customer)
    copy.close()

    assert (row["status"], row["amount"]) == ("succeeded", 25_000)
    assert returned(engine, customer) == [25_000, 25_000]


def test_payouts_of_credit_follow_the_same_rule(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """A repeated payout moves nothing; a refund of its amount on its charge does."""
    engine.plan("small", amount=30_000)
    customer, subscription, invoice = paid(engine)
    changing.change(engine.context, subscription, OPERATOR, plan_code="small")
    engine.run()
    [credit] = engine.rows("SELECT id, amount FROM credits")
    before, request = snapshot(), order("payout-1", "credits.refund", credit=credit["id"])
    first = crediting.refund(engine.context, credit["id"], OPERATOR, request)
    engine.run()

    copy = Engine(before, gateway)
    assert crediting.refund(copy.context, credit["id"], OPERATOR, request) == first
    refunding.refund_invoice(copy.context, invoice, credit["amount"], OPERATOR, order("ticket-1"))
    copy.run()
    statuses = [row["status"] for row in copy.refunds(customer)]
    copy.close()

    assert statuses == ["succeeded"] * 2
    assert returned(engine, customer) == [credit["amount"]] * 2


def test_the_replacement_of_a_declined_refund_is_met_again(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """What replaces one refund is one refund, also when the restore has lost it."""
    customer, subscription, _ = paid(engine)
    engine.script("decline", customer, "refund")
    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.FULL)
    engine.advance(3 * DAY)
    [declined] = engine.refunds(customer)
    assert declined["status"] == "unreturned"
    before = snapshot()
    refund_resolution.retry_refund(engine.context, declined["id"], OPERATOR)
    engine.run()
    assert returned(engine, customer) == [50_000]

    with restored(before, gateway) as copy:
        refund_resolution.retry_refund(copy.context, declined["id"], OPERATOR)
        copy.run()
        assert [row["status"] for row in copy.refunds(customer)] == ["declined", "succeeded"]
        assert returned(copy, customer) == [50_000]


def test_a_surplus_payment_is_returned_once(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """
    The second payment of an invoice turns up twice: before the restore, and after it.

    The refund that the engine makes by itself has the same name each time, whatever was ordered in
    between.
    """
    customer, subscription = engine.begun(retries="2d")
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=3, status="FAILED")
    engine.advance(3 * DAY)
    engine.no_more_scripts()
    first, second = engine.charges(subscription)
    assert (first["status"], second["status"]) == ("declined", "succeeded")
    before = snapshot()
    engine.late_success(first["id"])
    engine.run()
    assert returned(engine, customer) == [50_000]

    with restored(before, gateway) as copy:
        invoice = copy.invoices(subscription)[0]["id"]
        refunding.refund_invoice(copy.context, invoice, 1_000, OPERATOR, order("ticket-1"))
        copy.late_success(first["id"])
        copy.run()
        assert sorted(row["status"] for row in copy.refunds(customer)) == ["succeeded"] * 2
        assert sorted(returned(copy, customer)) == [1_000, 50_000]


def test_an_order_whose_key_was_removed_returns_its_refund(engine: Engine) -> None:
    """Keys of the HTTP interface are removed after 30 days; the id still says that it was done."""
    customer, _, invoice = paid(engine)
    request = order("api:k", "refunds.create", amount=20_000)
    first = refunding.refund_invoice(engine.context, invoice, 20_000, OPERATOR, request)
    engine.run()
    engine.execute("DELETE FROM commands")

    assert refunding.refund_invoice(engine.context, invoice, 20_000, OPERATOR, request) == first
    assert [row["amount"] for row in engine.refunds(customer)] == [20_000]


def test_a_removed_key_with_another_amount_is_refused(engine: Engine) -> None:
    """It is not answered like the first order, and moves nothing."""
    customer, _, invoice = paid(engine)
    first, second = (order("api:k", "refunds.create", amount=each) for each in (20_000, 5_000))
    refunding.refund_invoice(engine.context, invoice, 20_000, OPERATOR, first)
    engine.run()
    engine.execute("DELETE FROM commands")

    with pytest.raises(KeyReused, match="api:k"):
        refunding.refund_invoice(engine.context, invoice, 5_000, OPERATOR, second)
    assert [row["amount"] for row in engine.refunds(customer)] == [20_000]

"""Taken money is kept, refunded or credited, for every cause and every answer of the gateway."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, InvalidValue, RefundTooLarge
from billing.domain.events import OPERATOR, Actor
from billing.domain.refund import RefundVerdict
from billing.domain.subscription import RefundPolicy
from billing.services.money import crediting, refund_resolution, refunding
from billing.services.operating import invoice_actions
from billing.services.reading import auditing
from billing.services.subscriptions import canceling, changing
from billing.store.queries import refunds as refund_rows
from tests.integration.engine import Engine, Row

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WHY = Actor("operator", "asked for it")
TAKEN, CREDITED = 100_000, 57_857


def parts(engine: Engine) -> list[tuple[int, int, int]]:
    """What is kept, refunded and credited of each charge that succeeded."""
    rows = engine.rows("SELECT * FROM charges WHERE status = 'succeeded' ORDER BY created_at, id")
    return [(row["kept"], row["refunded"], row["credited"]) for row in rows]


def given_back(engine: Engine, customer: str) -> int:
    """The rupiah that the gateway gave back."""
    return sum(row["amount"] * row["moves"] for row in engine.ledger(customer, "refund"))


def credits_of(engine: Engine) -> list[Row]:
    """All credits, the oldest first."""
    return engine.rows("SELECT * FROM credits ORDER BY id")


def found(engine: Engine) -> list[str]:
    """The names of the invariants that do not hold."""
    return [finding.name for finding in auditing.audit(engine.context)]


@pytest.fixture
def downgraded(engine: Engine) -> tuple[str, UUID]:
    """A customer who paid 100,000 and got 57,857 of it as credit, and the subscription."""
    engine.plan("A", amount=TAKEN)
    engine.plan("B", amount=10_000)
    customer = engine.customer()
    subscription = engine.subscribe(customer, "A")
    engine.run()
    engine.advance(10 * DAY)
    changing.change(engine.context, subscription, OPERATOR, plan_code="B")
    assert parts(engine) == [(TAKEN - CREDITED, 0, CREDITED)]
    return customer, subscription


def test_a_refund_leaves_what_was_credited(engine: Engine, downgraded: tuple[str, UUID]) -> None:
    """Of 100,000 taken and 57,857 credited at most 42,143 are refunded; credit pays later."""
    customer, subscription = downgraded
    invoice = engine.invoices(subscription)[0]["id"]
    before = engine.counts()

    with pytest.raises(RefundTooLarge) as refused:
        refunding.refund_invoice(engine.context, invoice, TAKEN, WHY)

    assert "Rp 42,143 is left" in str(refused.value)
    assert "Rp 57,857 was credited" in str(refused.value)
    assert engine.counts() == before
    refunding.refund_invoice(engine.context, invoice, None, WHY)
    engine.run()
    assert given_back(engine, customer) == TAKEN - CREDITED
    assert parts(engine) == [(0, TAKEN - CREDITED, CREDITED)]
    with pytest.raises(RefundTooLarge, match="pay a credit out with"):
        refunding.refund_invoice(engine.context, invoice, 1, WHY)
    engine.advance(200 * DAY)
    taken = sum(row["amount"] for row in engine.debits(customer))
    assert taken == TAKEN + 6 * 10_000 - CREDITED - (CREDITED - 5 * 10_000) + 7_857


def test_a_declined_payout_goes_back_to_the_balance(
    engine: Engine, downgraded: tuple[str, UUID]
) -> None:
    """The credit is as before, an event says so, and it can be paid out another time."""
    customer, _ = downgraded
    [credit] = credits_of(engine)
    engine.script("failed", customer, "refund")
    crediting.refund(engine.context, credit["id"], WHY)
    assert parts(engine) == [(TAKEN - CREDITED, CREDITED, 0)]
    engine.advance(2 * MINUTE)

    assert credits_of(engine) == [credit]
    assert parts(engine) == [(TAKEN - CREDITED, 0, CREDITED)]
    [told] = engine.told("refund.failed")
    assert told["data"]["back_to"] == "credited"
    crediting.refund(engine.context, credit["id"], WHY)
    engine.run()
    assert given_back(engine, customer) == CREDITED
    assert parts(engine) == [(TAKEN - CREDITED, CREDITED, 0)]


def test_credit_that_paid_another_invoice_comes_back_as_that_credit(engine: Engine) -> None:
    """An invoice covered by a credit is canceled in full: the credit grows, and is paid out."""
    engine.plan("A", amount=30_000)
    engine.plan("B", amount=1_000)
    customer = engine.customer()
    first = engine.subscribe(customer, "A")
    engine.run()
    changing.change(engine.context, first, OPERATOR, plan_code="B")
    [credit] = credits_of(engine)
    assert credit["remaining"] == 29_000
    engine.advance(HOUR)
    second = engine.subscribe(customer, "A", amount=31_000)
    engine.run()
    assert parts(engine) == [(1_000, 0, 29_000), (2_000, 0, 0)]

    canceling.cancel(engine.context, second, WHY, refund=RefundPolicy.FULL)
    engine.run()

    assert credits_of(engine) == [credit]
    assert [told["data"]["amount"] for told in engine.told("credit.returned")] == [29_000]
    crediting.refund(engine.context, credit["id"], WHY)
    engine.run()
    assert given_back(engine, customer) == 31_000
    assert parts(engine) == [(1_000, 29_000, 0), (0, 2_000, 0)]


def test_a_gift_never_becomes_money(engine: Engine) -> None:
    """Used granted credit returns to that credit, also by a downgrade, and is not paid out."""
    engine.plan("A", amount=30_000)
    engine.plan("B", amount=1_000)
    customer = engine.customer()
    crediting.grant(engine.context, customer, 25_000, WHY)
    subscription = engine.subscribe(customer, "A")
    engine.run()
    assert parts(engine) == [(5_000, 0, 0)]

    changing.change(engine.context, subscription, OPERATOR, plan_code="B")

    [gift, credit] = credits_of(engine)
    assert (gift["remaining"], credit["remaining"]) == (24_000, 5_000)
    with pytest.raises(IllegalMove, match="no payment backs"):
        crediting.refund(engine.context, gift["id"], WHY)
    crediting.refund(engine.context, credit["id"], WHY)
    engine.run()
    assert given_back(engine, customer) == 5_000
    with pytest.raises(IllegalMove, match="nothing is left"):
        crediting.refund(engine.context, credit["id"], WHY)


def test_an_invoice_that_credits_covered_has_no_money_to_refund(engine: Engine) -> None:
    """The refusal says so, instead of naming its status."""
    engine.plan("A", amount=10_000)
    customer = engine.customer()
    crediting.grant(engine.context, customer, 10_000, WHY)
    subscription = engine.subscribe(customer, "A")
    engine.run()
    with pytest.raises(IllegalMove, match="covered by credits"):
        refunding.refund_invoice(engine.context, engine.invoices(subscription)[0]["id"], None, WHY)


class TestMoneyThatMustGoBack:
    """A refund that may not simply be dropped ends in a state that a person can list and leave."""

    @pytest.fixture
    def unreturned(self, engine: Engine) -> tuple[str, Row]:
        """Money of a void invoice, whose refund the gateway declined."""
        engine.audited = False
        customer, subscription = engine.begun(every="1 year")
        engine.script("drop_after", customer)
        engine.run()
        [invoice] = engine.invoices(subscription)
        invoice_actions.void_invoice(engine.context, invoice["id"], WHY)
        engine.script("failed", customer, "refund")
        engine.advance(DAY)
        [refund] = engine.refunds(customer)
        return customer, refund

    def test_an_unreturned_refund_is_listed_with_its_command(
        self, engine: Engine, unreturned: tuple[str, Row]
    ) -> None:
        """The audit names it, and so does the list of what waits, with the command to type."""
        _, refund = unreturned
        assert (refund["status"], refund["purpose"]) == ("unreturned", "void")
        assert parts(engine) == [(50_000, 0, 0)]
        assert found(engine) == ["money that must go back went back"]
        with engine.context.database.transaction() as connection:
            [waiting] = refund_rows.waiting_for_a_person(connection, 10)
        assert (waiting.kind, waiting.id, waiting.amount) == ("unreturned", refund["id"], 50_000)
        assert waiting.command == f"billing refunds retry {refund['id']}"
        assert engine.told("refund.unreturned")[0]["data"]["back_to"] == "kept"

    def test_another_refund_takes_its_place(
        self, engine: Engine, unreturned: tuple[str, Row]
    ) -> None:
        """It has its own Request-Id; when it is declined too, it is unreturned itself."""
        customer, refund = unreturned
        engine.script("failed", customer, "refund")
        again = refund_resolution.retry_refund(engine.context, refund["id"], WHY)["refund"]
        engine.advance(2 * MINUTE)
        [old, new] = engine.refunds(customer)
        assert (str(new["id"]), new["replaces"], new["purpose"]) == (again, old["id"], "void")
        assert (old["status"], new["status"]) == ("declined", "unreturned")

        assert refunding.send_again(engine.context, new["invoice_id"], WHY) == 1
        engine.run()

        assert given_back(engine, customer) == 50_000
        assert parts(engine) == [(0, 50_000, 0)]
        assert found(engine) == []

    def test_a_refund_of_the_invoice_takes_its_place(
        self, engine: Engine, unreturned: tuple[str, Row]
    ) -> None:
        """A plain refund command replaces it; a partial refund leaves it listed."""
        customer, refund = unreturned
        refunding.refund_invoice(engine.context, refund["invoice_id"], 10_000, WHY)
        engine.run()
        assert engine.refunds(customer)[0]["status"] == "unreturned"
        refund_resolution.retry_refund(engine.context, refund["id"], WHY)
        engine.run()
        assert given_back(engine, customer) == 50_000
        assert found(engine) == []

    @pytest.mark.parametrize(
        ("verdict", "status", "left"),
        [
            (RefundVerdict.RETURNED_ELSEWHERE, "returned_elsewhere", (0, 50_000, 0)),
            (RefundVerdict.KEPT, "waived", (50_000, 0, 0)),
        ],
    )
    def test_a_person_decides(
        self, engine: Engine, unreturned: tuple[str, Row], verdict: RefundVerdict, status: str,
        left: tuple[int, int, int],
    ) -> None:  # fmt: skip
        """By a bank transfer, or not at all: with a reason, on record, and no finding any more."""
        customer, refund = unreturned
        with pytest.raises(InvalidValue, match="needs a reason"):
            refund_resolution.resolve_refund(engine.context, refund["id"], verdict, OPERATOR)

        refund_resolution.resolve_refund(engine.context, refund["id"], verdict, WHY)

        assert engine.refunds(customer)[0]["status"] == status
        assert parts(engine) == [left]
        assert found(engine) == []
        assert engine.told(f"refund.{status}")[0]["reason"] == WHY.reason
        with pytest.raises(IllegalMove, match=status):
            refund_resolution.resolve_refund(engine.context, refund["id"], verdict, WHY)

    def test_only_an_unreturned_one_is_decided_about(self, engine: Engine) -> None:
        """One that succeeded cannot be declared to be kept."""
        customer, subscription = engine.begun()
        engine.run()
        refunding.refund_invoice(engine.context, engine.invoices(subscription)[0]["id"], None, WHY)
        engine.run()
        [refund] = engine.refunds(customer)
        for verdict in RefundVerdict:
            with pytest.raises(IllegalMove, match="succeeded"):
                refund_resolution.resolve_refund(engine.context, refund["id"], verdict, WHY)
        with pytest.raises(IllegalMove, match="has already succeeded; there is nothing to retry"):
            refund_resolution.retry_refund(engine.context, refund["id"], WHY)

    @pytest.mark.parametrize("policy", [RefundPolicy.FULL, RefundPolicy.PRORATED])
    def test_a_cancellations_refund_must_go_back(
        self, engine: Engine, policy: RefundPolicy
    ) -> None:
        """A declined refund waits for an operator; the subscription has ended nevertheless."""
        customer, subscription = engine.begun()
        engine.audited = False
        engine.run()
        engine.advance(7 * DAY)
        engine.script("failed", customer, "refund")
        canceling.cancel(engine.context, subscription, WHY, refund=policy)
        engine.advance(2 * MINUTE)
        [refund] = engine.refunds(customer)
        assert (refund["status"], refund["purpose"]) == ("unreturned", "cancel")
        refund_resolution.retry_refund(engine.context, refund["id"], WHY)
        engine.run()
        assert given_back(engine, customer) == refund["amount"]
        assert found(engine) == []

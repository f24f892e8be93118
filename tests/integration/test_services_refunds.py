"""Money is refunded once, and never more than was taken, also when answers are lost."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, InvalidValue, NotKnown, RefundTooLarge
from billing.domain.events import OPERATOR, Actor
from billing.services.context import Request
from billing.services.money import refunding
from billing.services.operating import charge_resolution, held_rows, invoice_actions, kill_switch
from billing.services.operating.held_rows import Kind
from tests.integration.engine import START, Engine

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def paid(engine: Engine) -> tuple[str, UUID]:
    """A customer, and the paid invoice of 50,000."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    [invoice] = engine.invoices(subscription)
    assert invoice["status"] == "paid"
    return customer, invoice["id"]


def given_back(engine: Engine, customer: str) -> list[int]:
    """The amounts that the gateway gave back, each as often as it did, the smallest first."""
    rows = engine.ledger(customer, "refund")
    return sorted(row["amount"] for row in rows for _ in range(row["moves"]))


def parts(engine: Engine) -> tuple[int, int, int]:
    """What is kept, refunded and credited of the only charge."""
    [row] = engine.rows("SELECT kept, refunded, credited FROM charges")
    return row["kept"], row["refunded"], row["credited"]


def refund(
    engine: Engine, invoice: UUID, amount: int | None = None, key: str | None = None
) -> dict[str, object]:
    """Ask for a refund, with an idempotency key if one is given."""
    arguments = {"invoice": str(invoice), "amount": amount}
    request = Request(key, "admin.refund_invoice", arguments) if key else None
    return refunding.refund_invoice(engine.context, invoice, amount, OPERATOR, request)


def test_all_of_it_goes_back_once(engine: Engine, paid: tuple[str, UUID]) -> None:
    """Without an amount everything not yet refunded is refunded; a second request finds nothing."""
    customer, invoice = paid
    refund(engine, invoice)
    engine.run()

    assert given_back(engine, customer) == [50_000]
    assert engine.one("SELECT amount_refunded FROM invoices") == 50_000
    with pytest.raises(RefundTooLarge, match="refunded already"):
        refund(engine, invoice)
    engine.advance(10 * HOUR)
    assert given_back(engine, customer) == [50_000]


def test_parts_add_up_to_the_whole_and_not_beyond(engine: Engine, paid: tuple[str, UUID]) -> None:
    """20,000 and 20,000 fit, 10,001 does not, also while the others are only on their way."""
    customer, invoice = paid
    for _ in range(2):
        refund(engine, invoice, 20_000)
    before = engine.counts()

    with pytest.raises(RefundTooLarge, match="10,000 is left"):
        refund(engine, invoice, 10_001)

    assert engine.counts() == before
    refund(engine, invoice)
    engine.run()
    assert given_back(engine, customer) == [10_000, 20_000, 20_000]
    assert engine.one("SELECT amount_refunded FROM invoices") == 50_000


@pytest.mark.parametrize("amount", [0, -1, 50_001, 10_000_000_000, 10**30])
def test_an_amount_that_makes_no_sense_is_refused(
    engine: Engine, paid: tuple[str, UUID], amount: int
) -> None:
    """Nothing is written for what cannot be refunded."""
    before = engine.counts()

    with pytest.raises((InvalidValue, RefundTooLarge)) as refused:
        refund(engine, paid[1], amount)

    assert "\n" not in str(refused.value)
    assert engine.counts() == before


def test_only_a_paid_invoice_can_be_refunded(engine: Engine) -> None:
    """An open one, a void one, and one that does not exist are refused."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]
    with pytest.raises(IllegalMove, match="open"):
        refund(engine, invoice)
    invoice_actions.void_invoice(engine.context, invoice, OPERATOR)
    with pytest.raises(IllegalMove, match="void"):
        refund(engine, invoice)
    with pytest.raises(NotKnown):
        refund(engine, UUID(int=7))
    assert engine.counts()["refunds"] == 0


def test_the_same_key_acts_once_and_answers_alike(engine: Engine, paid: tuple[str, UUID]) -> None:
    """A command that comes twice refunds once, and both are told of the same refund."""
    customer, invoice = paid
    told = [refund(engine, invoice, 10_000, key="k") for _ in range(3)]
    engine.run()

    assert told[0] == told[1] == told[2]
    assert given_back(engine, customer) == [10_000]


def test_the_same_key_for_something_else_is_refused(engine: Engine, paid: tuple[str, UUID]) -> None:
    """A key belongs to its arguments and its command."""
    customer, invoice = paid
    refund(engine, invoice, 10_000, key="k")
    before = engine.counts()

    with pytest.raises(InvalidValue, match="other arguments"):
        refund(engine, invoice, 20_000, key="k")
    with pytest.raises(InvalidValue, match="other arguments"):
        kill_switch.stop_charging(engine.context, OPERATOR, Request("k", "admin.stop_charging", {}))

    assert engine.counts() == before
    engine.run()
    assert given_back(engine, customer) == [10_000]


def test_a_refused_refund_does_not_use_up_its_key(engine: Engine, paid: tuple[str, UUID]) -> None:
    """A refund that was too large may be asked for again when it is not."""
    customer, invoice = paid
    refund(engine, invoice, 30_000, key="first")
    with pytest.raises(RefundTooLarge):
        refund(engine, invoice, 30_000, key="second")
    engine.script("failed", customer, "refund")
    engine.advance(2 * MINUTE)

    refund(engine, invoice, 30_000, key="second")
    engine.run()

    assert given_back(engine, customer) == [30_000]


@pytest.mark.parametrize("kind", ["drop_after", "wrong_signature", "garbage", "wrong_amount"])
def test_an_unknown_one_is_asked_about_by_its_own_id(
    engine: Engine, paid: tuple[str, UUID], kind: str
) -> None:
    """The refund was paid, its answer lost: Check Status knows it, and nothing is sent again."""
    customer, invoice = paid
    engine.script(kind, customer, "refund")
    refund(engine, invoice, 20_000)
    engine.run()
    assert engine.refunds(customer)[0]["status"] == "unknown"

    engine.advance(HOUR)

    [row] = engine.refunds(customer)
    assert (row["status"], row["attempts"]) == ("succeeded", 1)
    assert given_back(engine, customer) == [20_000]
    assert engine.ledger(customer, "refund")[0]["request_id"] == str(row["id"])


@pytest.mark.parametrize("kind", ["drop_before", "http_500", "html", "turn_away", "rate_limited"])
def test_a_refund_that_never_arrived_is_sent_again(
    engine: Engine, paid: tuple[str, UUID], kind: str
) -> None:
    """Nothing was refunded at first; the second sending does it once under the same Request-Id."""
    customer, invoice = paid
    engine.script(kind, customer, "refund")
    refund(engine, invoice)
    engine.run()
    assert given_back(engine, customer) == []

    engine.advance(HOUR)

    assert given_back(engine, customer) == [50_000]
    [sent] = engine.ledger(customer, "refund")
    [row] = engine.refunds(customer)
    assert (sent["request_id"], row["attempts"]) == (str(row["id"]), 2)


def test_a_declined_one_goes_back_to_what_is_kept(engine: Engine, paid: tuple[str, UUID]) -> None:
    """FAILED is final when Check Status agrees; another refund may follow."""
    customer, invoice = paid
    engine.script("failed", customer, "refund", message="WINDOW_CLOSED")
    refund(engine, invoice)
    engine.run()
    assert engine.refunds(customer)[0]["status"] == "unknown"
    assert parts(engine) == (0, 50_000, 0)
    engine.advance(MINUTE)
    [row] = engine.refunds(customer)
    assert (row["status"], row["message"]) == ("declined", "WINDOW_CLOSED")
    assert parts(engine) == (50_000, 0, 0)
    [told] = engine.told("refund.failed")
    assert told["data"]["back_to"] == "kept"

    refund(engine, invoice)
    engine.run()

    assert [row["status"] for row in engine.refunds(customer)] == ["declined", "succeeded"]
    assert given_back(engine, customer) == [50_000]


def test_a_refund_that_stays_unknown_is_parked_with_an_alarm(
    engine: Engine, paid: tuple[str, UUID]
) -> None:
    """A gateway that never answers: parked within a day, still reserved, never paid twice."""
    customer, invoice = paid
    engine.script("drop_after", customer, "refund", times=None)
    engine.script("drop_after", customer, "status", times=None)
    refund(engine, invoice)

    engine.advance(24 * HOUR)

    [row] = engine.refunds(customer)
    assert (row["status"], row["next_attempt_at"]) == ("unknown", None)
    assert row["parked_at"] is not None
    assert len(engine.told("refund.parked")) == 1
    with pytest.raises(RefundTooLarge):
        refund(engine, invoice)
    assert given_back(engine, customer) == [50_000]
    engine.audited = False  # the rows do not know yet what the gateway did: that is the point


def test_an_outage_of_a_day_parks_no_refund(engine: Engine, paid: tuple[str, UUID]) -> None:
    """Unsent is not unknown: the gateway is away for two days; then the refund is paid."""
    customer, invoice = paid
    engine.script("turn_away", customer, "refund", times=7)
    refund(engine, invoice)

    engine.advance(72 * HOUR)

    [row] = engine.refunds(customer)
    assert (row["status"], row["attempts"]) == ("succeeded", 8)
    assert given_back(engine, customer) == [50_000]


def test_an_unknown_refund_whose_next_sending_is_refused_stays_unknown(
    engine: Engine, paid: tuple[str, UUID]
) -> None:
    """The second sending cannot have paid, but the first may have: nothing is guessed."""
    customer, invoice = paid
    engine.script("drop_after", customer, "refund")
    engine.script("turn_away", customer, "refund")
    hidden = engine.script("status_says", customer, "status", status="NOT_FOUND", times=3)
    refund(engine, invoice)

    engine.advance(20 * MINUTE)
    assert engine.met(hidden) == 3
    [row] = engine.refunds(customer)
    assert (row["status"], row["attempts"]) == ("unknown", 2)
    engine.advance(2 * HOUR)

    assert engine.refunds(customer)[0]["status"] == "succeeded"
    assert given_back(engine, customer) == [50_000]


def test_a_refund_whose_sender_died_is_queried(engine: Engine, paid: tuple[str, UUID]) -> None:
    """After two minutes on the wire without an answer another worker sends a status query."""
    customer, invoice = paid
    engine.script("drop_after", customer, "refund")
    refund(engine, invoice)
    engine.run()
    engine.execute("UPDATE refunds SET status = 'in_flight', next_attempt_at = :at",
                   at=START + timedelta(seconds=120))  # fmt: skip

    engine.advance(HOUR)

    assert engine.refunds(customer)[0]["status"] == "succeeded"
    assert given_back(engine, customer) == [50_000]


def test_a_refund_works_after_the_token_is_gone(engine: Engine, paid: tuple[str, UUID]) -> None:
    """A refund needs the payment, not the token."""
    customer, invoice = paid
    engine.unlink(customer)
    refund(engine, invoice)
    engine.run()

    assert given_back(engine, customer) == [50_000]


def test_a_long_reason_is_kept_and_does_not_stop_the_money(
    engine: Engine, paid: tuple[str, UUID]
) -> None:
    """The gateway takes 255 characters; what a person wrote stays on record in full."""
    customer, invoice = paid
    why = "because " * 60
    refunding.refund_invoice(engine.context, invoice, None, Actor("operator", why))
    engine.run()

    assert given_back(engine, customer) == [50_000]
    assert engine.refunds(customer)[0]["reason"] == why


class TestASurplusPayment:
    """A second success of one invoice is recorded as surplus and refunded automatically."""

    def test_a_surplus_is_refunded_once(self, engine: Engine) -> None:
        """Resolved as declined, paid by a second charge, then the first one succeeds."""
        customer, subscription = engine.begun()
        engine.script("drop_after", customer)
        engine.run()
        [first] = engine.charges(subscription)
        engine.script("status_says", customer, "status", times=None, status="FAILED")
        engine.set_clock(START + timedelta(hours=1))
        charge_resolution.resolve_charge(engine.context, first["id"], False, OPERATOR)
        engine.advance(START + timedelta(days=3))
        assert len(engine.debits(customer)) == 2
        engine.no_more_scripts()

        for _ in range(2):
            engine.late_success(first["id"])
        engine.run()
        # The contradicted verdict waits until an operator acknowledges it.
        held_rows.release(engine.context, Kind.CHARGE, first["id"], OPERATOR)

        charges = {c["attempt"]: (c["status"], c["surplus"]) for c in engine.charges(subscription)}
        assert charges == {1: ("succeeded", True), 2: ("succeeded", False)}
        [row] = engine.refunds(customer)
        assert (row["charge_id"], row["amount"], row["status"]) == (
            first["id"],
            50_000,
            "succeeded",
        )
        assert given_back(engine, customer) == [50_000]
        assert engine.one("SELECT amount_refunded FROM invoices") == 0

    def test_the_paying_charge_can_still_be_refunded_wholly(self, engine: Engine) -> None:
        """The refund of the surplus is not counted against the invoice."""
        self.test_a_surplus_is_refunded_once(engine)
        customer = engine.one("SELECT id FROM customers")
        refund(engine, engine.one("SELECT id FROM invoices"))
        engine.run()

        assert given_back(engine, customer) == [50_000, 50_000]
        with pytest.raises(RefundTooLarge):
            refund(engine, engine.one("SELECT id FROM invoices"))

"""Lost, late, forged and invalid answers: one debit, known in the end, never guessed."""

from datetime import timedelta
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.services.collecting import claiming, reconciling
from billing.services.operating import charge_resolution
from tests.integration.engine import START, Engine

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

DONE = ("drop_after", "wrong_signature", "no_signature", "garbage", "empty", "wrong_amount")
DONE_AND_SAID: list[tuple[str, dict[str, Any]]] = [(kind, {}) for kind in DONE] + [
    (kind, {"work": "done"}) for kind in ("http_500", "html", "rate_limited", "conflict")
]
NOT_DONE = ("drop_before", "http_500", "html")


@pytest.mark.parametrize(("kind", "options"), DONE_AND_SAID)
def test_the_money_moved_and_the_answer_was_lost(
    engine: Engine, kind: str, options: dict[str, Any]
) -> None:
    """Nothing else is charged before a status query; then the one debit is recorded."""
    customer, subscription = engine.begun()
    engine.script(kind, customer, **options)
    engine.run()
    [charge] = engine.charges(subscription)
    assert charge["status"] in {"unknown", "unsent"}
    assert engine.invoices(subscription)[0]["status"] == "open"

    engine.advance(HOUR)

    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
    assert engine.status(subscription) == "active"
    assert len(engine.ledger(customer, "payment")) == 1


@pytest.mark.parametrize("kind", NOT_DONE)
def test_the_request_was_lost(engine: Engine, kind: str) -> None:
    """Not found is believed after a quarter of an hour; then the same request goes again."""
    customer, subscription = engine.begun()
    engine.script(kind, customer)
    engine.advance(14 * MINUTE)
    assert engine.ledger(customer, "payment") == []
    assert engine.charges(subscription)[0]["status"] == "unknown"

    engine.advance(HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["sends"]) == ("succeeded", 2)
    [payment] = engine.ledger(customer, "payment")
    assert (payment["request_id"], payment["number"]) == (
        str(charge["id"]), charge["gateway_number"]
    )  # fmt: skip
    assert charge["settled_at"] == START + 15 * MINUTE


@pytest.mark.parametrize("work", ["done", "later"])
def test_an_answer_that_takes_longer_than_the_timeout(impatient: Engine, work: str) -> None:
    """The money moved at once or after the time-out: queried, and settled once."""
    customer, subscription = impatient.begun()
    impatient.script("hold", customer, seconds=1.6, work=work)
    impatient.run()
    assert impatient.charges(subscription)[0]["status"] == "unknown"
    impatient.until(lambda: bool(impatient.debits(customer)), "the money moves")

    impatient.advance(2 * MINUTE)

    assert [c["status"] for c in impatient.charges(subscription)] == ["succeeded"]
    assert len(impatient.debits(customer)) == 1


@pytest.mark.parametrize("code", ["idempotent_request", "invoice_already_used"])
@pytest.mark.parametrize("work", ["done", "none"])
def test_a_conflict_says_only_that_something_was_there(
    engine: Engine, code: str, work: str
) -> None:
    """A used number means unknown until a status query; then it is settled, or sent again once."""
    customer, subscription = engine.begun()
    engine.script("conflict", customer, code=code, work=work)
    engine.run()
    assert engine.charges(subscription)[0]["status"] == "unknown"

    engine.advance(HOUR)

    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
    assert len(engine.ledger(customer, "payment")) == 1


@pytest.mark.parametrize("repeat", ["original", "idempotent_request"])
def test_a_resend_that_crosses_with_the_first_is_answered_with_the_first(
    engine: Engine, repeat: str
) -> None:
    """The status query did not find the payment; the same Request-Id does, and it is settled."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=3, status="NOT_FOUND")
    engine.gateway.control("PUT", "defaults", {"repeat_answer": repeat})
    try:
        engine.advance(timedelta(days=2))
    finally:
        engine.gateway.control("PUT", "defaults", {"repeat_answer": "original"})

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["sends"]) == ("succeeded", 2)
    assert len(engine.debits(customer)) == 1


@pytest.mark.parametrize("end", ["SUCCESS", "FAILED", "EXPIRED"])
def test_pending_ends(engine: Engine, end: str) -> None:
    """While they wait for the customer nothing else is charged; both ends are believed."""
    customer, subscription = engine.begun(every="1 day")
    engine.script("pending", customer, end=end, after_queries=2)
    engine.advance(HOUR)
    assert engine.charges(subscription)[0]["status"] == "pending"

    engine.advance(4 * HOUR)

    charges = engine.charges(subscription)
    if end == "SUCCESS":
        assert [c["status"] for c in charges] == ["succeeded"]
    else:
        assert [c["status"] for c in charges] == ["declined"]
        assert engine.status(subscription) == "past_due"
    assert len(engine.ledger(customer, "payment")) == 1


def test_pending_without_an_end_blocks_visibly(engine: Engine) -> None:
    """Queried for a week, then parked with an alarm; later periods open and none is charged."""
    customer, subscription = engine.begun(every="1 week")
    engine.script("pending", customer)

    engine.advance(timedelta(days=15))

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["next_check_at"]) == ("pending", None)
    assert charge["parked_at"] is not None
    assert len(engine.told("charge.parked")) == 1
    assert [row["next_attempt_at"] for row in engine.invoices(subscription)] == [None] * 3
    charge_resolution.resolve_charge(engine.context, charge["id"], False, OPERATOR)
    assert engine.invoices(subscription)[0]["next_attempt_at"] is not None


def test_failed_that_becomes_success_is_no_decline(engine: Engine) -> None:
    """FAILED is not final: it counts when a second query minutes later repeats it."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", status="FAILED")

    engine.advance(HOUR)

    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
    assert engine.told("charge.declined") == []
    assert engine.status(subscription) == "active"


def test_failed_that_stays_is_believed(engine: Engine) -> None:
    """A 2xx with FAILED gets two status queries, five minutes apart, and is then a decline."""
    customer, subscription = engine.begun()
    engine.script("failed", customer)

    engine.advance(HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["settled_at"]) == ("declined", START + 6 * MINUTE)
    assert engine.invoices(subscription)[0]["next_attempt_at"] == charge["settled_at"] + (
        timedelta(days=2)
    )


@pytest.mark.parametrize(
    "kind", ["drop_before", "http_500", "html", "garbage", "empty", "wrong_signature",
             "no_signature", "wrong_amount", "conflict", "rate_limited", "turn_away", "refuse"]
)  # fmt: skip
def test_a_status_query_that_fails_settles_nothing(engine: Engine, kind: str) -> None:
    """The answer about an unknown charge is lost as well: it is asked again, not guessed."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    options: dict[str, Any] = {"work": "done"} if kind == "conflict" else {}
    engine.script(kind, customer, "status", times=2, **options)
    engine.advance(3 * MINUTE)
    expected = "succeeded" if kind == "no_signature" else "unknown"
    assert engine.charges(subscription)[0]["status"] == expected

    engine.advance(2 * HOUR)

    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
    assert len(engine.debits(customer)) == 1


def test_a_process_that_dies_after_the_claim_charges_nobody_twice(engine: Engine) -> None:
    """On disk but never sent: not found after the horizon, then sent under the same id."""
    customer, subscription = engine.begun()
    engine.tick(["ticks.open_periods"])
    ids = [row["id"] for row in engine.invoices(subscription)]
    claimed = claiming.claim(engine.context, dict.fromkeys(ids))
    assert len(claimed) == 1

    engine.advance(HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["sends"]) == ("succeeded", 2)
    assert len(engine.debits(customer)) == 1


def test_a_process_that_dies_after_the_call_books_what_happened(engine: Engine) -> None:
    """Sent and never settled: the first status query, a minute later, finds the payment."""
    customer, subscription = engine.begun()
    engine.tick(["ticks.open_periods"])
    ids = [row["id"] for row in engine.invoices(subscription)]
    [payment] = claiming.claim(engine.context, dict.fromkeys(ids))
    engine.context.gateway.pay(payment)

    engine.advance(2 * MINUTE)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["settled_at"]) == ("succeeded", START + MINUTE)
    assert len(engine.debits(customer)) == 1


def test_a_young_charge_is_left_alone(engine: Engine) -> None:
    """DOKU wants sixty seconds before a status query: none is sent at fifty-nine."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    [charge] = engine.charges(subscription)

    engine.advance(timedelta(seconds=59))
    reconciling.ask(engine.context, [charge["id"]])

    assert engine.charges(subscription)[0]["status"] == "unknown"
    engine.advance(timedelta(seconds=1))
    assert engine.charges(subscription)[0]["status"] == "succeeded"


def test_an_answer_that_comes_after_the_question_is_still_used(impatient: Engine) -> None:
    """Settled by a status query first, and by the live answer again: once is enough."""
    customer, subscription = impatient.begun()
    impatient.script("drop_after", customer)
    impatient.advance(2 * MINUTE)
    before = impatient.counts()

    impatient.late_success(impatient.charges(subscription)[0]["id"])

    assert impatient.counts() == before


def test_an_unknown_first_payment_does_not_make_the_next_one_the_first(engine: Engine) -> None:
    """`first_payment` of the second period waits for the first: it is known when it is sent."""
    customer, _subscription = engine.begun(every="1 day")
    engine.script("drop_after", customer)
    engine.script("http_500", customer, "status", times=4)

    engine.advance(timedelta(days=4))

    assert [row["first_payment"] for row in engine.debits(customer)] == [True] + [False] * 4


def test_a_retry_books_a_payment_that_was_declared_failed(engine: Engine) -> None:
    """
    FAILED twice, so that the charge is declined; and yet the money had moved.

    A status query for the previous charge precedes the next one and pays the invoice: the customer
    is not debited a second time.
    """
    customer, subscription = engine.begun(every="1 year", retries="1d")
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", status="FAILED", times=2)
    engine.advance(HOUR)
    assert [c["status"] for c in engine.charges(subscription)] == ["declined"]

    engine.advance(2 * 24 * HOUR)

    [charge] = engine.charges(subscription)
    assert charge["status"] == "succeeded"
    assert engine.invoices(subscription)[0]["status"] == "paid"
    assert len(engine.debits(customer)) == 1

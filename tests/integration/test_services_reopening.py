"""An uncollectible invoice is charged again: it is paid or given up again, and never twice."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.services.operating import invoice_actions
from billing.services.reading import auditing
from tests.integration.engine import START, Engine
from tests.integration.races import at_once

DAY = timedelta(days=1)
ASKED_ABOUT = timedelta(minutes=10)
"""Within that a decline that gives up was asked about once more."""


def given_up(engine: Engine, periods: int = 1, **plan: object) -> tuple[str, UUID]:
    """Make a subscription whose dunning ended with N uncollectible invoices."""
    retries = {1: "2d", 2: "9d"}[periods]
    words = {"every": "1 week", "retries": retries, "on_exhausted": "unpaid"} | plan
    customer, subscription = engine.begun(cash=0, **words)
    engine.advance(12 * DAY if periods == 2 else 3 * DAY)
    statuses = [row["status"] for row in engine.invoices(subscription)]
    assert statuses == ["uncollectible"] * periods
    return customer, subscription


def retry(engine: Engine, subscription: UUID, period: int = 0) -> None:
    """Request a manual retry of a period's invoice, and run a tick."""
    invoice_actions.retry_invoice(
        engine.context, engine.invoices(subscription)[period]["id"], OPERATOR
    )
    engine.run()


def test_an_unpaid_subscription_recovers_when_its_debt_is_paid(engine: Engine) -> None:
    """Unpaid is no dead end: the customer pays, and the next period follows on its own date."""
    customer, subscription = given_up(engine)
    assert engine.status(subscription) == "unpaid"
    engine.put_cash(customer, 1_000_000)

    retry(engine, subscription)

    assert engine.status(subscription) == "active"
    assert [row["status"] for row in engine.invoices(subscription)] == ["paid"]
    assert [row["amount"] for row in engine.debits(customer)] == [50_000]
    assert [row["trigger"] for row in engine.charges(subscription)][-1] == "operator"
    assert len(engine.told("invoice.reopened")) == 1
    engine.advance(START + 8 * DAY)
    assert [row["status"] for row in engine.invoices(subscription)] == ["paid"] * 2


@pytest.mark.parametrize("action", ["unpaid", "cancel", "pause"])
def test_a_try_that_fails_gives_the_debt_up_again_and_acts_no_second_time(
    engine: Engine, action: str
) -> None:
    """One manual retry is one attempt: no steps, no date, no second end of the subscription."""
    customer, subscription = given_up(engine, on_exhausted=action)
    status, before = engine.status(subscription), len(engine.charges(subscription))
    acts = [len(engine.told(f"subscription.{kind}"))
            for kind in ("canceled", "marked_unpaid", "paused", "fell_behind")]  # fmt: skip

    for tries in (1, 2):
        retry(engine, subscription)
        engine.advance(ASKED_ABOUT)
        assert engine.invoices(subscription)[0]["status"] == "uncollectible"
        assert len(engine.charges(subscription)) == before + tries
    engine.advance(60 * DAY)

    assert engine.status(subscription) == status
    assert len(engine.charges(subscription)) == before + 2
    assert acts == [len(engine.told(f"subscription.{kind}"))
                    for kind in ("canceled", "marked_unpaid", "paused", "fell_behind")]  # fmt: skip
    assert engine.debits(customer) == []


def test_the_debt_of_a_subscription_that_has_ended_can_be_paid(engine: Engine) -> None:
    """Late money counts; the subscription stays ended, and nothing more is charged."""
    customer, subscription = given_up(engine, on_exhausted="cancel")
    assert engine.status(subscription) == "canceled"
    engine.put_cash(customer, 1_000_000)
    invoice = engine.invoices(subscription)[0]["id"]
    invoice_actions.retry_invoice(engine.context, invoice, OPERATOR)
    assert auditing.audit(engine.context) == []

    engine.run()
    engine.advance(60 * DAY)

    assert engine.status(subscription) == "canceled"
    assert [row["status"] for row in engine.invoices(subscription)] == ["paid"]
    assert len(engine.debits(customer)) == 1


def test_the_oldest_debt_is_paid_first(engine: Engine) -> None:
    """Two periods were given up: the newer one is refused in one line that names the older one."""
    customer, subscription = given_up(engine, periods=2)
    engine.put_cash(customer, 1_000_000)
    first, second = (row["id"] for row in engine.invoices(subscription))
    before = engine.counts()

    with pytest.raises(IllegalMove, match=f"billing invoice retry {first}"):
        invoice_actions.retry_invoice(engine.context, second, OPERATOR)
    assert engine.counts() == before

    retry(engine, subscription, 0)
    retry(engine, subscription, 1)
    assert [row["status"] for row in engine.invoices(subscription)] == ["paid", "paid"]
    assert engine.status(subscription) == "active"


@pytest.mark.parametrize("paid", [True, False])
def test_a_newer_invoice_keeps_its_date_while_an_older_debt_is_tried(
    engine: Engine, paid: bool
) -> None:
    """The newer invoice's steps wait, and continue after any outcome of the manual retry."""
    customer, subscription = given_up(engine)
    engine.put_cash(customer, 50_000)
    engine.execute(
        "UPDATE subscriptions SET status = 'active', next_due_at = :at, next_period_index = 1"
        " WHERE id = :id", id=subscription, at=START + 7 * DAY,
    )  # fmt: skip
    engine.put_cash(customer, 0)
    engine.advance(START + 7 * DAY)
    older, newer = engine.invoices(subscription)
    assert (older["status"], newer["status"]) == ("uncollectible", "open")
    due = newer["next_attempt_at"]
    assert due == START + 9 * DAY
    if paid:
        engine.put_cash(customer, 50_000)

    invoice_actions.retry_invoice(engine.context, older["id"], OPERATOR)
    assert engine.invoices(subscription)[1]["next_attempt_at"] is None
    engine.run()
    engine.advance(ASKED_ABOUT)

    older, newer = engine.invoices(subscription)
    assert older["status"] == ("paid" if paid else "uncollectible")
    assert (newer["status"], newer["next_attempt_at"]) == ("open", due)
    assert engine.status(subscription) == "past_due"
    engine.put_cash(customer, 1_000_000)
    engine.advance(START + 10 * DAY)
    assert engine.invoices(subscription)[1]["status"] == "paid"
    assert engine.status(subscription) == "active"


def test_a_debt_that_turns_out_to_be_paid_is_booked_and_not_charged_again(
    engine: Engine,
) -> None:
    """The charge before is queried first: a FAILED that became SUCCESS pays the invoice."""
    customer, subscription = engine.begun(on_exhausted="unpaid", retries="2d")
    engine.script("decline", customer)
    engine.script("pending", customer, end="SUCCESS", after_queries=2)
    engine.script("status_says", customer, "status", times=2, skip=1, status="FAILED")
    engine.advance(3 * DAY)
    assert engine.status(subscription) == "unpaid"

    retry(engine, subscription)

    assert len(engine.charges(subscription)) == 2
    assert len(engine.debits(customer)) == 1
    assert engine.status(subscription) == "active"


def test_a_lost_answer_to_a_try_is_found_out_and_not_repeated(engine: Engine) -> None:
    """Unknown blocks: a second retry is refused, and the moved money pays the invoice once."""
    customer, subscription = given_up(engine)
    engine.put_cash(customer, 1_000_000)
    engine.script("drop_after", customer)
    retry(engine, subscription)
    with pytest.raises(IllegalMove, match="unresolved"):
        invoice_actions.retry_invoice(
            engine.context, engine.invoices(subscription)[0]["id"], OPERATOR
        )

    engine.advance(DAY)

    assert len(engine.debits(customer)) == 1
    assert engine.status(subscription) == "active"


def test_a_try_without_a_wallet_is_refused_and_one_that_loses_it_waits_for_none(
    engine: Engine,
) -> None:
    """The refusal writes nothing; a wallet that is lost in between ends only the attempt."""
    customer, subscription = given_up(engine)
    invoice = engine.invoices(subscription)[0]["id"]
    invoice_actions.retry_invoice(engine.context, invoice, OPERATOR)
    engine.lose_wallet(customer)
    engine.run()
    assert engine.invoices(subscription)[0]["status"] == "uncollectible"
    assert engine.status(subscription) == "unpaid"

    before = engine.counts()
    with pytest.raises(IllegalMove, match="billing wallet link"):
        invoice_actions.retry_invoice(engine.context, invoice, OPERATOR)
    assert engine.counts() == before


def test_two_words_at_once_are_one_charge(engine: Engine, other: Engine) -> None:
    """Two operators retry at once: the wallet is charged once."""
    customer, subscription = given_up(engine)
    engine.put_cash(customer, 1_000_000)
    invoice = engine.invoices(subscription)[0]["id"]

    at_once(
        *(
            lambda process=process: invoice_actions.retry_invoice(
                process.context, invoice, OPERATOR
            )
            for process in (engine, other)
        )
    )
    engine.run()

    assert len(engine.debits(customer)) == 1
    assert engine.status(subscription) == "active"


def test_a_debt_that_is_void_or_paid_is_not_tried(engine: Engine) -> None:
    """Nothing is owed of it; the line says what it is."""
    _, subscription = given_up(engine)
    invoice = engine.invoices(subscription)[0]["id"]
    invoice_actions.void_invoice(engine.context, invoice, OPERATOR)

    with pytest.raises(IllegalMove, match="is void, not open"):
        invoice_actions.retry_invoice(engine.context, invoice, OPERATOR)

"""Previews of what is planned for a date, when something else comes before that date."""

from datetime import timedelta

from billing.domain.events import OPERATOR
from billing.domain.subscription import RefundPolicy
from billing.services.subscriptions import canceling, pausing, previewing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)


def test_a_preview_knows_no_amounts_of_an_end_behind_a_resumption(engine: Engine) -> None:
    """A paused subscription resumes before it ends: the preview is not refused, the deed neither.

    What is charged from then on is not known yet.
    """
    _, subscription = engine.begun()
    pausing.pause(engine.context, subscription, OPERATOR, until=START + 40 * DAY)
    at = START + 50 * DAY

    said = previewing.cancel(
        engine.context, subscription, OPERATOR, at=at, refund=RefundPolicy.PRORATED
    )
    canceling.cancel(engine.context, subscription, OPERATOR, at=at, refund=RefundPolicy.PRORATED)

    assert (said.status, said.cancel_at) == ("paused", at)
    assert said.amount_refunded is None
    assert said.amount_charged is None
    assert engine.subscription(subscription)["cancel_at"] == at


def test_a_preview_knows_no_amounts_while_a_charge_has_no_outcome(engine: Engine) -> None:
    """The end waits for that outcome, and what is refunded depends on it."""
    customer = engine.customer()
    engine.plan()
    subscription = engine.subscribe(customer)
    engine.script("drop_after", customer)
    engine.run()
    at = START + 3 * DAY

    said = previewing.cancel(engine.context, subscription, OPERATOR, at=at)

    assert (said.cancel_at, said.amount_refunded) == (at, None)
    engine.advance(DAY)  # the charge is asked about


def test_a_retry_before_the_date_leaves_the_amounts_open(engine: Engine) -> None:
    """An invoice that is retried before a cancellation may be paid, and its days refunded."""
    customer, subscription = engine.begun()
    engine.run()
    engine.put_cash(customer, 0)
    engine.advance(START + timedelta(days=28))
    at = engine.now + timedelta(days=7)
    assert engine.invoices(subscription)[-1]["next_attempt_at"] < at

    said = previewing.cancel(
        engine.context, subscription, OPERATOR, at=at, refund=RefundPolicy.PRORATED
    )

    assert said.cancel_at == at
    assert (said.amount_refunded, said.amount_voided) == (None, None)

"""Pause and resume: which periods open, what stays owed, and how the dates move."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from billing.domain.errors import BillingError, IllegalMove, InvalidValue
from billing.domain.events import OPERATOR
from billing.services.operating import importing
from billing.services.subscriptions import canceling, pausing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)


def starts(engine: Engine, subscription: UUID) -> list[str]:
    """The local dates on which the invoiced periods begin."""
    return [
        (row["period_start"] + timedelta(hours=7)).date().isoformat()
        for row in engine.invoices(subscription)
    ]


def test_nothing_opens_while_paused_and_the_anchor_stays(engine: Engine) -> None:
    """Paused over a month end: February is left out on record, March comes on its 31st."""
    customer, subscription = engine.begun()
    engine.advance(10 * DAY)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(30 * DAY)
    assert engine.subscription(subscription)["status"] == "paused"
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(30 * DAY)

    assert starts(engine, subscription) == ["2026-01-31", "2026-03-31"]
    assert [row["period_index"] for row in engine.invoices(subscription)] == [0, 2]
    assert len(engine.debits(customer)) == 2


def test_a_new_period_may_begin_at_once(engine: Engine) -> None:
    """`--from now` makes this instant the anchor, and ends the running period here."""
    customer, subscription = engine.begun()
    engine.advance(10 * DAY)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(5 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.advance(31 * DAY)

    assert starts(engine, subscription) == ["2026-01-31", "2026-02-15", "2026-03-15"]
    assert [row["period_index"] for row in engine.invoices(subscription)] == [0, 1, 2]
    assert len(engine.debits(customer)) == 3


def test_a_pause_at_the_period_end_lets_the_paid_period_run(engine: Engine) -> None:
    """It is scheduled, then begins, and ends on the date that was given."""
    _customer, subscription = engine.begun()
    engine.advance(DAY)
    back = datetime.fromisoformat("2026-04-10T09:00:00+07:00")
    pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END, until=back)
    assert engine.subscription(subscription)["status"] == "active"
    engine.advance(40 * DAY)
    assert engine.subscription(subscription)["status"] == "paused"
    engine.advance(60 * DAY)

    assert engine.subscription(subscription)["status"] == "active"
    assert starts(engine, subscription) == ["2026-01-31", "2026-04-30"]


def test_a_scheduled_pause_and_a_scheduled_end_can_be_withdrawn(engine: Engine) -> None:
    """Withdrawn before it takes effect, it leaves nothing."""
    _customer, subscription = engine.begun()
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END)
    pausing.resume(engine.context, subscription, OPERATOR)
    canceling.cancel(engine.context, subscription, OPERATOR, at=canceling.PERIOD_END, unlink=True)
    canceling.withdraw(engine.context, subscription, OPERATOR)
    engine.advance(35 * DAY)

    assert engine.subscription(subscription)["status"] == "active"
    assert starts(engine, subscription) == ["2026-01-31", "2026-02-28"]


def test_an_open_invoice_stays_owed_during_a_pause(engine: Engine) -> None:
    """The open invoice is collected on its own dates; the subscription resumes normally."""
    customer, subscription = engine.begun(cash=0, retries="2d 5d")
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.put_cash(customer, 500_000)
    engine.advance(3 * DAY)

    assert [row["status"] for row in engine.invoices(subscription)] == ["paid"]
    assert engine.subscription(subscription)["status"] == "paused"
    pausing.resume(engine.context, subscription, OPERATOR)
    assert engine.subscription(subscription)["status"] == "active"


def test_a_resumed_debtor_is_behind(engine: Engine) -> None:
    """A subscription with an unpaid invoice is past due after the pause, not active."""
    customer, subscription = engine.begun(cash=0)
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR)
    pausing.resume(engine.context, subscription, OPERATOR)
    assert engine.subscription(subscription)["status"] == "past_due"
    engine.put_cash(customer, 500_000)
    engine.advance(3 * DAY)
    assert engine.subscription(subscription)["status"] == "active"


def test_a_pause_that_outlasts_the_term_completes_it(engine: Engine) -> None:
    """The skipped cycles are recorded, and nothing is left open."""
    _customer, subscription = engine.begun(cycles=2)
    engine.advance(DAY)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(90 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR)

    assert engine.subscription(subscription)["status"] == "completed"


def test_a_term_that_a_late_return_completes_has_ended_on_its_date(engine: Engine) -> None:
    """The effects of a resume are as of its planned day, not of the tick's."""
    _customer, subscription = engine.begun(cycles=2)
    engine.advance(DAY)
    back = engine.now + 90 * DAY
    pausing.pause(engine.context, subscription, OPERATOR, until=back)
    engine.set_clock(back + 40 * DAY)
    engine.run()

    row = engine.subscription(subscription)
    assert (row["status"], row["ended_at"]) == ("completed", back)


@pytest.mark.parametrize(
    ("error", "act"),
    [
        (IllegalMove, lambda c, s: pausing.resume(c, s, OPERATOR)),
        (InvalidValue, lambda c, s: pausing.pause(c, s, OPERATOR, at="tomorrow")),
        (InvalidValue, lambda c, s: pausing.resume(c, s, OPERATOR, start="later")),
        (
            InvalidValue,
            lambda c, s: pausing.pause(c, s, OPERATOR, until=c.clock.now() - DAY),
        ),
        (IllegalMove, lambda c, s: canceling.withdraw(c, s, OPERATOR)),
    ],
)
def test_an_invalid_pause_or_resume_is_refused(
    engine: Engine, error: type[BillingError], act: object
) -> None:
    """Resuming an active one, unknown words and dates in the wrong order write nothing."""
    _customer, subscription = engine.begun()
    engine.run()
    before = engine.counts()
    with pytest.raises(error):
        act(engine.context, subscription)  # type: ignore[operator]
    assert engine.counts() == before


def test_an_ended_subscription_is_neither_paused_nor_resumed(engine: Engine) -> None:
    """A canceled subscription is neither paused nor resumed."""
    _customer, subscription = engine.begun()
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR)
    for act in (pausing.pause, pausing.resume):
        with pytest.raises(IllegalMove):
            act(engine.context, subscription, OPERATOR)


def test_a_tokens_end_is_told_in_time(engine: Engine) -> None:
    """Thirty, fourteen, seven and one days before the year ends, and each once."""
    customer, subscription = engine.begun(every="1 week")
    engine.advance(366 * DAY)

    told = engine.rows(
        "SELECT data FROM events WHERE kind = 'wallet.expiring' AND customer_id = :c ORDER BY id",
        c=customer,
    )
    assert [row["data"]["days"] for row in told] == [30, 14, 7, 1]
    assert told[0]["data"]["subscriptions"] == [str(subscription)]
    assert engine.wallets(customer)[0]["status"] == "expired"


def test_going_on_at_the_second_a_period_begins_bills_it_once(engine: Engine) -> None:
    """`--from now` where the running period has just begun leaves that period as it is."""
    customer, subscription = engine.begun(every="10 days")
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR)
    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.run()

    assert len(engine.invoices(subscription)) == len(engine.debits(customer)) == 1
    assert engine.subscription(subscription)["next_due_at"] == START + timedelta(days=10)


@pytest.mark.parametrize("paid_before", ["yes", "no"])
def test_days_that_were_paid_before_an_import_are_not_thrown_away(
    engine: Engine, paid_before: str
) -> None:
    """No invoice of ours could credit them: a new period from now on is refused until their end."""
    engine.plan(timezone="UTC")
    customer = engine.customer()
    due = (engine.now + 25 * DAY).isoformat()
    cells = {"id": "1", "customer": customer, "plan": "P", "anchor": due, "next_due_at": due,
             "paid_before": paid_before}  # fmt: skip
    list(importing.subscriptions(engine.context, [(2, cells)], OPERATOR))
    subscription = engine.one("SELECT id FROM subscriptions")
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(DAY)

    if paid_before == "yes":
        with pytest.raises(IllegalMove, match="--from anchor"):
            pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
        engine.advance(24 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR, start=pausing.NOW)
    engine.run()

    assert len(engine.debits(customer)) == 1

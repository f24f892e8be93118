"""Cancellation: when it takes effect, what is refunded, and that the token is deleted last."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.domain.subscription import RefundPolicy
from billing.services.subscriptions import canceling
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
FULL, PRORATED, NONE = RefundPolicy.FULL, RefundPolicy.PRORATED, RefundPolicy.NONE


def given_back(engine: Engine, customer: str) -> list[int]:
    """The amounts that the gateway gave back, each as often as it did."""
    rows = engine.ledger(customer, "refund")
    return sorted(row["amount"] for row in rows for _ in range(row["moves"]))


def cancel(engine: Engine, subscription: UUID, **options: object) -> dict[str, object]:
    """Cancel, as an operator with a reason."""
    by = Actor("operator", "asked for it")
    return canceling.cancel(engine.context, subscription, by, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("unlink", [False, True])
@pytest.mark.parametrize(("refund", "amount"), [(NONE, 0), (FULL, 50_000), (PRORATED, 32_143)])
def test_cancel_now(engine: Engine, refund: RefundPolicy, amount: int, unlink: bool) -> None:
    """Ten of 28 days used: 50,000 x 18/28 is 32,142.86, half-up; the refund before the unlink."""
    customer, subscription = engine.begun()
    engine.advance(10 * DAY)

    told = cancel(engine, subscription, refund=refund, unlink=unlink)
    engine.run()

    assert told == {
        "id": str(subscription), "status": "canceled", "refunded": amount, "invoices_voided": 0,
        "wallet": "unlinks" if unlink else "stays", "wallet_used_by": [],
    }  # fmt: skip
    assert given_back(engine, customer) == ([amount] if amount else [])
    kinds = [row["kind"] for row in engine.ledger(customer)]
    after = (["refund"] if amount else []) + (["unbind"] if unlink else [])
    assert kinds == ["bind", "confirm", "payment", *after]
    engine.advance(60 * DAY)
    assert len(engine.debits(customer)) == 1
    assert engine.wallets(customer)[0]["status"] == ("unlinked" if unlink else "active")


@pytest.mark.parametrize("kind", ["drop_after", "http_500", "turn_away", "wrong_signature"])
def test_the_token_waits_until_the_refund_is_certain(engine: Engine, kind: str) -> None:
    """Also after lost answers the refund is paid strictly before the unlink."""
    customer, subscription = engine.begun()
    engine.run()
    engine.script(kind, customer, "refund", times=3)

    cancel(engine, subscription, refund=FULL, unlink=True)
    engine.run()
    assert engine.ledger(customer, "unbind") == []
    engine.advance(DAY)

    seq = {row["kind"]: row["seq"] for row in engine.ledger(customer)}
    assert seq["payment"] < seq["refund"] < seq["unbind"]
    assert given_back(engine, customer) == [50_000]
    assert engine.wallets(customer)[0]["status"] == "unlinked"


def test_cancel_at_period_end_lets_the_paid_period_run(engine: Engine) -> None:
    """It is active until 28 February at nine, opens nothing then, and ends."""
    customer, subscription = engine.begun()
    engine.advance(10 * DAY)

    cancel(engine, subscription, at="period-end", unlink=True)
    assert engine.status(subscription) == "active"
    engine.advance(60 * DAY)

    row = engine.subscription(subscription)
    assert (row["status"], row["ended_at"]) == ("canceled", datetime(2026, 2, 28, 2, tzinfo=UTC))
    assert len(engine.invoices(subscription)) == 1
    assert engine.wallets(customer)[0]["status"] == "unlinked"
    assert engine.told("subscription.canceled")[0]["reason"] == "asked for it"


def test_cancel_at_an_instant_bills_the_periods_until_then(engine: Engine) -> None:
    """On 10 March in the second period: ten of 31 days used, 33,871 are refunded."""
    customer, subscription = engine.begun()

    cancel(engine, subscription, at=datetime(2026, 3, 10, 2, tzinfo=UTC), refund=PRORATED)
    engine.advance(90 * DAY)

    assert len(engine.debits(customer)) == 2
    assert given_back(engine, customer) == [33_871]


def test_a_cancel_that_is_carried_out_late_gives_back_what_was_promised(engine: Engine) -> None:
    """After a month without workers the refund is computed for the planned day."""
    customer, subscription = engine.begun()
    engine.run()
    cancel(engine, subscription, at=START + 10 * DAY, refund=PRORATED)
    engine.set_clock(START + 45 * DAY)

    engine.run()

    assert given_back(engine, customer) == [32_143]
    assert len(engine.invoices(subscription)) == 1


def test_open_invoices_are_void_and_dunning_stops(engine: Engine) -> None:
    """No retry follows the cancellation."""
    customer, subscription = engine.begun(every="1 week")
    engine.script("decline", customer, times=None)
    engine.advance(8 * DAY)

    cancel(engine, subscription)
    engine.advance(60 * DAY)

    assert [row["status"] for row in engine.invoices(subscription)] == ["void", "void"]
    assert len(engine.ledger(customer, "payment")) == 3
    assert engine.status(subscription) == "canceled"


@pytest.mark.parametrize("refund", [NONE, FULL])
def test_money_that_settles_after_the_cancel_is_given_back_once(
    engine: Engine, refund: RefundPolicy
) -> None:
    """An unknown charge of a canceled subscription had moved money: refunded, then unlinked."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()

    cancel(engine, subscription, refund=refund, unlink=True)
    engine.run()
    assert engine.wallets(customer)[0]["status"] == "active"
    engine.advance(DAY)

    assert [c["surplus"] for c in engine.charges(subscription)] == [True]
    assert engine.invoices(subscription)[0]["status"] == "void"
    assert given_back(engine, customer) == [50_000]
    kinds = [row["kind"] for row in engine.ledger(customer)]
    assert kinds == ["bind", "confirm", "payment", "refund", "unbind"]


@pytest.mark.parametrize("end", ["SUCCESS", "FAILED"])
def test_a_pending_charge_at_the_cancel_ends_one_way_or_the_other(engine: Engine, end: str) -> None:
    """A late payment is refunded; without one nothing is; the token is deleted after either."""
    customer, subscription = engine.begun()
    engine.script("pending", customer, end=end, after_queries=1)
    engine.run()

    cancel(engine, subscription, unlink=True)
    engine.advance(2 * DAY)

    assert given_back(engine, customer) == ([50_000] if end == "SUCCESS" else [])
    assert engine.ledger(customer)[-1]["kind"] == "unbind"


def test_a_charge_that_never_arrived_is_not_sent_again_after_the_cancel(engine: Engine) -> None:
    """Unknown at the cancellation and not found after the horizon: nothing more is due."""
    customer, subscription = engine.begun()
    engine.script("drop_before", customer)
    engine.run()

    cancel(engine, subscription, unlink=True)
    engine.advance(2 * DAY)

    assert engine.ledger(customer, "payment") == []
    assert [c["status"] for c in engine.charges(subscription)] == ["declined"]
    assert engine.wallets(customer)[0]["status"] == "unlinked"


def test_the_token_stays_while_another_subscription_needs_it(engine: Engine) -> None:
    """Two subscriptions, one canceled with unlink: kept, on record, and the other is charged."""
    customer, first = engine.begun()
    second = engine.subscribe(customer, again=True)
    engine.run()

    cancel(engine, first, unlink=True)
    engine.advance(30 * DAY)

    assert engine.wallets(customer)[0]["status"] == "active"
    assert engine.told("wallet.kept")[0]["data"]["needed_by"] == [str(second)]
    assert len(engine.charges(second)) == 2
    cancel(engine, second, unlink=True)
    engine.run()
    assert engine.wallets(customer)[0]["status"] == "unlinked"


def test_a_pending_subscription_and_a_trial_can_be_canceled(engine: Engine) -> None:
    """Nothing was charged, so nothing is refunded, and nothing is due any more."""
    engine.plan(trial="7 days")
    without = engine.subscribe(engine.customer(linked=False))
    trialing = engine.subscribe(engine.customer())
    later = engine.subscribe(engine.customer())
    for subscription in (without, trialing):
        assert cancel(engine, subscription, refund=FULL)["refunded"] == 0
    told = cancel(engine, later, at="period-end")
    assert told["cancel_at"] == (START + 7 * DAY).isoformat()

    engine.advance(30 * DAY)

    assert {engine.status(s) for s in (without, trialing, later)} == {"canceled"}
    assert engine.counts()["charges"] == 0


@pytest.mark.parametrize("sent", [False, True])
def test_a_full_refund_gives_only_what_is_left(engine: Engine, sent: bool) -> None:
    """A part was refunded before the cancellation, or is about to be: only the rest follows."""
    customer, subscription = engine.begun()
    engine.run()
    from billing.services.money import refunding

    refunding.refund_invoice(
        engine.context, engine.invoices(subscription)[0]["id"], 20_000, OPERATOR
    )
    if sent:
        engine.run()
    assert given_back(engine, customer) == [20_000] * sent
    told = cancel(engine, subscription, refund=FULL)
    engine.run()

    assert told["refunded"] == 30_000
    assert given_back(engine, customer) == [20_000, 30_000]


def test_an_invalid_cancellation_is_refused(engine: Engine) -> None:
    """Already canceled, an instant past or without offset, an unknown word, an unknown id."""
    _customer, subscription = engine.begun()
    engine.run()
    before = engine.counts()
    for at in (START - DAY, START, datetime(2027, 1, 1), "tomorrow"):  # noqa: DTZ001 - meant
        with pytest.raises(InvalidValue):
            cancel(engine, subscription, at=at)
    with pytest.raises(NotKnown):
        cancel(engine, UUID(int=3))
    assert engine.counts() == before

    cancel(engine, subscription)
    before = engine.counts()
    with pytest.raises(IllegalMove, match="canceled"):
        cancel(engine, subscription)
    assert engine.counts() == before


def test_two_subscriptions_that_end_together_give_the_token_back_once(engine: Engine) -> None:
    """Both are to be canceled at their period's end, with unlink: the second one unlinks."""
    customer, first = engine.begun()
    second = engine.subscribe(customer, again=True)
    engine.run()
    for subscription in (first, second):
        cancel(engine, subscription, at="period-end", unlink=True)

    engine.advance(40 * DAY)

    assert {engine.status(s) for s in (first, second)} == {"canceled"}
    assert len(engine.ledger(customer, "unbind")) == 1

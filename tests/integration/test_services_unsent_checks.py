"""Money that moved despite a 429 is found after its invoice was closed, and is refunded."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR
from billing.domain.outcomes import Declined, Fault, Unsent
from billing.domain.settlement import Source
from billing.services.collecting import claiming, settling
from billing.services.operating import invoice_actions
from billing.services.subscriptions import canceling, pausing
from tests.integration.answering import answer_as_before, answer_with
from tests.integration.engine import START, Engine
from tests.integration.test_services_locked_rows import locked
from tests.integration.test_services_reopening import given_up

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MINUTE = timedelta(minutes=1)


def limited(engine: Engine, *, work: str = "done", **plan: Any) -> tuple[str, UUID]:
    """A first charge that is answered with a 429, whether or not its money moved behind that."""
    customer, subscription = engine.begun(**plan)
    engine.script("rate_limited", customer, work=work)
    engine.run()
    [charge] = engine.charges(subscription)
    assert charge["status"] == "unsent"
    assert len(engine.debits(customer)) == (work == "done")
    return customer, subscription


def void(engine: Engine, subscription: UUID, period: int = 0) -> None:
    """Void the invoice of a period."""
    invoice_actions.void_invoice(
        engine.context, engine.invoices(subscription)[period]["id"], OPERATOR
    )


def statuses(engine: Engine, subscription: UUID) -> list[str]:
    """Return the states of a subscription's charges."""
    return [charge["status"] for charge in engine.charges(subscription)]


def given_back(engine: Engine, customer: str) -> list[tuple[str, int]]:
    """Return the customer's refunds, by status and rupiah."""
    return [(refund["status"], refund["amount"]) for refund in engine.refunds(customer)]


def test_money_behind_a_429_of_a_void_invoice_is_given_back(engine: Engine) -> None:
    """The charge gets a status query at once; its success is surplus, and is refunded in full."""
    customer, subscription = limited(engine)
    void(engine, subscription)
    assert statuses(engine, subscription) == ["unknown"]

    engine.run()

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["surplus"], charge["kept"]) == ("succeeded", True, 0)
    assert given_back(engine, customer) == [("succeeded", 50_000)]
    assert [told["data"]["why"][:12] for told in engine.told("charge.unknown")] == ["rate_limited"]


def test_a_cancellation_resolves_it_then_refunds_and_then_deletes_the_token(
    engine: Engine,
) -> None:
    """The token waits for the charge, and for the refund of what it had taken."""
    customer, subscription = limited(engine)
    canceling.cancel(engine.context, subscription, OPERATOR, unlink=True)
    engine.tick(["ticks.attend_wallets"])
    assert engine.wallets(customer)[-1]["status"] == "active"

    engine.advance(HOUR)

    assert statuses(engine, subscription) == ["succeeded"]
    assert given_back(engine, customer) == [("succeeded", 50_000)]
    assert engine.wallets(customer)[-1]["status"] == "unlinked"
    order = [row["kind"] for row in engine.rows(
        "SELECT kind FROM events WHERE kind IN"
        " ('charge.succeeded', 'refund.succeeded', 'wallet.unlinked') ORDER BY id"
    )]  # fmt: skip
    assert order == ["charge.succeeded", "refund.succeeded", "wallet.unlinked"]


@pytest.mark.parametrize("action", ["unpaid", "cancel"])
def test_money_behind_a_429_of_an_invoice_that_is_given_up_pays_it(
    engine: Engine, action: str
) -> None:
    """Late money counts, as for any other charge: it pays, and unserved days are returned."""
    customer, subscription = limited(engine, on_exhausted=action, every="2 months")
    # The question before the next sending finds nothing yet, and then there is no wallet.
    engine.script("status_says", customer, "status", times=None, status="NOT_FOUND")
    engine.execute("UPDATE wallets SET expires_at = :now", now=engine.now + MINUTE)
    engine.advance(2 * MINUTE)
    [invoice] = engine.invoices(subscription)
    assert (invoice["status"], invoice["blocked_on"]) == ("open", "wallet")
    engine.set_clock(invoice["next_attempt_at"])
    engine.tick(["ticks.sweep_charges"])
    assert engine.invoices(subscription)[0]["status"] == "uncollectible"
    assert statuses(engine, subscription) == ["unknown"]
    engine.no_more_scripts()

    engine.run()

    assert statuses(engine, subscription) == ["succeeded"]
    assert engine.invoices(subscription)[0]["status"] == "paid"
    if action == "unpaid":
        assert engine.status(subscription) == "active"
        assert given_back(engine, customer) == []
    else:
        assert engine.status(subscription) == "canceled"
        assert [status for status, _ in given_back(engine, customer)] == ["succeeded"]


def test_a_charge_that_the_gateway_never_had_ends_and_is_not_sent_again(engine: Engine) -> None:
    """Not found is believed after the horizon; nothing is sent for an invoice that is void."""
    customer, subscription = limited(engine, work="none")
    void(engine, subscription)
    engine.run()
    assert statuses(engine, subscription) == ["unknown"]

    engine.advance(START + 15 * MINUTE)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["never_received"]) == ("declined", True)
    assert (charge["sends"], charge["next_check_at"]) == (1, None)
    engine.advance(10 * DAY)
    assert engine.ledger(customer, "payment") == []
    assert engine.status(subscription) == "active"


def test_a_connection_that_was_refused_is_certain(engine: Engine) -> None:
    """Nothing was sent, so there is no status query."""
    _, subscription = engine.begun()
    met = answer_with(engine, pay=lambda _: Unsent("not_connected"))
    engine.run()

    void(engine, subscription)
    engine.run()

    assert statuses(engine, subscription) == ["unsent"]
    assert "check_status" not in met.calls
    answer_as_before(engine, met)


def test_a_refused_connection_after_a_429_does_not_make_it_certain(engine: Engine) -> None:
    """The earlier sending of the same charge may have moved the money."""
    customer, subscription = limited(engine)
    engine.script("status_says", customer, "status", status="NOT_FOUND")
    met = answer_with(engine, pay=lambda _: Unsent("not_connected"))
    engine.advance(MINUTE)
    assert met.calls.count("pay") == 1
    answer_as_before(engine, met)
    assert engine.charges(subscription)[0]["message"] == "not_connected"

    void(engine, subscription)
    engine.run()

    assert statuses(engine, subscription) == ["succeeded"]
    assert given_back(engine, customer) == [("succeeded", 50_000)]


def test_a_decline_after_a_429_is_one_of_a_second_sending(engine: Engine) -> None:
    """The answer may be about the repetition: a status query finds the money."""
    customer, subscription = limited(engine)
    engine.script("status_says", customer, "status", status="NOT_FOUND")
    short = Declined(Fault.INSUFFICIENT_FUNDS, "E51", "not enough")
    met = answer_with(engine, pay=lambda _: short)
    engine.advance(MINUTE)
    answer_as_before(engine, met)
    assert statuses(engine, subscription) == ["unknown"]

    void(engine, subscription)
    engine.advance(HOUR)

    assert statuses(engine, subscription) == ["succeeded"]
    assert given_back(engine, customer) == [("succeeded", 50_000)]


def test_a_429_that_arrives_after_the_invoice_is_void_is_asked_about(engine: Engine) -> None:
    """The charge was on its way when its invoice was voided."""
    customer, subscription = engine.begun()
    engine.script("rate_limited", customer, work="done")
    engine.tick(["ticks.open_periods"])
    [invoice] = engine.invoices(subscription)
    [payment] = claiming.claim(engine.context, {invoice["id"]: None})
    void(engine, subscription)
    news = settling.News(UUID(payment.request_id), engine.context.gateway.pay(payment))
    assert isinstance(news.outcome, Unsent)

    settling.settle(engine.context, [news], Source.LIVE)

    assert statuses(engine, subscription) == ["unknown"]
    engine.advance(HOUR)
    assert statuses(engine, subscription) == ["succeeded"]
    assert given_back(engine, customer) == [("succeeded", 50_000)]


def test_a_payment_by_an_earlier_charge_leaves_the_later_one_asked_about(engine: Engine) -> None:
    """Both moved money: one of them pays the invoice, and the other is refunded."""
    customer, subscription = engine.begun(retries="2d")
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=3, status="FAILED")
    engine.advance(HOUR)
    assert statuses(engine, subscription) == ["declined"]
    engine.script("rate_limited", customer, work="done")
    engine.set_clock(START + 3 * DAY)
    engine.tick(["ticks.sweep_charges"])
    first, second = engine.charges(subscription)
    assert (first["status"], second["status"]) == ("declined", "unsent")

    engine.late_success(first["id"])

    assert statuses(engine, subscription) == ["succeeded", "unknown"]
    engine.run()
    assert statuses(engine, subscription) == ["succeeded", "succeeded"]
    assert given_back(engine, customer) == [("succeeded", 50_000)]


class TestTwoOfOneSubscription:
    """At most one charge of a subscription is unresolved at a time; each is resolved at last."""

    def both_unsent(self, engine: Engine) -> tuple[str, UUID]:
        """A newer open invoice and an older one after a manual retry, both with a 429."""
        customer, subscription = given_up(engine)
        engine.put_cash(customer, 1_000_000)
        pausing.resume(engine.context, subscription, OPERATOR)
        engine.script("rate_limited", customer, work="done", times=2)
        engine.advance(START + 7 * DAY)
        assert [row["status"] for row in engine.invoices(subscription)] == ["uncollectible", "open"]
        older = engine.invoices(subscription)[0]["id"]
        invoice_actions.retry_invoice(engine.context, older, OPERATOR)
        engine.tick(["ticks.sweep_charges"])
        assert statuses(engine, subscription)[-2:] == ["unsent", "unsent"]
        assert len(engine.debits(customer)) == 2
        return customer, subscription

    def test_a_cancellation_asks_about_one_after_the_other(self, engine: Engine) -> None:
        """Both are found, both are refunded, and only then the token goes."""
        customer, subscription = self.both_unsent(engine)

        canceling.cancel(engine.context, subscription, OPERATOR, unlink=True)

        assert sorted(statuses(engine, subscription)[-2:]) == ["unknown", "unsent"]
        engine.advance(HOUR)
        assert statuses(engine, subscription)[-2:] == ["succeeded", "succeeded"]
        assert given_back(engine, customer) == [("succeeded", 50_000)] * 2
        assert engine.wallets(customer)[-1]["status"] == "unlinked"

    def test_the_open_invoice_waits_for_the_void_one(self, engine: Engine) -> None:
        """An open invoice is not charged while another charge is unresolved; then it is."""
        customer, subscription = self.both_unsent(engine)

        void(engine, subscription, period=1)

        assert engine.invoices(subscription)[0]["next_attempt_at"] is None
        engine.advance(HOUR)
        assert statuses(engine, subscription)[-2:] == ["succeeded", "succeeded"]
        assert [row["status"] for row in engine.invoices(subscription)[:2]] == ["paid", "void"]
        assert given_back(engine, customer) == [("succeeded", 50_000)]

    def test_a_charge_of_a_locked_subscription_is_reconciled_later(self, engine: Engine) -> None:
        """Another session locks the row: no worker waits for it, and the charge stays due."""
        customer, subscription = self.both_unsent(engine)
        canceling.cancel(engine.context, subscription, OPERATOR)
        engine.run()
        engine.set_clock(engine.now + 10 * MINUTE)

        with locked(engine, subscription):
            engine.tick(["ticks.reconcile"])
            assert sorted(statuses(engine, subscription)[-2:]) == ["succeeded", "unsent"]

        engine.run()
        assert statuses(engine, subscription)[-2:] == ["succeeded", "succeeded"]
        assert given_back(engine, customer) == [("succeeded", 50_000)] * 2


def test_an_unsent_charge_of_a_reopened_invoice_gets_no_status_query(engine: Engine) -> None:
    """A status query precedes the next sending anyway; until then it has no date."""
    customer, subscription = limited(engine)
    engine.execute("UPDATE charges SET next_check_at = :now", now=engine.now)

    engine.tick(["ticks.reconcile"])

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["next_check_at"]) == ("unsent", None)
    engine.advance(MINUTE)
    assert statuses(engine, subscription) == ["succeeded"]
    assert len(engine.debits(customer)) == 1

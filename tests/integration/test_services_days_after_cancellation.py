"""Unserved days: money for days after an end is returned as credit or refund."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR
from billing.domain.outcomes import Succeeded
from billing.domain.settlement import Source
from billing.domain.subscription import RefundPolicy
from billing.services.collecting import settling
from billing.services.operating import invoice_actions
from billing.services.subscriptions import canceling, changing
from tests.integration.engine import Engine
from tests.integration.test_services_paid_days import balance, begin, refunded

DAY = timedelta(days=1)


def renewal_with_credit(engine: Engine, final: str = "cancel") -> tuple[str, UUID]:
    """A subscription whose next invoice of 60,000 is covered with 27,000 by balance."""
    customer, subscription = begin(engine, on_exhausted=final)
    changing.change(engine.context, subscription, OPERATOR, plan_code="THREE")
    assert balance(engine, customer) == 27_000
    changing.change(engine.context, subscription, OPERATOR, plan_code="SIXTY", at="period-end")
    return customer, subscription


def test_balance_of_a_period_that_never_ran_comes_back_whole(engine: Engine) -> None:
    """A hard decline ends it in the minute in which the period begins."""
    customer, subscription = renewal_with_credit(engine)
    engine.script("decline", customer, code="suspected_fraud", message="no")

    engine.advance(30 * DAY + timedelta(hours=1))

    renewal = engine.invoices(subscription)[-1]
    assert (engine.status(subscription), renewal["status"]) == ("canceled", "uncollectible")
    assert (renewal["credited"], balance(engine, customer)) == (27_000, 27_000)
    assert len(engine.told("credit.returned")) == 1


@pytest.mark.parametrize("final", ["cancel", "unpaid"])
def test_balance_pays_for_the_days_until_dunning_ended(engine: Engine, final: str) -> None:
    """Two of 31 days were served; a subscription that was unpaid has it back when it ends."""
    customer, subscription = renewal_with_credit(engine, final)
    engine.put_cash(customer, 0)
    engine.advance(40 * DAY)
    if final == "unpaid":
        assert balance(engine, customer) == 0
        canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.NONE)

    assert engine.status(subscription) == "canceled"
    assert balance(engine, customer) == 27_000 - 1_742


def test_late_money_of_a_period_that_never_ran_goes_back(engine: Engine) -> None:
    """A hard decline ended it on the first day, and the money had moved after all."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, code="suspected_fraud", message="no")
    engine.run()
    engine.advance(timedelta(minutes=10))
    assert engine.status(subscription) == "canceled"
    [charge] = engine.charges(subscription)
    engine.audited = False  # the gateway's ledger knows of no such payment
    settling.settle(engine.context, [settling.News(charge["id"], Succeeded())], Source.STATUS)

    [refund] = engine.refunds(customer)
    assert (refund["amount"], refund["purpose"]) == (50_000, "cancel")
    assert "not served" in engine.told("refund.requested")[0]["data"]["why"]
    assert engine.invoices(subscription)[0]["status"] == "paid"


def test_a_debt_paid_after_the_end_is_kept_for_the_days_served(engine: Engine) -> None:
    """Two of 30 days were served before dunning ended it: 2,000 of 30,000 are kept."""
    customer, subscription = begin(engine, cash=0)
    engine.advance(10 * DAY)
    assert engine.status(subscription) == "canceled"
    engine.put_cash(customer, 10**7)

    invoice_actions.retry_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)
    engine.run()
    engine.advance(DAY)

    assert refunded(engine, customer) == 28_000

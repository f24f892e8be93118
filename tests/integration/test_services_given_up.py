"""Uncollectible invoices, and changes of their subscription before they are paid."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.domain.subscription import OnExhausted
from billing.services.operating import invoice_actions
from billing.services.subscriptions import changing, pausing
from tests.integration.engine import Engine

DAY = timedelta(days=1)


@pytest.fixture
def debtor(engine: Engine) -> tuple[str, UUID]:
    """Make a customer whose first of two months was given up; the subscription is unpaid."""
    customer, subscription = engine.begun(
        cash=0, amount=31_000, retries="1d", on_exhausted=OnExhausted.UNPAID, cycles=2
    )
    engine.advance(9 * DAY)
    assert engine.status(subscription) == "unpaid"
    return customer, subscription


@pytest.mark.parametrize("quantity", [2, 3])
def test_a_period_that_was_given_up_is_paid_or_void_before_its_price_changes(
    engine: Engine, debtor: tuple[str, UUID], quantity: int
) -> None:
    """Paid afterwards, it would be paid twice for the days that the change had settled."""
    customer, subscription = debtor
    engine.put_cash(customer, 1_000_000)
    pausing.resume(engine.context, subscription, OPERATOR)
    [owed] = engine.invoices(subscription)

    with pytest.raises(
        IllegalMove, match=f"uncollectible; retry it or void it first.*retry {owed['id']}.* void"
    ):
        changing.change(engine.context, subscription, OPERATOR, quantity=quantity)
    invoice_actions.retry_invoice(engine.context, owed["id"], OPERATOR)
    engine.run()
    changing.change(engine.context, subscription, OPERATOR, quantity=quantity)
    engine.run()

    # Nine of 28 days at the old price, and nineteen at the new one; each part is rounded.
    more = round(31_000 * quantity * 19 / 28) - round(31_000 * 19 / 28)
    assert sum(row["amount"] for row in engine.debits(customer)) == 31_000 + more


def test_a_debt_that_is_given_up_again_leaves_nobody_behind(
    engine: Engine, debtor: tuple[str, UUID]
) -> None:
    """It continued while the second attempt was unresolved, and has no open invoice."""
    _customer, subscription = debtor
    invoice_actions.retry_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)
    engine.run()
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(DAY)

    assert [i["status"] for i in engine.invoices(subscription)] == ["uncollectible"]
    assert engine.status(subscription) == "active"


def test_a_debt_that_is_given_up_again_does_not_keep_a_term_open(
    engine: Engine, debtor: tuple[str, UUID]
) -> None:
    """The same without a period left: it is completed, and does not stay active."""
    _customer, subscription = debtor
    engine.advance(80 * DAY)
    invoice_actions.retry_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)
    engine.run()
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(DAY)

    assert engine.status(subscription) == "completed"

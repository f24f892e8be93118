"""The answer of a cancellation about money and wallet: as text, as JSON and in the task's log."""

from datetime import timedelta

import pytest

from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY = timedelta(days=1)
CANCEL = ("subscription", "cancel")


def test_a_refund_that_is_asked_for_is_told_in_rupiah(engine: Engine, billing: Billing) -> None:
    """It names the refunds, that no invoice became void, and the state of the unlink."""
    customer, subscription = engine.begun()
    engine.run()

    said = billing(*CANCEL, subscription, "--refund", "full", people=True)
    assert "Rp 50,000 will be refunded" in said
    assert "0 open invoices were voided" in said
    assert f"the wallet stays linked; unlink it with: billing wallet unlink {customer}" \
        in " ".join(said.split())  # fmt: skip


def test_a_refund_of_nothing_is_told_as_well(engine: Engine, billing: Billing) -> None:
    """An unpaid period has nothing to refund; its invoice becomes void, and both are printed."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.run()

    said = billing(*CANCEL, subscription, "--refund", "prorated", "--unlink", people=True)
    assert "Rp 0 will be refunded" in said
    assert "1 open invoice was voided" in said
    assert "the wallet is unlinked when no charge or refund needs it any more" in said


def test_no_refund_that_nobody_asked_for_is_told(engine: Engine, billing: Billing) -> None:
    """The text has no line about Rp 0; the JSON has the number."""
    _, first = engine.begun()
    _, second = engine.begun(code="Q")
    engine.run()

    assert "refunded" not in billing(*CANCEL, first, people=True)
    found = billing(*CANCEL, second)
    assert (found["done"]["amount_refunded"], found["done"]["invoices_voided_count"]) == (0, 0)
    assert (found["done"]["wallet_outcome"], found["done"]["wallet_used_by"]) == ("stays", [])


@pytest.mark.parametrize("people", [False, True])
def test_a_wallet_that_another_subscription_uses_stays_and_says_why(
    engine: Engine, billing: Billing, people: bool
) -> None:
    """The answer to an unlink request names the subscription that needs the wallet."""
    customer, first = engine.begun()
    engine.plan("other")
    second = engine.subscribe(customer, "other")
    engine.run()

    said = billing(*CANCEL, first, "--unlink", people=people)
    if people:
        told = f"the wallet stays linked: subscription {second} uses it"
        assert told in " ".join(said.split())
    else:
        assert (said["done"]["wallet_outcome"], said["done"]["wallet_used_by"]) == (
            "stays",
            [str(second)],
        )


def test_the_refund_of_a_later_cancellation_is_computed_at_its_date(
    engine: Engine, billing: Billing
) -> None:
    """The answer names no amount before the date, and no outcome for the wallet."""
    _, subscription = engine.begun()
    engine.run()
    when = (engine.now + 3 * DAY).isoformat()
    said = billing(*CANCEL, subscription, "--at", when, "--refund", "prorated", people=True)
    assert "the refund (prorated) is computed then" in said


def test_a_customer_without_a_wallet_is_told_to_have_none(engine: Engine, billing: Billing) -> None:
    """Without a linked wallet none remains."""
    engine.plan()
    customer = engine.customer(linked=False)
    subscription = engine.subscribe(customer)
    assert "there is no linked wallet" in billing(*CANCEL, subscription, people=True)

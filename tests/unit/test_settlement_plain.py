"""A plain success: which decisions say nothing but that a charge succeeded and paid its invoice.

What is called plain is written for many charges in one statement, and nothing else is done for it.
"""

from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.decisions import PLAIN_SUCCESSES
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import Pending, Succeeded, Unknown, Unsent, Waiting
from billing.domain.settlement import Decision, Source
from billing.domain.subscription import SubscriptionStatus
from tests.unit.settlement_world import SENT, declined, facts, settle

PLAIN = PLAIN_SUCCESSES[Source.LIVE]


@pytest.mark.parametrize(
    ("status", "source"),
    [
        (status, source)
        for status, source in product(UNRESOLVED, Source)
        # An operator decides nothing about a charge on the wire.
        if (status, source) != (ChargeStatus.IN_FLIGHT, Source.OPERATOR)
    ],
)
@pytest.mark.parametrize("invoice", [InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE])
def test_a_success_that_only_pays_its_invoice_is_plain(
    status: ChargeStatus, invoice: InvoiceStatus, source: Source
) -> None:
    """Its events are the two that the statement writes; every other field says nothing."""
    known = facts(status, invoice_status=invoice, parked=True)

    decision = settle(known, Succeeded(), source)

    told = (("charge.succeeded", {"source": source}), ("invoice.paid", {}))
    assert decision.is_plain_success
    assert decision == Decision(ChargeStatus.SUCCEEDED, pays=True, events=told)


@pytest.mark.parametrize(
    "known",
    [
        facts(last_cycle=True),
        facts(subscription_status=SubscriptionStatus.PAST_DUE),
        facts(subscription_status=SubscriptionStatus.UNPAID),
        facts(invoice_status=InvoiceStatus.PAID),
        facts(invoice_status=InvoiceStatus.VOID),
        facts(ChargeStatus.DECLINED),
        facts(ChargeStatus.UNSENT),
        facts(ChargeStatus.DECLINED, resolved_at=SENT),
    ],
    ids=[
        "the term ends", "the customer recovers", "the customer was unpaid", "paid twice",
        "void", "late after a decline", "late after unsent", "an operator said declined",
    ],
)  # fmt: skip
def test_a_success_with_more_to_say_is_not_plain(known: Any) -> None:
    """A move, a surplus, and news that come late have to be written each for itself."""
    decision = settle(known, Succeeded(), Source.STATUS)

    assert decision.status is ChargeStatus.SUCCEEDED
    assert not decision.is_plain_success


@pytest.mark.parametrize(
    "news", [declined(), Unsent("refused"), Pending(Waiting.CUSTOMER), Unknown("timeout")]
)
def test_no_other_outcome_is_a_plain_success(news: Any) -> None:
    """A charge that did not succeed is never written as one that did."""
    assert not settle(facts(), news).is_plain_success


@pytest.mark.parametrize("name", [field.name for field in fields(Decision)])
def test_an_additional_consequence_makes_a_success_not_plain(name: str) -> None:
    """Whichever field says something else, also one that is added later: it is not plain."""
    value = getattr(PLAIN, name)
    other = not value if isinstance(value, bool) else (value, "and more")

    assert PLAIN.is_plain_success
    assert not replace(PLAIN, **{name: other}).is_plain_success


def test_an_additional_event_makes_a_success_not_plain() -> None:
    """The statement would not write it."""
    more = (*PLAIN.events, ("wallet.expired", {}))

    assert not replace(PLAIN, events=more).is_plain_success
    assert not replace(PLAIN, events=PLAIN.events[:1]).is_plain_success
    assert not replace(PLAIN, events=PLAIN.events[::-1]).is_plain_success


def test_a_decision_cannot_be_changed_after_it_was_made() -> None:
    """One value is shared by all plain successes: whoever changed it would change them all."""
    with pytest.raises(AttributeError):
        PLAIN.pays = False  # type: ignore[misc]  # that it cannot be assigned is the point

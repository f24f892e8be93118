"""Settling: what an outcome does to a charge, its invoice and its subscription."""

from dataclasses import replace
from typing import Any

import pytest

from billing.domain.charge import ChargeStatus
from billing.domain.events import OPERATOR, Actor, event
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import (
    NotFound,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
    Unsent,
    Waiting,
)
from billing.domain.settlement import Source, decide
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from tests.unit.settlement_world import (
    DAY,
    LIMITS,
    NOW,
    applied,
    assert_not_stuck,
    declined,
    facts,
    kinds,
    settle,
)

NEWS: dict[str, Outcome | NotFound] = {
    "succeeded": Succeeded(),
    "declined": declined(),
    "unsent": Unsent("connection refused"),
    "pending": Pending(Waiting.CUSTOMER),
    "unknown": Unknown("timeout"),
    "not found": NotFound(),
}
# Two minutes after a charge was sent, on its first news: what it is afterwards. "-": no news.
# "." : this source cannot say so.  A FAILED by status is not believed at once, nor is a 404; and a
# person cannot know yet.
TABLE = """
in_flight | succeeded | succeeded succeeded -
in_flight | declined  | declined  unknown   -
in_flight | unsent    | unsent    .         .
in_flight | pending   | pending   pending   .
in_flight | unknown   | unknown   unknown   .
in_flight | not found | .         unknown   .
pending   | succeeded | succeeded succeeded -
pending   | declined  | declined  pending   -
pending   | unsent    | -         .         .
pending   | pending   | pending   pending   .
pending   | unknown   | pending   pending   .
pending   | not found | .         pending   .
unknown   | succeeded | succeeded succeeded -
unknown   | declined  | declined  unknown   -
unknown   | unsent    | -         .         .
unknown   | pending   | pending   pending   .
unknown   | unknown   | unknown   unknown   .
unknown   | not found | .         unknown   .
declined  | succeeded | succeeded succeeded succeeded
declined  | declined  | -         -         -
declined  | unsent    | -         .         .
declined  | pending   | -         -         .
declined  | unknown   | -         -         .
declined  | not found | .         -         .
unsent    | succeeded | succeeded succeeded succeeded
unsent    | declined  | -         -         -
unsent    | unsent    | -         .         .
unsent    | pending   | -         -         .
unsent    | unknown   | -         -         .
unsent    | not found | .         -         .
succeeded | succeeded | -         -         -
succeeded | declined  | -         -         -
succeeded | unsent    | -         .         .
succeeded | pending   | -         -         .
succeeded | unknown   | -         -         .
succeeded | not found | .         -         .
"""


def _rows() -> list[Any]:
    rows = []
    for line in TABLE.strip().splitlines():
        status, news, afterwards = (part.strip() for part in line.split("|"))
        for source, after in zip(Source, afterwards.split(), strict=True):
            if after != ".":
                name = f"{status}, {news} by {source}"
                rows.append(pytest.param(status, news, source, after, id=name))
    return rows


@pytest.mark.parametrize(("status", "news", "source", "after"), _rows())
def test_every_news_of_every_charge_leads_where_the_table_says(
    status: str, news: str, source: Source, after: str
) -> None:
    """Charge by news by source: one table, and only a success ever pays."""
    known = facts(ChargeStatus(status))

    decision = decide(known, NEWS[news], source, now=NOW, limits=LIMITS)

    if after == "-":
        assert decision is None
        return
    assert decision is not None
    assert decision.status == after
    assert decision.pays == (news == "succeeded")
    assert decision.asked == (source is Source.STATUS and after != "succeeded")
    assert not decision.resend
    assert not decision.surplus
    assert_not_stuck(known, decision, NOW)


def test_the_table_names_every_state_and_every_news() -> None:
    """Every pair of state and news has a row."""
    named = {
        tuple(part.strip() for part in line.split("|"))[:2] for line in TABLE.split("\n")[1:-1]
    }

    assert named == {(status.value, news) for status in ChargeStatus for news in NEWS}


@pytest.mark.parametrize(
    ("invoice", "pays", "give_back"),
    [
        (InvoiceStatus.OPEN, True, None),
        (InvoiceStatus.UNCOLLECTIBLE, True, None),
        (InvoiceStatus.PAID, False, "paid twice"),
        (InvoiceStatus.VOID, False, "settled after the end"),
    ],
)
@pytest.mark.parametrize(
    "status", [status for status in ChargeStatus if status is not ChargeStatus.SUCCEEDED]
)
def test_money_pays_what_is_owed_and_goes_back_otherwise(
    status: ChargeStatus, invoice: InvoiceStatus, pays: bool, give_back: str | None
) -> None:
    """Late money still counts; money for a paid or void invoice is surplus, and is refunded."""
    decision = settle(facts(status, invoice_status=invoice), Succeeded(), Source.STATUS)

    assert decision.status is ChargeStatus.SUCCEEDED
    assert decision.pays is pays
    assert decision.surplus is not pays
    assert decision.give_back == give_back
    assert ("invoice.paid" in kinds(decision)) is pays
    assert decision.retry_at is None
    assert not decision.gives_up


@pytest.mark.parametrize("status", [ChargeStatus.DECLINED, ChargeStatus.UNSENT])
def test_success_of_a_charge_that_had_ended_is_told_as_late(status: ChargeStatus) -> None:
    """A gateway's FAILED is not final; the event says that the success came late."""
    decision = settle(facts(status), Succeeded(), Source.STATUS)

    told = {"source": Source.STATUS, "late": True}
    assert decision.events == (("charge.succeeded", told), ("invoice.paid", {}))


@pytest.mark.parametrize(
    "news", [Succeeded(), declined(), Unsent("not_connected")], ids=["paid", "declined", "unsent"]
)
@pytest.mark.parametrize(
    ("invoice", "other_open", "move"),
    [
        (InvoiceStatus.VOID, False, SubscriptionMove.COMPLETE),
        (InvoiceStatus.PAID, False, SubscriptionMove.COMPLETE),
        (InvoiceStatus.VOID, True, None),
    ],
)
def test_a_term_ends_with_the_last_news_of_it(
    news: Outcome, invoice: InvoiceStatus, other_open: bool, move: SubscriptionMove | None
) -> None:
    """When nothing is owed any more, the last unresolved charge alone kept it active."""
    known = facts(invoice_status=invoice, last_cycle=True, other_open=other_open)

    assert settle(known, news).move is move
    assert settle(replace(known, last_cycle=False), news).move is None


@pytest.mark.parametrize(
    ("status", "last_cycle", "other_open", "move"),
    [
        (SubscriptionStatus.ACTIVE, False, False, None),
        (SubscriptionStatus.ACTIVE, True, False, SubscriptionMove.COMPLETE),
        (SubscriptionStatus.ACTIVE, True, True, None),
        (SubscriptionStatus.PAST_DUE, False, False, SubscriptionMove.RECOVER),
        (SubscriptionStatus.PAST_DUE, False, True, None),
        (SubscriptionStatus.PAST_DUE, True, False, SubscriptionMove.COMPLETE),
        (SubscriptionStatus.PAST_DUE, True, True, None),
        (SubscriptionStatus.UNPAID, False, False, SubscriptionMove.RECOVER),
        (SubscriptionStatus.UNPAID, False, True, None),
        (SubscriptionStatus.PAUSED, False, False, None),
        (SubscriptionStatus.PAUSED, True, False, None),
        (SubscriptionStatus.CANCELED, False, False, None),
        (SubscriptionStatus.CANCELED, True, False, None),
        (SubscriptionStatus.COMPLETED, True, False, None),
    ],
)
def test_payment_moves_the_subscription_when_nothing_else_is_owed(
    status: SubscriptionStatus, last_cycle: bool, other_open: bool, move: SubscriptionMove | None
) -> None:
    """The last cycle completes it, one that was past due recovers, an ended one stays ended."""
    known = facts(subscription_status=status, last_cycle=last_cycle, other_open=other_open)

    assert settle(known, Succeeded()).move is move


def test_surplus_does_not_move_the_subscription() -> None:
    """Refunded money has paid nothing."""
    known = facts(
        invoice_status=InvoiceStatus.VOID, subscription_status=SubscriptionStatus.PAST_DUE
    )

    assert settle(known, Succeeded()).move is None


def test_unsent_charge_of_a_closed_invoice_is_not_tried_again() -> None:
    """Nothing is owed any more."""
    decision = settle(facts(invoice_status=InvoiceStatus.VOID), Unsent("refused"))

    assert decision.status is ChargeStatus.UNSENT
    assert decision.retry_at is None


@pytest.mark.parametrize("invoice", sorted(set(InvoiceStatus) - {InvoiceStatus.OPEN}))
@pytest.mark.parametrize("now_by_answer", [True, False])
def test_a_charge_unsent_by_an_answer_is_unknown_when_its_invoice_is_closed(
    invoice: InvoiceStatus, *, now_by_answer: bool
) -> None:
    """No later sending would show that money moved despite a 429."""
    known = facts(invoice_status=invoice, unsent_by_answer=not now_by_answer)

    decision = settle(known, Unsent("rate_limited", by_answer=now_by_answer))

    assert decision.status is ChargeStatus.UNKNOWN
    assert_not_stuck(known, decision, NOW)


def test_a_decline_after_an_answer_that_it_was_unsent_is_asked_about() -> None:
    """It may be the answer to a second sending."""
    known = facts(unsent_by_answer=True)

    decision = settle(known, declined())

    assert decision.status is ChargeStatus.UNKNOWN
    assert decision.next_check_at is not None


def test_the_row_keeps_that_only_an_answer_said_so() -> None:
    """A refused connection afterwards does not take it back."""
    assert settle(facts(), Unsent("rate_limited", by_answer=True)).by_answer
    assert not settle(facts(), Unsent("not_connected")).by_answer


@pytest.mark.parametrize("sends", [2, 3, 9])
def test_unsent_on_a_resent_charge_is_unknown(sends: int) -> None:
    """This sending moved nothing, but an earlier one of the same charge may have."""
    known = facts(sends=sends, status_queries=3)

    decision = settle(known, Unsent("connection refused"))

    assert decision.status is ChargeStatus.UNKNOWN
    assert decision.retry_at is None
    assert_not_stuck(known, decision, NOW)


def test_a_success_is_booked_once_whoever_brings_it() -> None:
    """A live answer, a status query and an operator say the same: the first pays."""
    known = facts()
    paid = applied(known, settle(known, Succeeded()), NOW)

    for source in Source:
        assert decide(paid, Succeeded(), source, now=NOW + DAY, limits=LIMITS) is None


def test_a_second_charges_success_is_surplus_once() -> None:
    """Paid by charge 2, late news of charge 1: refunded, and never twice."""
    late = facts(ChargeStatus.DECLINED, invoice_status=InvoiceStatus.PAID)
    decision = settle(late, Succeeded(), Source.STATUS)

    assert decision.give_back == "paid twice"
    assert (
        decide(applied(late, decision, NOW), Succeeded(), Source.LIVE, now=NOW, limits=LIMITS)
        is None
    )


def test_events_say_what_when_who_why_and_about_what() -> None:
    """Every event has the same eight keys, and its own facts apart from them."""
    by = Actor("anna", "customer called")

    told = event("charge.declined", at=NOW, by=by, customer_id="c-1", code="E51")

    assert told == {
        "kind": "charge.declined",
        "at": NOW,
        "actor": "anna",
        "reason": "customer called",
        "customer_id": "c-1",
        "subscription_id": None,
        "invoice_id": None,
        "charge_id": None,
        "data": {"code": "E51"},
    }
    assert event("clock.set", at=NOW)["actor"] == "scheduler"
    assert OPERATOR.reason is None

"""Unresolved charges: when they get status queries, and what an answer proves."""

import re
from datetime import datetime, timedelta

import pytest

from billing.domain import charge
from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
    Unsent,
    Waiting,
)
from billing.domain.settlement import Facts, Source, decide
from tests.unit.settlement_world import (
    DAY,
    HORIZON,
    HOUR,
    LIMITS,
    MINUTE,
    NOW,
    SENT,
    applied,
    assert_not_stuck,
    declined,
    facts,
    kinds,
    settle,
)

STATUS = Source.STATUS
UNKNOWN, PENDING = ChargeStatus.UNKNOWN, ChargeStatus.PENDING
ASKS = [timedelta(seconds=60), 5 * MINUTE, HOUR, *[DAY] * 7]
AFTER_HORIZON = SENT + HORIZON


def test_questions_are_asked_after_a_minute_five_an_hour_and_daily_for_a_week() -> None:
    """DOKU wants 60 s first; after the last question there is no further one."""
    assert [charge.query_after(asks) for asks in range(len(ASKS))] == ASKS
    assert charge.query_after(len(ASKS)) is None
    assert charge.query_after(10_000) is None


@pytest.mark.parametrize(
    ("news", "status"), [(Unknown("timeout"), UNKNOWN), (Pending(Waiting.CUSTOMER), PENDING)]
)
def test_unresolved_charge_is_asked_about_on_schedule_and_then_parked(
    news: Outcome, status: ChargeStatus
) -> None:
    """Each status query has its time; after the last one the charge is parked with an alarm."""
    known, now = facts(), SENT
    decision = settle(known, news, now=now)
    waits = []
    while decision.next_check_at is not None:
        known = applied(known, decision, now)
        waits.append(decision.next_check_at - now)
        now = decision.next_check_at
        decision = settle(known, news, STATUS, now=now)

    assert waits == ASKS
    assert decision.parked
    assert decision.status is status
    assert decision.events[-1] == ("charge.parked", {"status_queries": len(ASKS)})


@pytest.mark.parametrize("status_queries", [len(ASKS) - 1, len(ASKS), 50])
@pytest.mark.parametrize(
    "news", [Unknown("timeout"), Pending(Waiting.CUSTOMER), NotFound()], ids=repr
)
@pytest.mark.parametrize("now", [NOW, AFTER_HORIZON], ids=["before horizon", "after horizon"])
def test_no_answer_starts_the_questions_again_after_the_last(
    status_queries: int, news: Outcome | NotFound, now: datetime
) -> None:
    """Queries and sendings end: after the last query only an operator can continue."""
    known = facts(UNKNOWN, status_queries=status_queries)

    decision = settle(known, news, STATUS, now=now)

    assert decision.parked
    assert not decision.resend
    assert_not_stuck(known, decision, now)


def test_live_answers_spend_no_question() -> None:
    """Only what was asked of the status API counts as asked."""
    for news in (Unknown("timeout"), Pending(Waiting.CUSTOMER)):
        decision = settle(facts(), news)

        assert not decision.asked
        assert decision.next_check_at == NOW + timedelta(seconds=60)


def test_unknown_keeps_its_reason_and_is_told_once() -> None:
    """The event says why it is unknown; a repeated unknown writes no event."""
    first = settle(facts(), Unknown("timeout"))
    again = settle(facts(UNKNOWN), Unknown("timeout"), STATUS)

    assert first.message == "timeout"
    assert first.events == (("charge.unknown", {"why": "timeout"}),)
    assert again.events == ()


@pytest.mark.parametrize("status", [ChargeStatus.IN_FLIGHT, UNKNOWN, PENDING])
def test_failed_by_status_is_believed_only_at_a_second_read_five_minutes_later(
    status: ChargeStatus,
) -> None:
    """The first read notes when it was seen, and is checked five minutes after that."""
    known = facts(status)
    first = settle(known, declined(), STATUS, now=NOW)

    assert first.status in {UNKNOWN, PENDING}
    assert first.failed_seen_at == NOW
    assert first.next_check_at == NOW + 5 * MINUTE
    assert first.retry_at is None
    assert first.fault is None

    seen = applied(known, first, NOW)
    early = settle(seen, declined(), STATUS, now=NOW + 5 * MINUTE - timedelta(seconds=1))
    assert early.status in {UNKNOWN, PENDING}
    assert early.failed_seen_at == NOW
    assert early.next_check_at == NOW + 5 * MINUTE

    second = settle(seen, declined(), STATUS, now=NOW + 5 * MINUTE)
    assert second.status is ChargeStatus.DECLINED
    assert second.fault is Fault.INSUFFICIENT_FUNDS
    assert second.asked


@pytest.mark.parametrize("source", [Source.LIVE, Source.OPERATOR])
def test_a_live_decline_and_an_operators_word_are_believed_at_once(source: Source) -> None:
    """Only the status API's FAILED is not final; an operator's verdict needs an old charge."""
    known = facts(UNKNOWN, parked=source is Source.OPERATOR)

    assert settle(known, declined(), source).status is ChargeStatus.DECLINED


@pytest.mark.parametrize("outcome", [Succeeded(), declined()], ids=["succeeded", "declined"])
def test_a_persons_word_counts_for_what_is_old_or_parked_and_off_the_wire(
    outcome: Outcome,
) -> None:
    """A verdict about a charge on the wire, or about a young one, is refused."""

    def counts(known: Facts, now: datetime = NOW) -> bool:
        decision = decide(known, outcome, Source.OPERATOR, now=now, limits=LIMITS)
        return decision is not None and decision.status not in UNRESOLVED

    assert not counts(facts(UNKNOWN))
    assert counts(facts(UNKNOWN, parked=True))
    assert counts(facts(UNKNOWN), AFTER_HORIZON)
    assert counts(facts(PENDING), AFTER_HORIZON)
    assert not counts(facts(ChargeStatus.IN_FLIGHT), AFTER_HORIZON)
    assert not counts(facts(ChargeStatus.IN_FLIGHT, parked=True), AFTER_HORIZON)


def test_success_after_a_failed_read_is_booked() -> None:
    """The second query may say the opposite, and a success wins."""
    decision = settle(facts(UNKNOWN, failed_seen_at=NOW), Succeeded(), STATUS, now=NOW + DAY)

    assert decision.pays
    assert decision.status is ChargeStatus.SUCCEEDED


def test_pending_after_a_failed_read_takes_the_failure_back() -> None:
    """A FAILED counts when a second query repeats it, and this one does not."""
    known = facts(UNKNOWN, failed_seen_at=NOW)
    waiting = settle(known, Pending(Waiting.CUSTOMER), STATUS, now=NOW + 5 * MINUTE)

    later = NOW + 6 * MINUTE
    decision = settle(applied(known, waiting, later), declined(), STATUS, now=later)

    assert decision.status is PENDING
    assert decision.failed_seen_at == later


def test_an_unreadable_answer_after_a_failed_read_takes_nothing_back() -> None:
    """An unknown outcome moves no money either way."""
    known = facts(UNKNOWN, failed_seen_at=NOW)
    decision = settle(known, Unknown("timeout"), STATUS, now=NOW + 5 * MINUTE)

    assert decision.failed_seen_at == NOW


def test_failed_at_the_last_question_is_asked_about_once_more_without_an_alarm() -> None:
    """The alarm says that a charge is parked, so it must not be raised for another one."""
    known = facts(UNKNOWN, status_queries=len(ASKS) - 1)

    decision = settle(known, declined(), STATUS)

    assert decision.next_check_at == NOW + 5 * MINUTE
    assert not decision.parked
    assert "charge.parked" not in kinds(decision)


@pytest.mark.parametrize("waiting", list(Waiting))
def test_the_reason_of_a_pending_charge_is_kept_and_recorded(waiting: Waiting) -> None:
    """Neither is a decline; an event names what the customer has to do."""
    decision = settle(facts(), Pending(waiting))

    assert decision.status is PENDING
    assert decision.waiting is waiting
    assert decision.retry_at is None
    assert decision.events == (("charge.pending", {"waiting": waiting}),)


def test_expired_token_is_news_for_a_charge_that_was_only_pending() -> None:
    """A status query said PENDING while the live answer, TOKEN_EXPIRED, was still on its way."""
    decision = settle(
        facts(PENDING, waiting=Waiting.CUSTOMER), Pending(Waiting.TOKEN_EXPIRED), Source.LIVE
    )

    assert decision.status is PENDING
    assert decision.waiting is Waiting.TOKEN_EXPIRED
    assert decision.events == (("charge.pending", {"waiting": Waiting.TOKEN_EXPIRED}),)


def test_a_plain_pending_does_not_make_an_expired_token_forgotten() -> None:
    """Check Status knows no TOKEN_EXPIRED; its PENDING takes nothing back."""
    known = facts(PENDING, waiting=Waiting.TOKEN_EXPIRED)

    decision = settle(known, Pending(Waiting.CUSTOMER), STATUS)

    assert applied(known, decision, NOW).waiting is Waiting.TOKEN_EXPIRED


def test_operator_ends_a_parked_charge_either_way() -> None:
    """After the last query an operator decides, and the same function settles the verdict."""
    parked = facts(UNKNOWN, status_queries=len(ASKS), parked=True)

    assert settle(parked, Succeeded(), Source.OPERATOR).pays
    refused = settle(parked, Declined(Fault.OTHER, "operator"), Source.OPERATOR)
    assert refused.status is ChargeStatus.DECLINED
    assert refused.retry_at is not None


def test_unsent_is_no_news_of_a_charge_that_was_asked_about() -> None:
    """A status query made it unknown in between: only asking resolves it."""
    assert decide(facts(UNKNOWN), Unsent("refused"), Source.LIVE, now=NOW, limits=LIMITS) is None


def test_events_are_named_as_a_noun_and_what_happened_to_it() -> None:
    """The form is `noun.verb_past`."""
    told = [
        *kinds(settle(facts(), Succeeded())),
        *kinds(settle(facts(), declined())),
        *kinds(settle(facts(), Unsent("refused"))),
        *kinds(settle(facts(UNKNOWN, status_queries=len(ASKS)), Unknown("timeout"), STATUS)),
        *kinds(settle(facts(UNKNOWN), NotFound(), STATUS, now=AFTER_HORIZON)),
    ]

    assert all(re.fullmatch(r"[a-z]+\.[a-z]+", kind) for kind in told)
    assert len(set(told)) == 6

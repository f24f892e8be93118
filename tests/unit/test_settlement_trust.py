"""An end that cannot be undone needs a second query, and an operator's verdict is checked later."""

from dataclasses import replace

import pytest

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.dunning import Policy
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
    Waiting,
)
from billing.domain.settlement import Facts, Source, decide
from tests.unit.settlement_world import (
    DAY,
    DEFAULT_STEPS,
    HORIZON,
    LIMITS,
    MINUTE,
    NOW,
    SENT,
    applied,
    assert_not_stuck,
    facts,
    kinds,
    settle,
)

STATUS, UNKNOWN, PENDING = Source.STATUS, ChargeStatus.UNKNOWN, ChargeStatus.PENDING
FAILED = Declined(Fault.OTHER, "failed")
ASKED = NOW + MINUTE


def suspected(fault: Fault, **changes: object) -> Facts:
    """A charge that a live answer declined, as it is on record afterwards."""
    known = facts(**changes)
    return applied(known, settle(known, Declined(fault, "E9", "why")), NOW)


@pytest.mark.parametrize("fault", [Fault.HARD, Fault.WALLET])
def test_a_live_decline_that_ends_something_for_good_is_asked_about_first(fault: Fault) -> None:
    """One answer cancels nothing and expires no wallet; the suspected reason is stored."""
    known = facts()

    decision = settle(known, Declined(fault, "E9", "why"))

    assert decision.status is UNKNOWN
    assert (decision.fault, decision.code, decision.message) == (fault, "E9", "why")
    assert decision.next_check_at == ASKED
    assert (decision.gives_up, decision.wallet_lost, decision.retry_at) == (False, False, None)
    assert kinds(decision) == ["charge.unknown"]
    assert_not_stuck(known, decision, NOW)


def test_the_last_step_is_asked_about_and_the_others_are_not() -> None:
    """An insufficient balance is final during the steps; giving up needs a second query."""
    ladder, none_left = Policy(DEFAULT_STEPS), Policy(())
    short = Declined(Fault.INSUFFICIENT_FUNDS, "E51")

    assert settle(facts(policy=ladder), short).status is ChargeStatus.DECLINED
    assert settle(facts(policy=none_left), short).status is UNKNOWN


@pytest.mark.parametrize("answer", [FAILED, NotFound()], ids=["failed", "not found"])
@pytest.mark.parametrize("fault", [Fault.HARD, Fault.WALLET])
def test_a_suspected_decline_is_confirmed_by_one_answer(
    fault: Fault, answer: Outcome | NotFound
) -> None:
    """A decline was read already: FAILED counts at once, and so does "not found"."""
    decision = settle(suspected(fault), answer, STATUS, now=ASKED)

    assert decision.status is ChargeStatus.DECLINED
    assert (decision.fault, decision.code) == (fault, "E9")
    assert decision.gives_up is (fault is Fault.HARD)
    assert decision.wallet_lost is (fault is Fault.WALLET)
    assert not decision.never_received
    assert not decision.resend


def test_a_suspected_decline_that_was_a_payment_is_paid() -> None:
    """The status query says SUCCESS: the decline did not count."""
    decision = settle(suspected(Fault.HARD), Succeeded(), STATUS, now=ASKED)

    assert decision.pays


@pytest.mark.parametrize("answer", [Unknown("timeout"), Pending(Waiting.CUSTOMER)])
def test_a_suspected_decline_that_is_not_confirmed_stays_open(answer: Outcome) -> None:
    """It is queried by the usual rules, and keeps its suspected decline."""
    known = suspected(Fault.HARD)
    decision = settle(known, answer, STATUS, now=ASKED)

    assert decision.status in UNRESOLVED
    assert applied(known, decision, ASKED).suspected == known.suspected
    assert_not_stuck(known, decision, ASKED)


def test_a_pending_after_the_decline_asks_for_two_reads_again() -> None:
    """The gateway contradicts itself, so that one FAILED is not enough any more."""
    known = suspected(Fault.HARD)
    known = applied(known, settle(known, Pending(Waiting.CUSTOMER), STATUS, now=ASKED), ASKED)

    first = settle(known, FAILED, STATUS, now=ASKED + MINUTE)
    assert first.status is PENDING
    again = applied(known, first, ASKED + MINUTE)
    second = settle(again, FAILED, STATUS, now=ASKED + 6 * MINUTE)

    assert (second.status, second.fault) == (ChargeStatus.DECLINED, Fault.HARD)


@pytest.mark.parametrize("fault", list(Fault))
def test_no_answer_to_a_second_sending_is_final_by_itself(fault: Fault) -> None:
    """It may be about the repeat: the first sending may have been paid."""
    decision = settle(facts(sends=2), Declined(fault, "E1"))

    assert decision.status is UNKNOWN
    assert decision.next_check_at == ASKED


@pytest.mark.parametrize("answer", [FAILED, NotFound()], ids=["failed", "not found"])
@pytest.mark.parametrize(
    "known",
    [
        suspected(Fault.HARD, tripped=True),
        suspected(Fault.WALLET, tripped=True),
        facts(UNKNOWN, failed_seen_at=SENT - DAY, policy=Policy(()), tripped=True),
        facts(PENDING, failed_seen_at=SENT - DAY, waiting=Waiting.TOKEN_EXPIRED, tripped=True),
    ],
    ids=["hard", "wallet", "last step", "expired token"],
)
def test_nothing_ends_for_good_while_the_breaker_has_stopped_charging(
    known: Facts, answer: Outcome | NotFound
) -> None:
    """A broken gateway's answer is queried again, until an operator starts charging."""
    now = SENT + HORIZON

    decision = settle(known, answer, STATUS, now=now)

    assert decision.status in UNRESOLVED or decision.resend
    assert not decision.gives_up
    assert not decision.wallet_lost
    if not decision.resend:
        assert decision.next_check_at is not None
        assert not decision.parked


@pytest.mark.parametrize("answer", [FAILED, NotFound()], ids=["failed", "not found"])
def test_expired_token_without_a_payment_needs_the_customer(answer: Outcome | NotFound) -> None:
    """TOKEN_EXPIRED, then FAILED or nothing: the wallet expires and no step is spent."""
    known = facts(PENDING, waiting=Waiting.TOKEN_EXPIRED, failed_seen_at=SENT)

    decision = settle(known, answer, STATUS, now=SENT + HORIZON)

    assert (decision.status, decision.fault) == (ChargeStatus.DECLINED, Fault.WALLET)
    assert decision.wallet_lost
    assert decision.blocked_on is Blocked.WALLET
    assert decision.first_failed_at is None


@pytest.mark.parametrize(
    "known",
    [facts(UNKNOWN, policy=Policy(())), facts(PENDING, waiting=Waiting.TOKEN_EXPIRED)],
    ids=["last step", "expired token"],
)
def test_an_end_known_only_from_status_queries_waits_for_the_breakers_window(known: Facts) -> None:
    """An end without a live answer is counted at once, and final after the window."""
    limits = replace(LIMITS, confirm_after=6 * MINUTE)

    first = decide(known, FAILED, STATUS, now=NOW, limits=limits)
    assert first is not None
    assert first.odd
    assert first.next_check_at == NOW + 6 * MINUTE
    known = applied(known, first, NOW)
    early = decide(known, FAILED, STATUS, now=NOW + 5 * MINUTE, limits=limits)
    assert early is not None
    assert early.status in UNRESOLVED
    assert not early.odd
    assert early.next_check_at == NOW + 6 * MINUTE
    last = decide(known, FAILED, STATUS, now=NOW + 6 * MINUTE, limits=limits)
    assert last is not None
    assert last.gives_up or last.wallet_lost


UNSIGNED = replace(FAILED, is_signed=False)


@pytest.mark.parametrize(
    "known",
    [
        facts(UNKNOWN, failed_seen_at=SENT, policy=Policy(())),
        facts(PENDING, failed_seen_at=SENT, waiting=Waiting.TOKEN_EXPIRED),
        facts(PENDING, failed_seen_at=SENT, suspected=Declined(Fault.HARD, "E9")),
    ],
    ids=["last step", "expired token", "a decline that was taken back"],
)
def test_unsigned_answers_alone_end_nothing_for_good(known: Facts) -> None:
    """FAILED without a signature: an operator decides, and the verdict settles it."""
    now = SENT + HORIZON

    decision = settle(known, UNSIGNED, STATUS, now=now)

    assert decision.parked
    assert decision.status in UNRESOLVED
    assert not decision.gives_up
    assert not decision.wallet_lost
    assert kinds(decision) == ["charge.parked"]
    assert_not_stuck(known, decision, now)
    parked = replace(applied(known, decision, now), parked=True)
    by_word = settle(parked, FAILED, Source.OPERATOR, now=now)
    assert by_word.gives_up or by_word.wallet_lost or by_word.retry_at is not None


def test_unsigned_answers_end_what_is_tried_again() -> None:
    """Two unsigned queries end a plain decline; one ends a hard decline that was live before."""
    plain = facts(UNKNOWN, failed_seen_at=SENT)
    assert settle(plain, UNSIGNED, STATUS, now=SENT + HORIZON).retry_at is not None

    assert settle(suspected(Fault.HARD), UNSIGNED, STATUS, now=ASKED).gives_up


@pytest.mark.parametrize("fault", list(Fault))
def test_want_of_money_on_the_last_step_is_not_odd(fault: Fault) -> None:
    """It is the usual end of the last step; every other end counts for the breaker."""
    decision = settle(facts(policy=Policy(())), Declined(fault, "E1"))

    usual = {Fault.INSUFFICIENT_FUNDS, Fault.LIMIT}
    no_end = {Fault.TECHNICAL}
    assert decision.odd == (fault not in usual | no_end)


@pytest.mark.parametrize("answer", [FAILED, NotFound()], ids=["failed", "not found"])
@pytest.mark.parametrize("waiting", list(Waiting))
def test_a_person_who_started_charging_again_keeps_the_wallets(
    waiting: Waiting, answer: Outcome | NotFound
) -> None:
    """What was denied while the breaker had stopped charging is technical, and ends no wallet."""
    disbelieved = Declined(Fault.TECHNICAL, "")
    known = facts(PENDING, waiting=waiting, failed_seen_at=SENT, suspected=disbelieved)

    decision = settle(known, answer, STATUS, now=SENT + HORIZON)

    assert (decision.status, decision.fault) == (ChargeStatus.DECLINED, Fault.TECHNICAL)
    assert not decision.wallet_lost
    assert not decision.gives_up


def test_only_our_own_marker_says_that_the_gateway_never_had_it() -> None:
    """A gateway's code may be the very text; the same charge is not sent again for it."""
    live = settle(facts(), Declined(Fault.OTHER, "not_found"))
    marked = settle(
        facts(UNKNOWN, invoice_status=InvoiceStatus.VOID), NotFound(), STATUS, now=SENT + HORIZON
    )

    assert not live.never_received
    assert marked.never_received


def word(status: ChargeStatus) -> Facts:
    """A charge that an operator resolved."""
    invoice = InvoiceStatus.PAID if status is ChargeStatus.SUCCEEDED else InvoiceStatus.OPEN
    return facts(status, invoice_status=invoice, resolved_at=NOW)


def test_money_that_moved_against_a_persons_word_is_booked() -> None:
    """Resolved as declined, and SUCCESS later: late money, and a recorded contradiction."""
    decision = settle(word(ChargeStatus.DECLINED), Succeeded(), STATUS, now=NOW + DAY)

    assert decision.pays
    assert kinds(decision) == ["charge.contradicted", "charge.succeeded", "invoice.paid"]


@pytest.mark.parametrize("answer", [FAILED, NotFound()], ids=["failed", "not found"])
def test_money_that_did_not_move_against_a_persons_word_is_for_a_person(
    answer: Outcome | NotFound,
) -> None:
    """The settlement stays; the contradiction is recorded, and the queries end."""
    decision = settle(word(ChargeStatus.SUCCEEDED), answer, STATUS, now=NOW + DAY)

    assert decision.contradicted
    assert decision.rechecked
    assert decision.next_check_at is None
    assert kinds(decision) == ["charge.contradicted"]


@pytest.mark.parametrize("days", [1, 6, 7, 8])
def test_a_persons_word_is_asked_about_for_a_week(days: int) -> None:
    """It is queried daily for a time; an equal answer changes nothing."""
    now = NOW + days * DAY
    decision = settle(word(ChargeStatus.DECLINED), FAILED, STATUS, now=now)

    assert decision.rechecked
    assert decision.next_check_at == (now + DAY if days < 7 else None)
    agreed = settle(word(ChargeStatus.SUCCEEDED), Succeeded(), STATUS, now=now)
    assert (agreed.next_check_at, agreed.events) == (None, ())


def notified(status: ChargeStatus) -> Facts:
    """A settled charge that a notification contradicted, so that it is queried."""
    return replace(word(status), resolved_at=None, notified=True)


def test_a_success_after_a_notification_is_late_money() -> None:
    """Declined, and paid after all: it is recorded, and nobody had said otherwise."""
    decision = settle(notified(ChargeStatus.DECLINED), Succeeded(), STATUS, now=NOW + DAY)

    assert decision.pays
    assert kinds(decision) == ["charge.succeeded", "invoice.paid"]


@pytest.mark.parametrize("answer", [FAILED, NotFound()], ids=["failed", "not found"])
def test_a_denied_payment_after_a_notification_is_for_an_operator(
    answer: Outcome | NotFound,
) -> None:
    """The charge stays succeeded; the contradiction is recorded, and the queries end."""
    decision = settle(notified(ChargeStatus.SUCCEEDED), answer, STATUS, now=NOW + DAY)

    assert (decision.contradicted, decision.rechecked) == (True, True)
    assert decision.next_check_at is None
    [(kind, data)] = decision.events
    assert kind == "charge.contradicted"
    assert data["why"].startswith("the gateway said succeeded, the gateway says ")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (ChargeStatus.DECLINED, FAILED),
        (ChargeStatus.DECLINED, NotFound()),
        (ChargeStatus.SUCCEEDED, Succeeded()),
    ],
)
def test_an_agreeing_answer_after_a_notification_ends_the_queries(
    status: ChargeStatus, answer: Outcome | NotFound
) -> None:
    """The notification was wrong, or old; nothing is written but the end of the queries."""
    decision = settle(notified(status), answer, STATUS, now=NOW + DAY)

    assert (decision.rechecked, decision.contradicted) == (True, False)
    assert (decision.next_check_at, decision.events) == (None, ())


@pytest.mark.parametrize("status", [ChargeStatus.DECLINED, ChargeStatus.SUCCEEDED])
@pytest.mark.parametrize("answer", [Unknown("timeout"), Pending(Waiting.CUSTOMER)])
def test_an_uncertain_answer_after_a_notification_is_asked_for_again(
    status: ChargeStatus, answer: Outcome
) -> None:
    """By the usual schedule, which has an end."""
    known = notified(status)

    decision = settle(known, answer, STATUS, now=NOW)
    assert decision.next_check_at == NOW + 5 * MINUTE
    last = settle(replace(known, status_queries=9), answer, STATUS, now=NOW)
    assert (last.rechecked, last.next_check_at) == (True, None)


@pytest.mark.parametrize("source", [Source.LIVE, Source.OPERATOR])
def test_only_an_answer_to_a_query_counts_after_a_notification(source: Source) -> None:
    """A late live answer or an operator changes a settled charge as little as before."""
    known = notified(ChargeStatus.SUCCEEDED)

    assert decide(known, FAILED, source, now=NOW, limits=LIMITS) is None

"""The effect of every answer on a refund in every recorded state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    Pending,
    RefundOutcome,
    StatusOutcome,
    Succeeded,
    Unknown,
    Unsent,
    Waiting,
)
from billing.domain.refund import RefundPurpose, RefundStatus
from billing.domain.refund_settlement import Facts, decide_asked, decide_live

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SENT = datetime(2026, 1, 31, 2, tzinfo=UTC)
HORIZON = 15 * MINUTE
ON_THE_WIRE = Facts(
    RefundStatus.IN_FLIGHT, RefundPurpose.OPERATOR, SENT, attempts=1, unsent_attempts=0, waits=0
)
UNKNOWN = replace(ON_THE_WIRE, status=RefundStatus.UNKNOWN, waits=1)
FAILED = Declined(Fault.OTHER, "failed")
LIVE: list[RefundOutcome] = [Succeeded(), FAILED, Unsent("refused"), Unknown("timeout")]
ASKED: list[StatusOutcome] = [
    Succeeded(), FAILED, NotFound(), Pending(Waiting.CUSTOMER), Unknown("timeout"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "only", "status"),
    [
        (Succeeded(), True, "succeeded"),
        (Succeeded(), False, "succeeded"),
        (FAILED, True, "unknown"),
        (FAILED, False, "unknown"),
        (Unsent("refused"), True, "requested"),
        (Unsent("refused"), False, "unknown"),
        (Unknown("timeout"), True, "unknown"),
        (Unknown("timeout"), False, "unknown"),
    ],
)
def test_only_a_success_is_believed_at_once(
    outcome: RefundOutcome, only: bool, status: str
) -> None:
    """No other answer to a sending settles a refund, and none releases its money."""
    decision = decide_live(replace(ON_THE_WIRE, attempts=1 if only else 2), outcome, SENT)
    assert decision.status == status
    assert decision.is_final == (status == "succeeded")
    assert (decision.declined_seen_at is not None) == (outcome is FAILED and only)


def test_an_answer_that_calls_a_sending_unsent_is_no_proof() -> None:
    """The refund is sent again at leisure; but no decline of it counts that is confirmed once."""
    unsent_attempts = decide_live(ON_THE_WIRE, Unsent("http_429", by_answer=True), SENT)
    assert (unsent_attempts.status, unsent_attempts.unsent_attempts) == (
        RefundStatus.REQUESTED,
        True,
    )
    assert unsent_attempts.by_answer
    assert not decide_live(ON_THE_WIRE, Unsent("not_connected"), SENT).by_answer

    again = replace(ON_THE_WIRE, attempts=2, unsent_attempts=1, unsent_by_answer=True)
    assert decide_live(again, FAILED, SENT).declined_seen_at is None
    certain = replace(again, unsent_by_answer=False)
    assert decide_live(certain, FAILED, SENT).declined_seen_at == SENT
    assert decide_live(again, Unsent("http_429"), SENT).status is RefundStatus.REQUESTED


def test_a_decline_is_asked_about_after_a_minute() -> None:
    """Not by the schedule of what is unknown, and not at once."""
    decision = decide_live(ON_THE_WIRE, FAILED, SENT)
    assert (decision.next_attempt_at, decision.code) == (SENT + MINUTE, "failed")


MEMORIES = list(product([None, SENT], [None, SENT, SENT + 6 * MINUTE], [1, 5, 6], [MINUTE, HOUR]))


@pytest.mark.parametrize("purpose", RefundPurpose)
@pytest.mark.parametrize("answer", ASKED)
def test_every_answer_in_every_state(answer: StatusOutcome, purpose: RefundPurpose) -> None:
    """Only a proof ends a refund; otherwise it has a date, is sent again, or is parked."""
    for declined, failed, waits, age in MEMORIES:
        facts = replace(
            UNKNOWN, purpose=purpose, waits=waits, declined_seen_at=declined, failed_seen_at=failed
        )
        now = SENT + 6 * MINUTE + age
        decision = decide_asked(facts, answer, now, HORIZON)
        agreed = declined is not None and isinstance(answer, Declined | NotFound)
        twice = isinstance(answer, Declined) and failed is not None and now - failed >= 5 * MINUTE
        ended = isinstance(answer, Succeeded) or agreed or twice
        assert decision.is_final == ended
        if ended and not isinstance(answer, Succeeded):
            must = purpose in {"cancel", "surplus", "void"}
            assert decision.status == ("unreturned" if must else "declined")
        ways = (decision.next_attempt_at is not None, decision.resend, decision.parked)
        assert sum(ways) == (0 if ended else 1)
        if decision.resend:
            assert isinstance(answer, NotFound)
            assert now >= SENT + HORIZON
            assert declined is None


def test_a_decline_that_pending_takes_back_asks_for_two_reads_again() -> None:
    """The gateway contradicts itself, so that one FAILED or "not found" is not enough any more."""
    declined = replace(UNKNOWN, declined_seen_at=SENT)

    taken_back = decide_asked(declined, Pending(Waiting.CUSTOMER), SENT + MINUTE, HORIZON)
    assert (taken_back.declined_seen_at, taken_back.failed_seen_at) == (None, None)

    afterwards = replace(UNKNOWN, waits=taken_back.waits)
    for answer in (FAILED, NotFound()):
        assert not decide_asked(afterwards, answer, SENT + 2 * MINUTE, HORIZON).is_final


def test_unsigned_answers_alone_set_no_money_free() -> None:
    """FAILED twice without a signature: it is parked. A signed decline before it is enough."""
    unsigned = replace(FAILED, is_signed=False)
    seen = replace(UNKNOWN, failed_seen_at=SENT)

    parked = decide_asked(seen, unsigned, SENT + HOUR, HORIZON)

    assert (parked.status, parked.parked) == (RefundStatus.UNKNOWN, True)
    assert (parked.next_attempt_at, parked.failed_seen_at) == (None, SENT)
    declined = replace(UNKNOWN, declined_seen_at=SENT)
    assert decide_asked(declined, unsigned, SENT + HOUR, HORIZON).is_final


def test_an_unknown_refund_is_tried_for_half_a_day() -> None:
    """Return the dates of a refund without answers, to its end."""
    facts, now, dates = UNKNOWN, SENT + MINUTE, []
    while True:
        decision = decide_asked(facts, Unknown("timeout"), now, HORIZON)
        if decision.next_attempt_at is None:
            break
        dates.append(decision.next_attempt_at - SENT)
        facts, now = replace(facts, waits=decision.waits), decision.next_attempt_at
    assert decision.parked
    assert [span // MINUTE for span in dates] == [6, 21, 81, 441, 801]


def test_a_refund_that_never_arrived_is_sent_again_for_ten_days() -> None:
    """The gateway was not reached: nothing is unknown, and no date is too late."""
    facts, now, count = ON_THE_WIRE, SENT, 0
    while True:
        decision = decide_live(facts, Unsent("refused"), now)
        if decision.next_attempt_at is None:
            break
        now, count = decision.next_attempt_at, count + 1
        facts = replace(facts, waits=decision.waits, attempts=count + 1, unsent_attempts=count)
    assert (decision.parked, count) == (True, 12)
    assert now - SENT > timedelta(days=7)

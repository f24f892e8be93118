"""Refund settlement: one pure decision about an answer, live or from a status query.

A declined refund frees money that could then be refunded twice, so a decline is never believed at
once. A live decline counts only for the only sending, and when Check Status confirms it. After a
second sending only Check Status counts, and only when it said FAILED twice. This module does not
know rows or the gateway.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing.domain import refund
from billing.domain.charge import CONFIRM_FAILED_AFTER
from billing.domain.outcomes import (
    Declined,
    NotFound,
    Pending,
    RefundOutcome,
    StatusOutcome,
    Succeeded,
    Unknown,
    Unsent,
)
from billing.domain.refund import RefundMove, RefundPurpose, RefundStatus

CONFIRM_DECLINE_AFTER = timedelta(seconds=60)
"""DOKU, Check Status: wait 60 seconds. A decline is queried after this wait."""
SENT_AGAIN_WAITS_MAX = len(refund.ATTEMPT_AFTER)
"""An unknown refund is sent again within half a day only: how long the gateway remembers a
Request-Id is not documented. After that it is queried one more time, and then parked."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is recorded about a refund when an answer arrives.

    `attempts` counts its sendings, `unsent_attempts` the unsent ones among them, and `waits` the
    waits since an operator's last request. `unsent_by_answer`: a sending is unsent only according
    to an answer such as a 429, which does not prove that it did not arrive.
    """

    status: RefundStatus
    purpose: RefundPurpose
    sent_at: datetime
    attempts: int
    unsent_attempts: int
    waits: int
    declined_seen_at: datetime | None = None
    failed_seen_at: datetime | None = None
    unsent_by_answer: bool = False

    @property
    def is_only_sending(self) -> bool:
        """Whether every other sending of the refund was unsent."""
        return self.attempts - self.unsent_attempts == 1

    @property
    def is_first_to_arrive(self) -> bool:
        """Whether it is certain that no other sending of the refund has arrived."""
        return self.is_only_sending and not self.unsent_by_answer


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write. `resend` sends the same request at once; `parked` leaves it to an operator."""

    status: RefundStatus
    waits: int
    next_attempt_at: datetime | None = None
    code: str | None = None
    message: str | None = None
    unsent_attempts: bool = False
    by_answer: bool = False
    declined_seen_at: datetime | None = None
    failed_seen_at: datetime | None = None
    resend: bool = False
    parked: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the refund has ended."""
        return self.status not in refund.UNSETTLED


def decide_live(facts: Facts, outcome: RefundOutcome, now: datetime) -> Decision:
    """Decide what the answer to the newest sending of a refund in flight changes."""
    match outcome:
        case Succeeded():
            return _succeeded(facts)
        case Unsent() if facts.is_only_sending:
            status = refund.advance(facts.status, RefundMove.MARK_UNSENT)
            return _unsent(_later(facts, now, status=status, message=outcome.reason), outcome)
        case Unsent():
            # Another sending of the same refund may have arrived.
            return _unsent(_lost(facts, now, message=outcome.reason), outcome)
        case Declined(code=code, message=message) if facts.is_first_to_arrive:
            return Decision(
                refund.advance(facts.status, RefundMove.LOSE_SIGHT),
                facts.waits,
                next_attempt_at=now + CONFIRM_DECLINE_AFTER,
                code=code,
                message=message,
                declined_seen_at=now,
            )
        case Declined(code=code, message=message):
            # The gateway may also say this about a repeated request.
            return _lost(facts, now, code=code, message=message)
        case Unknown(reason=reason):
            return _lost(facts, now, message=reason)


def decide_asked(
    facts: Facts, answer: StatusOutcome, now: datetime, not_found_horizon: timedelta
) -> Decision:
    """Decide what Check Status changes about an unknown refund."""
    match answer:
        case Succeeded():
            return _succeeded(facts)
        case Declined() | NotFound() if facts.declined_seen_at is not None:
            return _declined(facts)
        case Declined(code=code, message=message, is_signed=is_signed):
            seen = facts.failed_seen_at or now
            if now - seen >= CONFIRM_FAILED_AFTER and not is_signed:
                return _parked_unsigned(facts)
            if now - seen >= CONFIRM_FAILED_AFTER:
                return _declined(facts, code, message)
            due = seen + CONFIRM_FAILED_AFTER
            return _later(facts, now, due=due, message="failed", failed_seen_at=seen)
        case NotFound():
            return _not_found(facts, now, not_found_horizon)
        case Pending():
            # An answer that a later one contradicts does not count, live or queried.
            forgotten = replace(facts, declined_seen_at=None, failed_seen_at=None)
            return _later(forgotten, now, message="pending")
        case Unknown(reason=reason):
            return _later(facts, now, message=reason)


def _not_found(facts: Facts, now: datetime, horizon: timedelta) -> Decision:
    """Send it again, but only after the horizon: the first request may still be on its way."""
    believed_at = facts.sent_at + horizon
    if now < believed_at:
        return _later(facts, now, not_after=believed_at, message="not found yet")
    if facts.waits > SENT_AGAIN_WAITS_MAX:
        return _later(facts, now, message="not found")
    return Decision(facts.status, facts.waits, resend=True, message="not found")


def _parked_unsigned(facts: Facts) -> Decision:
    """Park a refund whose decline only unsigned answers support: an operator decides."""
    return Decision(
        facts.status,
        facts.waits + 1,
        message="failed, by unsigned answers only",
        failed_seen_at=facts.failed_seen_at,
        parked=True,
    )


def _succeeded(facts: Facts) -> Decision:
    return Decision(refund.advance(facts.status, RefundMove.SUCCEED), facts.waits)


def _declined(facts: Facts, code: str | None = None, message: str | None = None) -> Decision:
    """Decline the refund finally; the code of the first decline stays recorded."""
    status = refund.advance(facts.status, refund.declining(facts.purpose))
    return Decision(status, facts.waits, code=code, message=message)


def _unsent(decision: Decision, outcome: Unsent) -> Decision:
    return replace(decision, unsent_attempts=True, by_answer=outcome.by_answer)


def _lost(
    facts: Facts, now: datetime, *, code: str | None = None, message: str | None = None
) -> Decision:
    status = refund.advance(facts.status, RefundMove.LOSE_SIGHT)
    return _later(facts, now, status=status, code=code, message=message)


def _later(
    facts: Facts,
    now: datetime,
    *,
    status: RefundStatus | None = None,
    due: datetime | None = None,
    not_after: datetime | None = None,
    failed_seen_at: datetime | None = None,
    code: str | None = None,
    message: str | None = None,
) -> Decision:
    """Keep the refund unsettled: set the next attempt, or park it."""
    status = status or facts.status
    wait = refund.attempt_after(facts.waits)
    if status is RefundStatus.UNKNOWN:
        is_over = facts.waits > SENT_AGAIN_WAITS_MAX
        wait = None if is_over else min(wait or refund.ATTEMPT_AFTER[-1], refund.ATTEMPT_AFTER[-1])
    at = due or (now + wait if wait is not None else None)
    if at is not None and not_after is not None:
        at = min(at, not_after)
    return Decision(
        status,
        facts.waits + 1,
        next_attempt_at=at,
        parked=at is None,
        declined_seen_at=facts.declined_seen_at,
        failed_seen_at=failed_seen_at or facts.failed_seen_at,
        code=code,
        message=message,
    )

"""What an answer does to a refund: one pure decision for live answers and status queries.

A refund's "no" sets money free that could then be given back twice, so it is never believed at
once. A decline of the only sending counts when Check Status agrees; after any other sending only
Check Status counts, and its FAILED when it was read twice. It knows no rows and no gateway.
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
"""DOKU, Check Status: wait 60 seconds. So soon the gateway is asked about a decline."""
SENT_AGAIN_WAITS_MAX = len(refund.TRY_AFTER)
"""An unknown refund is sent again within half a day only: how long the gateway remembers a
Request-Id is not documented. It is asked about once more, and then parked."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is on record about a refund when an answer arrives.

    `tries` counts its sendings, `turned_away` those of them that are called unsent, and `waits` the
    waits since a person last asked for it. `unsent_by_answer`: one is called unsent only by an
    answer such as a 429, which is not proof that it did not arrive.
    """

    status: RefundStatus
    purpose: RefundPurpose
    sent_at: datetime
    tries: int
    turned_away: int
    waits: int
    declined_seen_at: datetime | None = None
    failed_seen_at: datetime | None = None
    unsent_by_answer: bool = False

    @property
    def is_only_sending(self) -> bool:
        """Whether every other sending of the refund is called unsent."""
        return self.tries - self.turned_away == 1

    @property
    def is_first_to_arrive(self) -> bool:
        """Whether certainly no other sending of the refund has arrived."""
        return self.is_only_sending and not self.unsent_by_answer


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write. `resend` sends the same request at once; `parked` leaves it to a person."""

    status: RefundStatus
    waits: int
    next_attempt_at: datetime | None = None
    code: str | None = None
    message: str | None = None
    turned_away: bool = False
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
    """Say what the answer to the newest sending of a refund in flight changes."""
    match outcome:
        case Succeeded():
            return _succeeded(facts)
        case Unsent() if facts.is_only_sending:
            status = refund.advance(facts.status, RefundMove.TURN_AWAY)
            return _unsent(_later(facts, now, status=status, message=outcome.reason), outcome)
        case Unsent():
            # Another sending of the same refund may have paid.
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
            # The gateway may say this to a repeated request, too.
            return _lost(facts, now, code=code, message=message)
        case Unknown(reason=reason):
            return _lost(facts, now, message=reason)


def decide_asked(
    facts: Facts, answer: StatusOutcome, now: datetime, not_found_horizon: timedelta
) -> Decision:
    """Say what Check Status changes about an unknown refund."""
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
            # A "no" that does not last is none, whether it was read live or asked for.
            forgotten = replace(facts, declined_seen_at=None, failed_seen_at=None)
            return _later(forgotten, now, message="pending")
        case Unknown(reason=reason):
            return _later(facts, now, message=reason)


def _not_found(facts: Facts, now: datetime, horizon: timedelta) -> Decision:
    """Send it again, but not before a request that was long on its way must have arrived."""
    believed_at = facts.sent_at + horizon
    if now < believed_at:
        return _later(facts, now, not_after=believed_at, message="not found yet")
    if facts.waits > SENT_AGAIN_WAITS_MAX:
        return _later(facts, now, message="not found")
    return Decision(facts.status, facts.waits, resend=True, message="not found")


def _parked_unsigned(facts: Facts) -> Decision:
    """Money that unsigned answers alone would set free is left to a person."""
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
    """The refund is declined for good; what the first decline said stays on record."""
    status = refund.advance(facts.status, refund.declining(facts.purpose))
    return Decision(status, facts.waits, code=code, message=message)


def _unsent(decision: Decision, outcome: Unsent) -> Decision:
    return replace(decision, turned_away=True, by_answer=outcome.by_answer)


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
    """The refund stays unsettled: when it is tried again, or a visible end of trying."""
    status = status or facts.status
    wait = refund.try_after(facts.waits)
    if status is RefundStatus.UNKNOWN:
        is_over = facts.waits > SENT_AGAIN_WAITS_MAX
        wait = None if is_over else min(wait or refund.TRY_AFTER[-1], refund.TRY_AFTER[-1])
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

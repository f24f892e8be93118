"""Answers without a result: a decline, a rejection before the body was read, or unknown.

The table in `trust` decides whether it is certain that nothing happened. This module knows
envelopes and faults, but not the shapes of successful answers.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from billing.domain.outcomes import Declined, Unknown, Unsent
from billing.gateway.envelopes import Complaint, Envelope, complaint
from billing.gateway.faults import Faults
from billing.gateway.trust import Ending, Trust, ending

__all__ = ["Absent", "Answer", "Trust", "judged", "odd_status", "refusal", "unsettled"]

# A result may have these statuses and still settle nothing. A status query follows; these statuses
# do not indicate that the gateway's answers have changed.
_USUAL = frozenset({"failed", "expired", "timeout"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, with everything that is needed to judge it."""

    status: int
    body: bytes
    trust: Trust
    retry_after: str = ""

    @property
    def carries_result(self) -> bool:
        """
        Whether the body may be the result: any 2xx, or 409.

        DOKU answers a repeated Request-Id with the original body and status 409 (Idempotency).
        """
        return 200 <= self.status < 300 or self.status == 409


@dataclass(frozen=True, slots=True)
class Absent:
    """The gateway says that the order or token does not exist."""


def refusal(
    answer: Answer, faults: Faults, *, ours: str = "", moves_money: bool = True
) -> Declined | Unsent | Unknown:
    """Judge an answer without a result; `ours` is the order or token that a refusal may name."""
    outcome = judged(answer, faults, ours=ours, moves_money=moves_money)
    # Without such codes, nothing is reported as absent.
    return unsettled(answer) if isinstance(outcome, Absent) else outcome


def judged(
    answer: Answer,
    faults: Faults,
    *,
    ours: str = "",
    absent: Collection[str] = (),
    moves_money: bool = True,
) -> Declined | Unsent | Unknown | Absent:
    """Judge an answer without a result; `absent` are the codes for "does not exist"."""
    said = complaint(answer.body)
    found = ending(
        answer.status,
        answer.trust,
        said,
        is_known=said is not None and faults.known(said.code) is not None,
        is_about_us=said is not None and bool(ours) and said.about == ours,
        absent=absent,
        moves_money=moves_money,
    )
    if found is Ending.UNSENT:
        reason = _rate_limited(answer) if answer.status == 429 or said is None else said.code
        return Unsent(reason, by_answer=True)
    if found is Ending.ABSENT:
        return Absent()
    if found is Ending.DECLINED and said is not None:
        return Declined(faults.of(said), said.code, said.message)
    reason = answer.trust if answer.trust is Trust.WRONG else unsettled(answer, said).reason
    return Unknown(reason, unrecognised=found is Ending.FOREIGN)


def _rate_limited(answer: Answer) -> str:
    wait = answer.retry_after if re.fullmatch(r"[0-9]{1,6}", answer.retry_after) else ""
    return f"rate_limited retry_after={wait}" if wait else "rate_limited"


def unsettled(answer: Answer, said: Complaint | None = None) -> Unknown:
    """Return unknown for an answer that settles nothing, with its status and code."""
    said = said or complaint(answer.body)
    is_documented = said is not None and said.envelope is Envelope.DOCUMENTED
    is_down = answer.status >= 500 or answer.status == 408
    reason = f"http_{answer.status} {said.code if said else 'unreadable'}"
    return Unknown(reason, unrecognised=not (is_documented or is_down))


def odd_status(said: str) -> Unknown:
    """Return unknown for a result with a status that settles nothing."""
    return Unknown(f"status_{said[:40] or 'missing'}", unrecognised=said not in _USUAL)

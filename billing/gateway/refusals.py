"""Answers without a result: the gateway refused, turned us away, or settled nothing.

The question is always whether we may say that nothing happened. It knows envelopes and faults, and
no shape of any successful answer.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from billing.domain.outcomes import Declined, Unknown, Unsent
from billing.gateway.envelopes import Complaint, complaint, fold
from billing.gateway.faults import Faults


class Trust(StrEnum):
    """What an answer's signature says about it."""

    VERIFIED = "verified"
    MISSING = "no_signature"
    WRONG = "wrong_signature"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, with all that is needed to judge it."""

    status: int
    body: bytes
    trust: Trust
    retry_after: str = ""

    @property
    def carries_result(self) -> bool:
        """
        Tell whether the body may be the result: any 2xx, or 409.

        DOKU answers a repeated Request-Id with the original body and status 409 (Idempotency).
        """
        return 200 <= self.status < 300 or self.status == 409


# Checked before the body, in this order: headers, time, Client-Id, signature (seen in DOKU's
# sandbox). Whoever is told one of these has charged nobody.
TURNED_AWAY = frozenset(
    {
        "invalid_header_request",
        "request_time_out_of_range",
        "invalid_client_id",
        "invalid_signature",
    }
)

# Said of a request that was seen before, so an earlier one may have succeeded.
_SEEN_BEFORE = re.compile(
    r"duplicat|idempoten|conflict|unique|(number|invoice|order|request_id)_exist"
    r"|(already|has_been|have_been)_(been_)?(used|exist|paid|process|submitted|refunded|complet)"
    r"|(sudah|telah)_(digunakan|dipakai|dibayar|diproses|ada)"
)

# Said with a 4xx, yet not a refusal: the gateway does not know, or contradicts itself.
_UNDECIDED = re.compile(
    r"timed?_?out|in_progress|in_process|(still|being|is)_process|pending"
    r"|internal_(server_)?error|(^|_)success"
)


def refusal(
    answer: Answer, faults: Faults, *, moves_money: bool = True
) -> Declined | Unsent | Unknown:
    """
    Judge an answer without a result.

    Only a readable business error in a 4xx is a refusal. A 3xx, a 5xx, an error page, an unrouted
    path, and a wrong signature leave the outcome unknown; and where money moves, every hint that
    the request was seen before.
    """
    said = complaint(answer.body)
    if is_forged(answer, said):
        return Unknown(answer.trust)
    if moves_money and said is not None and _SEEN_BEFORE.search(said.words):
        return Unknown(f"http_{answer.status} {said.code}")
    if answer.status == 429:
        wait = answer.retry_after if re.fullmatch(r"[0-9]{1,6}", answer.retry_after) else ""
        return Unsent(f"rate_limited retry_after={wait}" if wait else "rate_limited")
    if not 400 <= answer.status < 500 or answer.status in {408, 409} or said is None:
        return unsettled(answer, said)
    if is_turned_away(said):
        return Unsent(said.code)
    if _UNDECIDED.search(said.words):
        return unsettled(answer, said)
    return Declined(faults.of(said), said.code, said.message)


def unsettled(answer: Answer, said: Complaint | None = None) -> Unknown:
    """Say that an answer settles nothing, with what little it said."""
    said = said or complaint(answer.body)
    return Unknown(f"http_{answer.status} {said.code if said else 'unreadable'}")


def odd_status(said: str) -> Unknown:
    """Say that a result names a status on which nothing can be booked."""
    return Unknown(f"status_{said[:40] or 'missing'}")


def is_forged(answer: Answer, said: Complaint | None) -> bool:
    """
    Tell whether an answer without a result must be disbelieved; it need not be signed at all.

    One that says our signature is wrong comes from somebody with another key than ours, so its
    own signature cannot fit.
    """
    is_about_keys = said is not None and fold(said.code) == "invalid_signature"
    return answer.trust is Trust.WRONG and not is_about_keys


def is_turned_away(said: Complaint) -> bool:
    """Tell whether the request was stopped before its body was read."""
    return fold(said.code) in TURNED_AWAY

"""A refund: money returned from one succeeded charge to the wallet that paid it.

requested ──> in_flight ─┬─> succeeded
                         ├─> requested    the gateway was not reached; sent again
                         └─> unknown ──> succeeded | declined | unreturned   (by a status query)
unknown ──> in_flight        not found after the horizon: the same request again
declined                     the money is kept again, which is permitted
unreturned                   declined, but the money must be returned: an operator must act
unreturned ──> declined              another refund replaces it
           ──> returned_elsewhere    an operator returned the money by other means
           ──> waived                an operator decided to keep it
declined, unreturned, waived ──> succeeded     a later answer: the gateway did pay it
"""

from datetime import timedelta
from enum import StrEnum

from billing.domain import machine


class RefundStatus(StrEnum):
    """The state of a refund."""

    REQUESTED = "requested"
    IN_FLIGHT = "in_flight"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    UNRETURNED = "unreturned"
    RETURNED_ELSEWHERE = "returned_elsewhere"
    WAIVED = "waived"


UNSETTLED = (RefundStatus.REQUESTED, RefundStatus.IN_FLIGHT, RefundStatus.UNKNOWN)
RETURNED = (RefundStatus.SUCCEEDED, RefundStatus.RETURNED_ELSEWHERE)
"""The customer has the money."""
COUNTED = (*UNSETTLED, *RETURNED)
"""What counts as refunded of its charge: money that was returned, or is on its way."""


def recorded_as(status: RefundStatus) -> str:
    """Return the kind of the event that records how a refund ended."""
    return "refund.failed" if status is RefundStatus.DECLINED else f"refund.{status}"


class RefundMove(StrEnum):
    """What can happen to a refund."""

    SEND = "send"
    SUCCEED = "succeed"
    DECLINE = "decline"
    LEAVE_UNRETURNED = "leave_unreturned"
    MARK_UNSENT = "mark_unsent"
    LOSE_SIGHT = "lose_sight"
    RETURN_ELSEWHERE = "return_elsewhere"
    WAIVE = "waive"


class RefundPurpose(StrEnum):
    """Why money is refunded."""

    OPERATOR = "operator"
    CANCEL = "cancel"
    SURPLUS = "surplus"
    VOID = "void"
    PAYOUT = "payout"


MUST_RETURN = (RefundPurpose.CANCEL, RefundPurpose.SURPLUS, RefundPurpose.VOID)
"""Money that is not ours: if its refund is declined, an operator must return it by other means."""


class RefundVerdict(StrEnum):
    """An operator's decision about a refund that needs one."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    RETURNED_ELSEWHERE = "returned-elsewhere"
    KEPT = "kept"


_S, _M = RefundStatus, RefundMove
TRANSITIONS: dict[RefundStatus, dict[RefundMove, RefundStatus]] = {
    _S.REQUESTED: {
        _M.SEND: _S.IN_FLIGHT,
        # An operator's decision about one that the gateway never received.
        _M.DECLINE: _S.DECLINED,
        _M.LEAVE_UNRETURNED: _S.UNRETURNED,
    },
    _S.IN_FLIGHT: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.MARK_UNSENT: _S.REQUESTED,
        _M.LOSE_SIGHT: _S.UNKNOWN,
    },
    _S.UNKNOWN: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.DECLINE: _S.DECLINED,
        _M.LEAVE_UNRETURNED: _S.UNRETURNED,
        _M.SEND: _S.IN_FLIGHT,
    },
    _S.UNRETURNED: {
        _M.DECLINE: _S.DECLINED,
        _M.RETURN_ELSEWHERE: _S.RETURNED_ELSEWHERE,
        _M.WAIVE: _S.WAIVED,
        _M.SUCCEED: _S.SUCCEEDED,
    },
    _S.DECLINED: {_M.SUCCEED: _S.SUCCEEDED},
    _S.WAIVED: {_M.SUCCEED: _S.SUCCEEDED},
    _S.SUCCEEDED: {},
    _S.RETURNED_ELSEWHERE: {},
}

ATTEMPT_AFTER = (
    timedelta(minutes=1),  # DOKU, Check Status: "after 60 seconds"
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
)
"""Waits between attempts of a refund or an unlink; afterwards daily."""
ATTEMPTS_MAX = len(ATTEMPT_AFTER) + 7
"""After these attempts it is parked with an alarm and needs an operator."""


def advance(status: RefundStatus, move: RefundMove) -> RefundStatus:
    """Return the status after `move`, or raise IllegalMove."""
    return machine.advance(TRANSITIONS, "the refund", status, move)


def declining(purpose: RefundPurpose) -> RefundMove:
    """Return the move of a declined refund: unreturned if the money must be returned."""
    return RefundMove.LEAVE_UNRETURNED if purpose in MUST_RETURN else RefundMove.DECLINE


def attempt_after(attempts: int) -> timedelta | None:
    """Return the wait before the next attempt after `attempts` attempts; None: no more attempts."""
    if attempts >= ATTEMPTS_MAX:
        return None
    return ATTEMPT_AFTER[attempts] if attempts < len(ATTEMPT_AFTER) else timedelta(days=1)

"""A refund: money given back from one succeeded charge.

requested ──> in_flight ─┬─> succeeded
                         ├─> requested    the gateway was not reached; sent again
                         └─> unknown ──> succeeded | declined | unreturned   (only by asking)
unknown ──> in_flight        not found after the horizon: the same request once more
declined                     the money is back where it came from, and may stay there
unreturned                   declined, but the money must go back: a person has to act
unreturned ──> declined              another refund replaces it
           ──> returned_elsewhere    a person returned the money by other means
           ──> waived                a person decided to keep it
declined, unreturned, waived ──> succeeded     late news: the gateway did pay it
"""

from datetime import timedelta
from enum import StrEnum

from billing.domain import machine


class RefundStatus(StrEnum):
    """Where a refund stands."""

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
"""What counts as refunded of its charge: money that went back, or is on its way."""


class RefundMove(StrEnum):
    """What can happen to a refund."""

    SEND = "send"
    SUCCEED = "succeed"
    DECLINE = "decline"
    LEAVE_UNRETURNED = "leave_unreturned"
    TURN_AWAY = "turn_away"
    LOSE_SIGHT = "lose_sight"
    RETURN_ELSEWHERE = "return_elsewhere"
    WAIVE = "waive"


class RefundPurpose(StrEnum):
    """Why money goes back."""

    OPERATOR = "operator"
    CANCEL = "cancel"
    SURPLUS = "surplus"
    VOID = "void"
    PAYOUT = "payout"


MUST_RETURN = (RefundPurpose.CANCEL, RefundPurpose.SURPLUS, RefundPurpose.VOID)
"""Money that is not ours: when its refund is declined, somebody has to return it otherwise."""


class RefundVerdict(StrEnum):
    """What a person says of a refund that ended nowhere."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    RETURNED_ELSEWHERE = "returned-elsewhere"
    KEPT = "kept"


_S, _M = RefundStatus, RefundMove
TRANSITIONS: dict[RefundStatus, dict[RefundMove, RefundStatus]] = {
    _S.REQUESTED: {
        _M.SEND: _S.IN_FLIGHT,
        # By a person's word, of one that was never received.
        _M.DECLINE: _S.DECLINED,
        _M.LEAVE_UNRETURNED: _S.UNRETURNED,
    },
    _S.IN_FLIGHT: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.TURN_AWAY: _S.REQUESTED,
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

TRY_AFTER = (
    timedelta(minutes=1),  # DOKU, Check Status: "after 60 seconds"
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
)
"""Waits between tries of a refund or an unbind; afterwards daily."""
TRIES_MAX = len(TRY_AFTER) + 7
"""Then it is parked with an alarm, and a person has to look."""


def advance(status: RefundStatus, move: RefundMove) -> RefundStatus:
    """Return the status after `move`, or raise IllegalMove."""
    return machine.advance(TRANSITIONS, "the refund", status, move)


def declining(purpose: RefundPurpose) -> RefundMove:
    """The move of a refund that is declined for good: must somebody return the money otherwise."""
    return RefundMove.LEAVE_UNRETURNED if purpose in MUST_RETURN else RefundMove.DECLINE


def try_after(tries: int) -> timedelta | None:
    """How long to wait before the next try after `tries` of them; None: enough tried."""
    if tries >= TRIES_MAX:
        return None
    return TRY_AFTER[tries] if tries < len(TRY_AFTER) else timedelta(days=1)

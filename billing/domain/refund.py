"""A refund: money given back from one succeeded charge.

    requested ──> in_flight ─┬─> succeeded | declined
                             ├─> requested        the gateway was not reached; tried again
                             └─> unknown ──> succeeded | declined | in_flight

An unknown refund is sent again under its own Request-Id, which the gateway pays once.
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


UNSETTLED = (RefundStatus.REQUESTED, RefundStatus.IN_FLIGHT, RefundStatus.UNKNOWN)


class RefundMove(StrEnum):
    """What can happen to a refund."""

    SEND = "send"
    SUCCEED = "succeed"
    DECLINE = "decline"
    TURN_AWAY = "turn_away"
    LOSE_SIGHT = "lose_sight"


_S, _M = RefundStatus, RefundMove
TRANSITIONS: dict[RefundStatus, dict[RefundMove, RefundStatus]] = {
    _S.REQUESTED: {_M.SEND: _S.IN_FLIGHT},
    _S.IN_FLIGHT: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.DECLINE: _S.DECLINED,
        _M.TURN_AWAY: _S.REQUESTED,
        _M.LOSE_SIGHT: _S.UNKNOWN,
    },
    _S.UNKNOWN: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.DECLINE: _S.DECLINED,
        _M.SEND: _S.IN_FLIGHT,
    },
    _S.SUCCEEDED: {},
    _S.DECLINED: {},
}

TRY_AFTER = (
    timedelta(minutes=1),
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


def try_after(tries: int) -> timedelta | None:
    """How long to wait before the next try after `tries` of them; None: enough tried."""
    if tries >= TRIES_MAX:
        return None
    return TRY_AFTER[tries] if tries < len(TRY_AFTER) else timedelta(days=1)

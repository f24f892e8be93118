"""A charge: one attempt to collect an invoice, with one Request-Id and one gateway number.

    in_flight ─┬─> succeeded | declined | unsent
               └─> pending | unknown ──> succeeded | declined    (by a status query)
    unknown ──> in_flight          not found after the horizon: the same request again
    declined ──> succeeded         a later answer: a gateway's FAILED is not final
    unsent ──> in_flight           the same charge is sent when its invoice is due again; so is
                                   a charge declined because the gateway never received it
    unsent ──> unknown             only an answer said that it was unsent; its invoice is closed

Numbers and ids are derived, never random. A database restored from a backup therefore finds its own
earlier charges at the gateway instead of making new ones.
"""

import string
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from billing.domain import machine
from billing.domain.identity import beneath


class ChargeStatus(StrEnum):
    """The state of a charge."""

    IN_FLIGHT = "in_flight"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    UNSENT = "unsent"
    PENDING = "pending"
    UNKNOWN = "unknown"


UNRESOLVED = (ChargeStatus.IN_FLIGHT, ChargeStatus.PENDING, ChargeStatus.UNKNOWN)


class ChargeMove(StrEnum):
    """What can happen to a charge."""

    SUCCEED = "succeed"
    DECLINE = "decline"
    MARK_UNSENT = "mark_unsent"
    WAIT = "wait"
    LOSE_SIGHT = "lose_sight"
    RESEND = "resend"
    DOUBT = "doubt"


class Trigger(StrEnum):
    """Who requested a charge; only scheduled charges spend dunning steps."""

    SCHEDULED = "scheduled"
    OPERATOR = "operator"
    CUSTOMER = "customer"


_S, _M = ChargeStatus, ChargeMove
TRANSITIONS: dict[ChargeStatus, dict[ChargeMove, ChargeStatus]] = {
    _S.IN_FLIGHT: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.DECLINE: _S.DECLINED,
        _M.MARK_UNSENT: _S.UNSENT,
        _M.WAIT: _S.PENDING,
        _M.LOSE_SIGHT: _S.UNKNOWN,
    },
    _S.PENDING: {_M.SUCCEED: _S.SUCCEEDED, _M.DECLINE: _S.DECLINED},
    _S.UNKNOWN: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.DECLINE: _S.DECLINED,
        _M.WAIT: _S.PENDING,
        _M.RESEND: _S.IN_FLIGHT,
    },
    _S.DECLINED: {_M.SUCCEED: _S.SUCCEEDED, _M.RESEND: _S.IN_FLIGHT},
    _S.UNSENT: {
        _M.SUCCEED: _S.SUCCEEDED,
        _M.RESEND: _S.IN_FLIGHT,
        _M.DOUBT: _S.UNKNOWN,
    },
    _S.SUCCEEDED: {},
}

QUERY_AFTER = (
    timedelta(seconds=60),  # DOKU, Check Status: "after 60 seconds"
    timedelta(minutes=5),
    timedelta(hours=1),
)
"""Waits before each status query; afterwards daily."""
QUERY_DAILY = timedelta(days=1)
QUERIES_MAX = len(QUERY_AFTER) + 7
"""After a week of daily status queries the charge is parked with an alarm: it needs an operator."""
CONFIRM_FAILED_AFTER = timedelta(minutes=5)
"""A FAILED is believed only when a second status query after this wait confirms it."""
HOLD_FOR = timedelta(hours=1)
"""How long a decline stays open, each time, while the breaker has stopped charging."""
RECHECK_FOR = timedelta(days=7)
"""How long the gateway is queried, daily, about a charge whose outcome an operator set."""

_NAMESPACE = UUID("5b0c1c8e-6d0f-5a52-9d53-3f6f0f3f6f11")
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]


def advance(status: ChargeStatus, move: ChargeMove) -> ChargeStatus:
    """Return the status after `move`, or raise IllegalMove."""
    return machine.advance(TRANSITIONS, "the charge", status, move)


def invoice_id(subscription_id: UUID, period_index: int, change_index: int = 0) -> UUID:
    """Derive the id of a period's invoice, or of the invoice of its n-th change."""
    change = f"/change/{change_index}" if change_index else ""
    return beneath(subscription_id, _NAMESPACE, f"{period_index}{change}")


def charge_id(invoice: UUID, attempt: int) -> UUID:
    """Derive the id of an invoice's charge, which is also its Request-Id."""
    return beneath(invoice, _NAMESPACE, str(attempt))


def refund_id(charge: UUID, name: str) -> UUID:
    """Derive the id of a charge's refund, which is also its Request-Id.

    `name` says which refund of the charge it is: the operator's order, or a cause of the engine.
    A number would not do: in a restored database another refund would get that of a lost one.
    """
    return beneath(charge, _NAMESPACE, f"refund/{name}")


def gateway_number(
    subscription_id: UUID, period_index: int, attempt: int, change_index: int = 0
) -> str:
    """Derive the gateway number: `SUBSCRIPTION-PERIOD-ATTEMPT`, at most 32 characters.

    The number of a change within a period is `SUBSCRIPTION-PERIOD_CHANGE-ATTEMPT`.
    """
    if min(period_index, attempt, change_index) >= 0:
        what = _base62(period_index) + (f"_{_base62(change_index)}" if change_index else "")
        number = f"{_base62(subscription_id.int):0>22}-{what}-{_base62(attempt)}"
        if len(number) <= 32:  # 22 + 10: five digits of period, three of attempt
            return number
    raise ValueError(
        f"period {period_index}, change {change_index}, attempt {attempt}: no such number"
    )


def _base62(value: int) -> str:
    digits = ""
    while value >= len(_PAIRS):
        value, pair = divmod(value, len(_PAIRS))
        digits = _PAIRS[pair] + digits
    return (_PAIRS[value] + digits).removeprefix("0") or "0"


def query_after(status_queries: int) -> timedelta | None:
    """Return the wait before the next status query after that many; None: no more."""
    if status_queries >= QUERIES_MAX:
        return None
    return QUERY_AFTER[status_queries] if status_queries < len(QUERY_AFTER) else QUERY_DAILY

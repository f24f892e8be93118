"""A subscription: a customer on a plan, with its anchor and its copied price.

pending ──> active | trialing ──> active <──> past_due ──> canceled | unpaid | paused
paused ──> active, or trialing with the remaining days; unpaid ──> active
every live one can be canceled; the last period, once settled, completes it
"""

from enum import StrEnum

from billing.domain import machine
from billing.domain.errors import InvalidValue


class SubscriptionStatus(StrEnum):
    """The state of a subscription."""

    PENDING = "pending"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    UNPAID = "unpaid"
    CANCELED = "canceled"
    COMPLETED = "completed"


class SubscriptionMove(StrEnum):
    """What can happen to a subscription."""

    ACTIVATE = "activate"
    START_TRIAL = "start_trial"
    FALL_BEHIND = "fall_behind"
    RECOVER = "recover"
    PAUSE = "pause"
    RESUME = "resume"
    RESUME_TRIAL = "resume_trial"
    MARK_UNPAID = "mark_unpaid"
    CANCEL = "cancel"
    COMPLETE = "complete"


class OnExhausted(StrEnum):
    """What dunning does when its steps are spent."""

    CANCEL = "cancel"
    UNPAID = "unpaid"
    PAUSE = "pause"


class CatchUp(StrEnum):
    """Which periods are billed after an outage of several periods."""

    ALL = "all"
    LATEST = "latest"


class Skipped(StrEnum):
    """Why a period was not billed; the reason is recorded for every unbilled period."""

    PAUSED = "paused"
    UNPAID = "unpaid"
    LATEST = "latest"
    CANCELED = "canceled"
    HELD = "held"


class RefundPolicy(StrEnum):
    """What a cancellation refunds of the current period."""

    NONE = "none"
    FULL = "full"
    PRORATED = "prorated"


_S, _M = SubscriptionStatus, SubscriptionMove
TRANSITIONS: dict[SubscriptionStatus, dict[SubscriptionMove, SubscriptionStatus]] = {
    _S.PENDING: {
        _M.ACTIVATE: _S.ACTIVE,
        _M.START_TRIAL: _S.TRIALING,
        _M.CANCEL: _S.CANCELED,
    },
    _S.TRIALING: {_M.ACTIVATE: _S.ACTIVE, _M.PAUSE: _S.PAUSED, _M.CANCEL: _S.CANCELED},
    _S.ACTIVE: {
        _M.FALL_BEHIND: _S.PAST_DUE,
        _M.PAUSE: _S.PAUSED,
        _M.MARK_UNPAID: _S.UNPAID,
        _M.CANCEL: _S.CANCELED,
        _M.COMPLETE: _S.COMPLETED,
    },
    _S.PAST_DUE: {
        _M.RECOVER: _S.ACTIVE,
        _M.PAUSE: _S.PAUSED,
        _M.MARK_UNPAID: _S.UNPAID,
        _M.CANCEL: _S.CANCELED,
        _M.COMPLETE: _S.COMPLETED,
    },
    _S.PAUSED: {
        _M.RESUME: _S.ACTIVE,
        _M.RESUME_TRIAL: _S.TRIALING,
        _M.CANCEL: _S.CANCELED,
    },
    _S.UNPAID: {_M.RECOVER: _S.ACTIVE, _M.RESUME: _S.ACTIVE, _M.CANCEL: _S.CANCELED},
    _S.CANCELED: {},
    _S.COMPLETED: {},
}

ENDED = (SubscriptionStatus.CANCELED, SubscriptionStatus.COMPLETED)
LIVE = tuple(status for status in SubscriptionStatus if status not in ENDED)
OPENING = (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)
"""The states in which periods open when they begin."""


def advance(status: SubscriptionStatus, move: SubscriptionMove) -> SubscriptionStatus:
    """Return the status after `move`, or raise IllegalMove."""
    return machine.advance(TRANSITIONS, "the subscription", status, move)


PERIOD_END = "period-end"


def check_refund(at: object, policy: RefundPolicy) -> None:
    """Refuse a refund with a cancellation at period end: no day would be left to refund."""
    if at == PERIOD_END and policy is not RefundPolicy.NONE:
        raise InvalidValue(
            f"a refund ({policy}) or an end at period-end, not both: no unused days are left by"
            " then; cancel now, or omit the refund",
            field="refund",
        )

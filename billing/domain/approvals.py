"""Approvals: what a second person decides, who may, and when no decision can come any more.

A person's confirmed action above a limit becomes a request; another person with the same rights
approves it, and only then it acts. This module knows no page and no row.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from billing.domain import machine
from billing.domain.errors import IllegalMove
from billing.domain.people import Action, Person


class Approvable(StrEnum):
    """The actions that can need a second person."""

    REFUND = "refund"
    CANCEL = "cancel"
    BULK = "bulk"


NEEDS: dict[Approvable, tuple[Action, ...]] = {
    Approvable.REFUND: (Action.REFUND,),
    Approvable.CANCEL: (Action.CHANGE_SUBSCRIPTIONS, Action.REFUND),
    Approvable.BULK: (Action.ACT_IN_BULK,),
}
"""What both people must be allowed to do."""


class ApprovalStatus(StrEnum):
    """The state of a request for approval."""

    OPEN = "open"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    OUTDATED = "outdated"


class ApprovalMove(StrEnum):
    """What can happen to a request for approval."""

    APPROVE = "approve"
    DECLINE = "decline"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    OUTDATE = "outdate"


_S, _M = ApprovalStatus, ApprovalMove
TRANSITIONS: dict[ApprovalStatus, dict[ApprovalMove, ApprovalStatus]] = {
    _S.OPEN: {
        _M.APPROVE: _S.APPROVED,
        _M.DECLINE: _S.DECLINED,
        _M.WITHDRAW: _S.WITHDRAWN,
        _M.EXPIRE: _S.EXPIRED,
        _M.OUTDATE: _S.OUTDATED,
    },
    _S.APPROVED: {},
    _S.DECLINED: {},
    _S.WITHDRAWN: {},
    _S.EXPIRED: {},
    _S.OUTDATED: {},
}
ENDED = tuple(status for status in ApprovalStatus if not TRANSITIONS[status])


class Request(NamedTuple):
    """What a decision needs to know about a request."""

    kind: Approvable
    status: ApprovalStatus
    asked_by: UUID
    ends_at: datetime


def may(person: Person, kind: Approvable) -> bool:
    """Whether a person may do an action, and therefore ask for it and approve it."""
    return all(person.may(action) for action in NEEDS[kind])


def advance(status: ApprovalStatus, move: ApprovalMove) -> ApprovalStatus:
    """Return the status after `move`, or raise IllegalMove."""
    machine.check(TRANSITIONS, "the request", status, move)
    return TRANSITIONS[status][move]


def check_decision(
    request: Request, move: ApprovalMove, asker: Person, person: Person, now: datetime
) -> ApprovalStatus:
    """Return the status after a person's decision. Raises IllegalMove with the reason why not.

    Who asked can only withdraw. What the asker may not do any more is not approved.
    """
    status = advance(request.status, move)
    if now >= request.ends_at:
        raise IllegalMove("the time of the request is over; nothing was done")
    is_own = person.id == request.asked_by
    if move is ApprovalMove.WITHDRAW:
        if not is_own:
            raise IllegalMove(f"only {asker.name!r}, who asked, can withdraw the request")
        return status
    if is_own:
        raise IllegalMove("another person must decide: you asked for it")
    if not may(person, request.kind):
        raise IllegalMove("your role does not allow the action itself")
    if move is ApprovalMove.APPROVE and not may(asker, request.kind):
        raise IllegalMove(
            f"{asker.name!r} is disabled or has another role now, which does not allow it;"
            " decline the request"
        )
    return status

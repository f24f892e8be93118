"""Notifications: decide what the gateway's message about a charge makes due.

A notification is a hint and settles nothing: it may be late, repeated, out of order or wrong. It
only moves the next status query to an earlier time. This module does not know rows, HTTP or
signatures.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from billing.domain.charge import QUERY_AFTER, UNRESOLVED, ChargeStatus
from billing.domain.decisions import Limits

APART = timedelta(seconds=60)
"""Notifications make at most one status query of a charge due in this time."""


class Said(StrEnum):
    """What a notification says about a payment."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Notification:
    """A message of the gateway about one payment; `request_id` or `number` names the charge."""

    said: Said
    request_id: UUID | None = None
    number: str | None = None
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded about the charge that a notification names."""

    status: ChargeStatus
    amount: int
    sent_at: datetime
    next_check_at: datetime | None
    notified_at: datetime | None  # the last status query that a notification made due
    suspected: bool  # a live decline waits for confirmation
    contradicted: bool  # an operator must handle an earlier contradiction first


@dataclass(frozen=True, slots=True)
class Reaction:
    """What to write: a status query at `at`, or only that the notification came then."""

    at: datetime
    queries: bool = True
    contradicts: bool = False


def react(
    known: Recorded, notification: Notification, now: datetime, limits: Limits
) -> Reaction | None:
    """Decide what a notification changes; None when it changes nothing.

    An unsent charge is not queried here: the gateway is queried before it is sent again, or has
    been since its invoice was closed.
    """
    contradicts = _contradicts(known, notification)
    if known.status not in UNRESOLVED and (not contradicts or known.contradicted):
        return None
    if known.status is ChargeStatus.UNSENT:
        is_repeat = known.notified_at is not None and now < known.notified_at + APART
        return None if is_repeat else Reaction(now, queries=False, contradicts=True)
    at, due_at = _query_at(known, now, limits), known.next_check_at
    if due_at is None or at < due_at:
        return Reaction(at, contradicts=contradicts)
    is_noted = known.notified_at is not None and known.notified_at >= due_at
    if now < due_at or is_noted:
        return None
    # The query may have been sent already, and its answer may be older than the notification.
    return Reaction(now, queries=False, contradicts=contradicts)


def _contradicts(known: Recorded, notification: Notification) -> bool:
    """Whether a notification says something else than the recorded outcome."""
    match known.status:
        case ChargeStatus.SUCCEEDED:
            is_other = notification.amount not in {None, known.amount}
            return notification.said is Said.FAILED or (
                notification.said is Said.SUCCEEDED and is_other
            )
        case ChargeStatus.DECLINED | ChargeStatus.UNSENT:
            return notification.said is Said.SUCCEEDED
        case _:
            return False


def _query_at(known: Recorded, now: datetime, limits: Limits) -> datetime:
    """Return the earliest time of a status query.

    A suspected decline waits for the breaker's whole window, counted from its answer. The time of
    that answer is not recorded, but it is before the horizon. A query that came earlier would
    confirm the decline before the breaker has seen the answers to other charges.
    """
    wait = QUERY_AFTER[0]
    if known.suspected:
        wait = limits.not_found_horizon + limits.confirm_after
    earliest = [now, known.sent_at + wait]
    if known.notified_at is not None:
        earliest.append(known.notified_at + APART)
    return max(earliest)

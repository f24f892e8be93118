"""What a decision about a charge is made from, and what it says; `settlement` makes it.

Values only: no rows, no gateway, no rule.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from billing.domain import charge
from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.dunning import Cap, History, Policy
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Declined, Fault, Waiting
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus


class Source(StrEnum):
    """Where news of a charge came from."""

    LIVE = "live"
    STATUS = "status"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may wait."""

    not_found_horizon: timedelta
    wallet_wait: timedelta
    confirm_after: timedelta = charge.ASK_AFTER[0]
    """How long a decline that would end something for good waits before it is asked about: the
    breaker's window, so that the share of all answers in it is seen first."""


_NO_RETRIES, _NO_CHARGES = Policy(), History()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is on record about a charge when news of it arrives.

    Of one that succeeded the first are enough; any other outcome needs all.
    """

    charge_status: ChargeStatus
    invoice_status: InvoiceStatus
    subscription_status: SubscriptionStatus
    sent_at: datetime
    zone: ZoneInfo
    last_cycle: bool = False
    other_open: bool = False
    parked: bool = False
    resolved_at: datetime | None = None  # when a person's word settled it
    trigger: Trigger = Trigger.SCHEDULED
    sends: int = 1
    asks: int = 0
    failed_seen_at: datetime | None = None
    waiting: Waiting | None = None
    first_failed_at: datetime | None = None
    policy: Policy = _NO_RETRIES
    reopened: bool = False  # given up before; a person has the invoice tried once more
    planned_at: datetime | None = None  # the date that a person's try went before
    step_deadline_at: datetime | None = None
    wallet_active: bool = True
    relinked: bool = False  # the customer has another wallet by now
    charging: bool = True
    history: History = _NO_CHARGES
    suspected: Declined | None = None  # a live decline that is asked about once more
    tripped: bool = False  # the breaker has stopped charging: nothing is ended for good
    unsent_by_answer: bool = False  # a sending before this one may have arrived after all


NewEvent = tuple[str, dict[str, Any]]
"""The kind and the data of an event to record."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write. A field that stays None leaves its column as it is, unless said otherwise."""

    status: ChargeStatus
    fault: Fault | None = None
    code: str | None = None
    message: str | None = None
    waiting: Waiting | None = None
    asked: bool = False
    failed_seen_at: datetime | None = None
    next_check_at: datetime | None = None  # None clears: a settled charge is asked about no more
    parked: bool = False
    resend: bool = False
    surplus: bool = False
    give_back: str | None = None
    pays: bool = False
    retry_at: datetime | None = None
    first_failed_at: datetime | None = None
    blocked_on: Blocked | None = None
    gives_up: bool = False
    cap: Cap | None = None  # what dunning met, when it gives up by one
    wallet_lost: bool = False
    by_answer: bool = False  # only an answer says that it was not sent
    never_received: bool = False  # the gateway never had it: the same charge may be sent again
    rechecked: bool = False  # a settled charge was asked about: only its next question changes
    odd: bool = False  # the breaker counts it: many of these at once are no customers' doing
    contradicted: bool = False  # ... and the gateway says otherwise than the person did
    move: SubscriptionMove | None = None
    events: tuple[NewEvent, ...] = ()

    @property
    def is_plain_success(self) -> bool:
        """Whether the charge succeeded and paid its invoice, and the decision says nothing else.

        Compared as a whole, so that a field added later makes a success with it no plain one.
        """
        return self.status is ChargeStatus.SUCCEEDED and self in PLAIN_SUCCESSES.values()


PLAIN_SUCCESSES = {
    source: Decision(
        ChargeStatus.SUCCEEDED,
        pays=True,
        events=(("charge.succeeded", {"source": source}), ("invoice.paid", {})),
    )
    for source in Source
}
"""The decision that nearly every charge has, one value for each source of the news."""

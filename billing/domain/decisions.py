"""The facts from which a charge's outcome is decided, and the decision; `settlement` decides.

Values only: no rows, no gateway, no rules.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from billing.domain import charge
from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.dunning import Cap, History, Policy
from billing.domain.events import NewEvent
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Declined, Fault, Waiting
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus


class Source(StrEnum):
    """Where an outcome of a charge came from."""

    LIVE = "live"
    STATUS = "status"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each wait may last."""

    not_found_horizon: timedelta
    wallet_wait: timedelta
    confirm_after: timedelta = charge.QUERY_AFTER[0]
    """How long a decline that would end something permanently waits before it is queried. This is
    the breaker's window, so that the share of all answers in the window is counted first."""


_NO_RETRIES, _NO_CHARGES = Policy(), History()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is recorded about a charge when an outcome arrives.

    A success needs only the first fields; any other outcome needs all.
    """

    charge_status: ChargeStatus
    invoice_status: InvoiceStatus
    subscription_status: SubscriptionStatus
    sent_at: datetime
    zone: ZoneInfo
    last_cycle: bool = False
    other_open: bool = False
    parked: bool = False
    resolved_at: datetime | None = None  # when an operator set the outcome
    notified: bool = False  # a notification has made a status query of it due
    trigger: Trigger = Trigger.SCHEDULED
    sends: int = 1
    status_queries: int = 0
    failed_seen_at: datetime | None = None
    waiting: Waiting | None = None
    first_failed_at: datetime | None = None
    policy: Policy = _NO_RETRIES
    reopened: bool = False  # uncollectible before; an operator requested one more attempt
    planned_at: datetime | None = None  # the scheduled date before which a manual retry was made
    step_deadline_at: datetime | None = None
    wallet_active: bool = True
    relinked: bool = False  # the customer has linked another wallet since
    charging: bool = True
    history: History = _NO_CHARGES
    suspected: Declined | None = None  # a live decline that a status query must confirm
    tripped: bool = False  # the breaker has stopped charging: nothing ends permanently
    unsent_by_answer: bool = False  # an earlier sending may have arrived after all


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write. A None leaves its column unchanged, unless the comment differs."""

    status: ChargeStatus
    fault: Fault | None = None
    code: str | None = None
    message: str | None = None
    waiting: Waiting | None = None
    asked: bool = False
    failed_seen_at: datetime | None = None
    next_check_at: datetime | None = None  # None clears it: a settled charge is not queried
    parked: bool = False
    resend: bool = False
    surplus: bool = False
    give_back: str | None = None
    pays: bool = False
    retry_at: datetime | None = None
    first_failed_at: datetime | None = None
    blocked_on: Blocked | None = None
    gives_up: bool = False
    cap: Cap | None = None  # the cap that ended dunning, if one did
    wallet_lost: bool = False
    by_answer: bool = False  # only an answer says that it was not sent
    never_received: bool = False  # the gateway never received it: it may be sent again
    rechecked: bool = False  # a settled charge was queried: only its next query changes
    odd: bool = False  # the breaker counts it: many at once point to the gateway
    contradicted: bool = False  # ... and the gateway contradicts the recorded outcome
    move: SubscriptionMove | None = None
    events: tuple[NewEvent, ...] = ()

    @property
    def is_plain_success(self) -> bool:
        """Whether the charge succeeded, paid its invoice, and nothing else is to be written.

        The whole decision is compared, so that a field added later is not overlooked here.
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
"""The decision of nearly every charge, one value for each source of an outcome."""

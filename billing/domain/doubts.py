"""Doubts: when a decline is certain enough to end more than the charge that it is about.

Questions about what is on record, for `settlement`, which decides. It writes nothing.
"""

from datetime import datetime, timedelta

from billing.domain import charge
from billing.domain.charge import ChargeStatus
from billing.domain.decisions import Decision, Facts, Limits
from billing.domain.outcomes import Fault


def is_suspected(facts: Facts) -> bool:
    """Whether a decline was read live; a PENDING after it takes that back."""
    return facts.suspected is not None and facts.charge_status is not ChargeStatus.PENDING


def is_disbelieved(facts: Facts) -> bool:
    """Whether a person started charging after the breaker, so that it says nothing of customers."""
    return facts.suspected is not None and facts.suspected.fault is Fault.TECHNICAL


def is_odd(would: Decision) -> bool:
    """Whether many such ends at once are more likely a gateway's doing than the customers'.

    Want of money and limits are what the last step of a ladder mostly meets: no fault of anybody's.
    """
    return would.wallet_lost or (
        would.gives_up and would.fault not in {Fault.INSUFFICIENT_FUNDS, Fault.LIMIT}
    )


def window(limits: Limits) -> timedelta:
    """How long a question's "no" must last before it ends something for good."""
    return max(limits.confirm_after, charge.CONFIRM_FAILED_AFTER)


def seen_for(facts: Facts, span: timedelta, now: datetime) -> bool:
    """Whether a question was answered with "no" so long ago, and with no PENDING since."""
    return facts.failed_seen_at is not None and now - facts.failed_seen_at >= span

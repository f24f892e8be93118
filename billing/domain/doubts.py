"""Doubts: when a decline is certain enough to end more than its own charge.

Predicates on recorded facts, for `settlement`, which decides. Nothing is written here.
"""

from datetime import datetime, timedelta

from billing.domain import charge
from billing.domain.charge import ChargeStatus
from billing.domain.decisions import Decision, Facts, Limits
from billing.domain.outcomes import Fault


def is_suspected(facts: Facts) -> bool:
    """Whether a live decline waits for confirmation; a later PENDING removes the suspicion."""
    return facts.suspected is not None and facts.charge_status is not ChargeStatus.PENDING


def is_disbelieved(facts: Facts) -> bool:
    """Whether charging was started again after the breaker, so that the decline proves nothing."""
    return facts.suspected is not None and facts.suspected.fault is Fault.TECHNICAL


def is_odd(would: Decision) -> bool:
    """Whether many such declines at once point to the gateway rather than to the customers.

    Insufficient funds and limits are excluded: most ladders end with one of them.
    """
    return would.wallet_lost or (
        would.gives_up and would.fault not in {Fault.INSUFFICIENT_FUNDS, Fault.LIMIT}
    )


def window(limits: Limits) -> timedelta:
    """How long status queries must find no payment before that ends something permanently."""
    return max(limits.confirm_after, charge.CONFIRM_FAILED_AFTER)


def seen_for(facts: Facts, span: timedelta, now: datetime) -> bool:
    """Whether a status query found no payment at least `span` ago, and no PENDING came since."""
    return facts.failed_seen_at is not None and now - facts.failed_seen_at >= span

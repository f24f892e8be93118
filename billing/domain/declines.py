"""What follows for an invoice whose charge was declined or unsent, for `settlement`.

The invoice waits, takes the next step of the ladder, or becomes uncollectible. This module does not
know the charge itself, or whether the decline is certain.
"""

from datetime import datetime
from typing import NamedTuple

from billing.domain import dunning
from billing.domain.charge import Trigger
from billing.domain.decisions import Facts, Limits
from billing.domain.dunning import Cap
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Fault


class Following(NamedTuple):
    """What follows a decline: the next attempt, the end of dunning, or nothing."""

    retry_at: datetime | None = None
    blocked_on: Blocked | None = None
    first_failed_at: datetime | None = None
    gives_up: bool = False
    cap: Cap | None = None  # the cap that ended dunning, if one did


def following(facts: Facts, fault: Fault, now: datetime, limits: Limits) -> Following:
    """Return what follows for the invoice; nothing for a closed one."""
    if facts.invoice_status is not InvoiceStatus.OPEN:
        return Following()
    if facts.reopened:
        # An uncollectible invoice gets one attempt for each request of an operator, and no
        # ladder: it must not block newer invoices for weeks.
        return Following(gives_up=True)
    if fault is Fault.WALLET:
        return _without_a_wallet(facts, now, limits)
    first_failed_at = facts.first_failed_at or now
    if fault is Fault.HARD:
        return Following(first_failed_at=first_failed_at, gives_up=True)
    due = _next_try(facts, fault, first_failed_at, now)
    if isinstance(due, Cap):
        return Following(first_failed_at=first_failed_at, gives_up=True, cap=due)
    return Following(due, first_failed_at=first_failed_at)


def _without_a_wallet(facts: Facts, now: datetime, limits: Limits) -> Following:
    until = dunning.wallet_awaited_until(
        facts.policy, limits.wallet_wait, facts.first_failed_at, now, facts.zone
    )
    if isinstance(until, Cap):
        return Following(gives_up=True, cap=until)
    return Following(now) if facts.relinked else Following(until, Blocked.WALLET)


def _next_try(
    facts: Facts, fault: Fault, first_failed_at: datetime, now: datetime
) -> datetime | Cap:
    scheduled = facts.trigger is Trigger.SCHEDULED
    past = facts.history.after(fault, scheduled=scheduled)
    if not scheduled:
        fault = past.last_fault or fault
    due = dunning.next_try(facts.policy, past, fault, first_failed_at, now, facts.zone)
    aside = None if scheduled else _date_there_was(facts, now)
    return due if due is Cap.ATTEMPTS else aside or due


def after_unsent(facts: Facts, now: datetime) -> datetime:
    """Return when an open invoice is attempted again after an unsent charge."""
    soon = now + dunning.wait_after_unsent(facts.history.unsent + 1)
    by_hand = facts.trigger is not Trigger.SCHEDULED
    return (_date_there_was(facts, now) if by_hand else None) or soon


def _date_there_was(facts: Facts, now: datetime) -> datetime | None:
    """Return the date before which a manual retry was made: it spends no step and moves no date."""
    dates = (facts.planned_at, facts.step_deadline_at)
    return min((at for at in dates if at is not None and at > now), default=None)

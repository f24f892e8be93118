"""Charge facts: build the domain's inputs from rows of a charge and its invoice."""

from dataclasses import replace
from datetime import datetime

from billing.domain import dunning
from billing.domain.charge import UNRESOLVED
from billing.domain.dunning import History
from billing.domain.outcomes import Declined
from billing.domain.periods import zone
from billing.domain.settlement import Facts
from billing.domain.terms import is_last_cycle
from billing.domain.wallet import WalletStatus
from billing.store.queries.charges import ChargeHistory
from billing.store.queries.settlements import ChargeState, Circumstances


def facts(row: ChargeState) -> Facts:
    """Build the facts that the decision about a plain success needs."""
    return Facts(
        charge_status=row.status,
        invoice_status=row.invoice_status,
        subscription_status=row.subscription_status,
        sent_at=row.sent_at,
        zone=zone(row.timezone),
        last_cycle=is_last_cycle(row.cycles, row.next_period_index),
        other_open=row.other_open,
        parked=row.parked_at is not None,
        resolved_at=row.resolved_at,
        notified=row.notified,
    )


def facts_of_trouble(
    row: ChargeState, more: Circumstances, past: ChargeHistory, now: datetime
) -> Facts:
    """Build the facts that any other decision needs."""
    # The token may have expired although no tick has recorded it yet.
    lasts = more.expires_at is not None and more.expires_at > now
    return replace(
        facts(row),
        trigger=more.trigger,
        sends=more.sends,
        status_queries=more.status_queries,
        failed_seen_at=more.failed_seen_at,
        waiting=more.waiting,
        first_failed_at=more.first_failed_at,
        policy=dunning.policy_of(more.retry_terms),
        reopened=more.reopened,
        planned_at=more.planned_at,
        step_deadline_at=more.step_deadline_at,
        wallet_active=more.wallet_status is WalletStatus.ACTIVE and lasts,
        relinked=more.relinked,
        charging=more.charging,
        suspected=_suspected(row, more),
        tripped=more.tripped,
        unsent_by_answer=more.unsent_by_answer,
        history=history(past, more.steps_short),
    )


def _suspected(row: ChargeState, more: Circumstances) -> Declined | None:
    """Return the decline of an unresolved charge that is being confirmed."""
    if more.fault is None or row.status not in UNRESOLVED:
        return None
    return Declined(more.fault, more.code or "", more.message or "")


def history(past: ChargeHistory, steps_short: int) -> History:
    """Build the history of an invoice's earlier charges from their counts."""
    return History(
        scheduled_declines=past.scheduled_declines,
        steps_short=steps_short,
        technical_declines=past.technical_declines,
        unsent=past.unsent,
        attempts=past.attempts,
        last_fault=past.last_fault,
    )

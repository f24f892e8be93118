"""Charge facts: build the domain's inputs from rows of a charge and its invoice."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from billing.domain import dunning
from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.dunning import History
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import Declined, Fault, Waiting
from billing.domain.periods import zone
from billing.domain.settlement import Facts
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus


def facts(row: Mapping[Any, Any]) -> Facts:
    """Build what the decision about a plain success needs, from `charges.lock_for_settling`."""
    cycles = row["cycles"]
    return Facts(
        charge_status=ChargeStatus(row["status"]),
        invoice_status=InvoiceStatus(row["invoice_status"]),
        subscription_status=SubscriptionStatus(row["subscription_status"]),
        sent_at=row["sent_at"],
        zone=zone(row["timezone"]),
        last_cycle=cycles is not None and row["next_period_index"] >= cycles,
        other_open=row["other_open"],
        parked=row["parked_at"] is not None,
        resolved_at=row["resolved_at"],
    )


def facts_of_trouble(row: Mapping[Any, Any], past: Mapping[Any, Any], now: datetime) -> Facts:
    """Build what any other decision needs: `row` has the charge's circumstances too."""
    waiting = row["waiting"]
    return replace(
        facts(row),
        trigger=Trigger(row["trigger"]),
        sends=row["sends"],
        asks=row["asks"],
        failed_seen_at=row["failed_seen_at"],
        waiting=Waiting(waiting) if waiting else None,
        first_failed_at=row["first_failed_at"],
        policy=dunning.policy(row),
        reopened=row["reopened"],
        planned_at=row["planned_at"],
        step_deadline_at=row["step_deadline_at"],
        # It may be over before a tick has said so.
        wallet_active=row["wallet_status"] == WalletStatus.ACTIVE and row["expires_at"] > now,
        relinked=row["relinked"],
        charging=row["charging"],
        suspected=_suspected(row),
        tripped=row["tripped"],
        unsent_by_answer=row["unsent_by_answer"],
        history=history(past, row["steps_short"]),
    )


def _suspected(row: Mapping[Any, Any]) -> Declined | None:
    """Return the decline of an unresolved charge that is being confirmed."""
    if row["fault"] is None or ChargeStatus(row["status"]) not in UNRESOLVED:
        return None
    return Declined(Fault(row["fault"]), row["code"] or "", row["message"] or "")


def history(past: Mapping[Any, Any], steps_short: int) -> History:
    """Build the history of an invoice's earlier charges from the counts of `charges.history`."""
    return History(
        scheduled_declines=past["scheduled_declines"],
        steps_short=steps_short,
        technical_declines=past["technical_declines"],
        unsent=past["unsent"],
        attempts=past["attempts"],
        last_fault=Fault(past["last_fault"]) if past["last_fault"] else None,
    )

"""Pre-retry checks: query the gateway before an invoice is charged again.

The status of the previous charge is queried again: if that charge did succeed, it is settled
instead of repeated. Then the wallet's balance is read: with a shortfall, nothing is sent and no
dunning step is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import dunning
from billing.domain.charge import Trigger
from billing.domain.errors import NotConfigured
from billing.domain.events import event
from billing.domain.invoice import Blocked
from billing.domain.outcomes import (
    OTHER_AMOUNT_GONE,
    Balance,
    Declined,
    NotFound,
    Pending,
    Succeeded,
    Unknown,
)
from billing.domain.periods import zone
from billing.domain.settlement import Source
from billing.services.collecting import charge_facts, settling, uncollectible
from billing.services.collecting.settling import News
from billing.services.context import Context
from billing.services.operating import held_rows, safety
from billing.store.queries import charges, claims, events, invoices
from billing.store.queries.claims import ActiveWallet, Candidate, LastCharge
from billing.store.queries.holding import Kind
from billing.store.queries.invoices import AttemptPlan

ASK_AGAIN = (
    *(timedelta(minutes=5),) * 3,
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
)
"""How long a retry waits, each time, while the gateway cannot resolve the previous charge; the last
wait repeats."""
POSTPONED_MAX = len(ASK_AGAIN) + 6
"""After a week of daily queries an operator is needed; the daily queries continue."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The result of the checks of one invoice."""

    row: Candidate
    paid: bool = False
    blind: str = ""
    shortfall: int = 0
    error: Exception | None = None


def look(context: Context, invoice_ids: Sequence[UUID]) -> dict[UUID, UUID | None]:
    """Return the invoices that may be charged, each with the previous charge that was checked.

    An invoice that was never charged needs no check; the claim decides whether it may be charged.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        charged = set(claims.charged_before(connection, invoice_ids))
        fresh: dict[UUID, UUID | None] = {key: None for key in invoice_ids if key not in charged}
        if not charged:
            return fresh
        if not safety.may_charge(context, connection):
            invoices.end_leases(connection, invoice_ids)
            return {}
        again = claims.candidates(connection, list(charged), now)
    sights = list(context.pool.map(lambda row: _seen(context, row, now), again))
    paid = [News(_last(s.row).id, Succeeded()) for s in sights if s.paid]
    if paid:
        settling.settle(context, paid, Source.STATUS)
    unclear = {s.row.invoice_id: s for s in sights if s.blind or s.shortfall or s.error}
    held_rows.each(
        context, Kind.INVOICE, list(unclear), lambda key: _put_off(context, unclear[key], now)
    )
    clear = {
        s.row.invoice_id: s.row.last_charge_id
        for s in sights
        if not s.paid and s.row.invoice_id not in unclear
    }
    return fresh | clear


def _seen(context: Context, row: Candidate, now: datetime) -> Sight:
    """Check one invoice; an error concerns only that invoice."""
    try:
        return _look(context, row, now)
    except Exception as error:  # noqa: BLE001 - raised again for a single invoice
        return Sight(row, error=error)


def _put_off(context: Context, sight: Sight, now: datetime) -> None:
    if sight.error is not None:
        raise sight.error
    if sight.blind:
        _postpone(context, sight, now)
    else:
        _wait_for_money(context, sight, now)


def _look(context: Context, row: Candidate, now: datetime) -> Sight:
    number = _last(row).gateway_number
    match context.gateway.check_status(number, number, row.amount):
        case Succeeded():
            return Sight(row, paid=True)
        case Declined() | NotFound():
            pass
        case Pending(waiting=waiting):
            return Sight(row, blind=f"pending: {waiting}")
        case Unknown(reason=reason) if reason in OTHER_AMOUNT_GONE:
            pass  # the gateway holds no money under that number
        case Unknown(reason=reason):
            return Sight(row, blind=reason or "unknown")
    by_schedule = row.next_trigger is Trigger.SCHEDULED and row.first_failed_at is not None
    wallet = row.wallet
    if by_schedule and wallet is not None and wallet.expires_at > now:
        return Sight(row, shortfall=_shortfall(context, row, wallet))
    return Sight(row)


def _last(row: Candidate) -> LastCharge:
    """Return the previous charge of an invoice that was charged before."""
    last = row.last
    assert last is not None  # noqa: S101 - only invoices with a charge are checked
    return last


def _shortfall(context: Context, row: Candidate, wallet: ActiveWallet) -> int:
    """Return how much the wallet is short; zero when it suffices or cannot be queried."""
    try:
        token = context.vault.open(wallet.token_sealed).decode()
    except NotConfigured:
        return 0
    balance = context.gateway.balance(row.customer_id, token)
    if not isinstance(balance, Balance):
        return 0
    held = balance.cash + (balance.points if row.use_points else 0)
    return max(row.amount - held, 0)


def _seen_again(connection: Connection, row: Candidate, now: datetime) -> Candidate | None:
    """Lock a checked invoice and read it again; None when it changed in the meantime.

    A changed invoice is due again immediately, and is checked again.
    """
    locked = claims.lock_subscriptions_of(connection, [row.invoice_id])
    fresh = claims.candidates(connection, [row.invoice_id], now, locked=locked)
    if fresh and fresh[0].last_charge_id == row.last_charge_id:
        return fresh[0]
    invoices.end_leases(connection, [row.invoice_id])
    return None


def _postpone(context: Context, sight: Sight, now: datetime) -> None:
    """Record that the previous charge is still unclear, and when it is queried again."""
    with context.database.transaction() as connection:
        row = _seen_again(connection, sight.row, now)
        if row is None:
            return
        last = _last(row)
        before = events.count(connection, "invoice.postponed", row.subscription_id, last.id)
        later = now + ASK_AGAIN[min(before, len(ASK_AGAIN) - 1)]
        plan: AttemptPlan = {"key": row.invoice_id, "next_attempt_at": later}
        if before + 1 >= POSTPONED_MAX:
            plan["reason"] = (
                f"postponed {before + 1} times: the outcome of its charge {last.gateway_number} is"
                f" unclear ({sight.blind})"
            )
        invoices.plan_attempts(connection, [plan])
        recorded = event(
            "invoice.postponed",
            at=now,
            customer_id=row.customer_id,
            subscription_id=row.subscription_id,
            invoice_id=row.invoice_id,
            charge_id=last.id,
            why=sight.blind,
            asked_again_at=later.isoformat(),
        )
        events.record(connection, [recorded])


def _wait_for_money(context: Context, sight: Sight, now: datetime) -> None:
    """Record that the wallet is short, and when it is checked again or the step counts."""
    with context.database.transaction() as connection:
        row = _seen_again(connection, sight.row, now)
        if row is None:
            return
        past = charges.history(connection, [row.invoice_id])[row.invoice_id]
        assert row.first_failed_at is not None  # noqa: S101 - its previous charge was declined
        wait = dunning.wait_for_money(
            dunning.policy_of(row.retry_terms),
            charge_facts.history(past, row.steps_short),
            row.step_deadline_at,
            row.first_failed_at,
            now,
            zone(row.timezone),
            timedelta(seconds=context.settings.balance_recheck_seconds),
        )
        if isinstance(wait, dunning.Cap):
            uncollectible.give_up(connection, row.subscription_id, now, wait)
            return
        plan: AttemptPlan = {
            "key": row.invoice_id,
            "next_attempt_at": wait.asked_again_at,
            "blocked_on": Blocked.BALANCE,
            "reason": None,
            "shortfall": sight.shortfall,
            "steps_short": row.steps_short + wait.missed,
            "step_deadline_at": wait.deadline_at,
        }
        invoices.plan_attempts(connection, [plan])
        recorded = event(
            "dunning.step_missed" if wait.missed else "invoice.short",
            at=now,
            customer_id=row.customer_id,
            subscription_id=row.subscription_id,
            invoice_id=row.invoice_id,
            shortfall=sight.shortfall,
            asked_again_at=wait.asked_again_at.isoformat(),
        )
        events.record(connection, [recorded])

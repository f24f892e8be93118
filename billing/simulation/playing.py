"""Simulates one customer under one policy: the engine's decisions, a simulated wallet, no rows.

Charges, dates and the end of dunning come from `settlement.decide` and `dunning`, as in the
engine. An invoice opens on its date; only the oldest unpaid one is charged, and the next follows
at once when it is paid. When dunning gives up, the customer is lost.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from billing.domain import dunning
from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.dunning import Cap, History
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import Declined
from billing.domain.settlement import Facts, Limits, Source, decide
from billing.domain.subscription import SubscriptionStatus
from billing.simulation.contenders import Contender
from billing.simulation.wallets import ZONE, Life, SimulatedWallet

RECHECK = timedelta(hours=6)
"""The wait between balance checks: the default of BILLING_BALANCE_RECHECK_SECONDS."""
LIMITS = Limits(not_found_horizon=timedelta(minutes=15), wallet_wait=timedelta(days=30))


@dataclass(slots=True)
class Invoice:
    """The amount owed for one month, and its history. `amount` is whole rupiah."""

    amount: int
    due_at: datetime
    first_failed_at: datetime | None = None
    deadline_at: datetime | None = None
    paid_at: datetime | None = None
    charges: int = 0
    asks: int = 0
    past: History = field(default_factory=History)


@dataclass(slots=True)
class Played:
    """The history of one customer."""

    invoices: list[Invoice] = field(default_factory=list)
    is_lost: bool = False


def play(contender: Contender, life: Life, dates: Sequence[datetime]) -> Played:
    """Charge a customer on each of `dates`, with dunning, until every invoice has ended."""
    wallet, played = SimulatedWallet(life), Played()
    coming, owed = deque(dates), deque[Invoice]()
    while coming or owed:
        if coming and (not owed or coming[0] <= owed[0].due_at):
            invoice = Invoice(life.profile.amount, coming.popleft())
            played.invoices.append(invoice)
            owed.append(invoice)
            continue
        invoice = owed[0]
        now = invoice.due_at
        wallet.live_until(now)
        following = _try(contender, wallet, invoice, now)
        if isinstance(following, Cap):
            played.is_lost = True
            return played
        if following is not None:
            invoice.due_at = following
            continue
        owed.popleft()
        if owed:
            owed[0].due_at = now
    return played


def _try(
    contender: Contender, wallet: SimulatedWallet, invoice: Invoice, now: datetime
) -> datetime | Cap | None:
    """Charge or check an invoice: returns its next date, the cap that ended it, or None if paid."""
    if contender.is_aware and invoice.first_failed_at is not None:
        invoice.asks += 1
        if wallet.cash < invoice.amount:
            return _wait(contender, invoice, invoice.first_failed_at, now)
    invoice.charges += 1
    outcome = wallet.pay(invoice.amount)
    facts = _facts(contender, invoice, now)
    decision = decide(facts, outcome, Source.LIVE, now=now, limits=LIMITS)
    if isinstance(outcome, Declined) and decision and decision.status is ChargeStatus.UNKNOWN:
        # A decline that ends dunning is queried again; simulated wallets repeat their answer.
        asked = replace(facts, charge_status=ChargeStatus.UNKNOWN, suspected=outcome)
        decision = decide(asked, outcome, Source.STATUS, now=now, limits=LIMITS)
    if decision is None or decision.pays:
        invoice.paid_at = now
        return None
    if isinstance(outcome, Declined):
        invoice.past = invoice.past.after(outcome.fault, scheduled=True)
    invoice.first_failed_at, invoice.deadline_at = decision.first_failed_at, None
    return decision.cap or decision.retry_at


def _wait(
    contender: Contender, invoice: Invoice, first_failed_at: datetime, now: datetime
) -> datetime | Cap:
    wait = dunning.wait_for_money(
        contender.policy, invoice.past, invoice.deadline_at, first_failed_at, now, ZONE, RECHECK
    )
    if isinstance(wait, Cap):
        return wait
    invoice.deadline_at = wait.deadline_at
    if wait.missed:
        invoice.past = replace(invoice.past, steps_short=invoice.past.steps_short + 1)
    return wait.asked_again_at


def _facts(contender: Contender, invoice: Invoice, now: datetime) -> Facts:
    return Facts(
        charge_status=ChargeStatus.IN_FLIGHT,
        trigger=Trigger.SCHEDULED,
        sends=1,
        status_queries=0,
        sent_at=now,
        failed_seen_at=None,
        waiting=None,
        invoice_status=InvoiceStatus.OPEN,
        first_failed_at=invoice.first_failed_at,
        subscription_status=SubscriptionStatus.ACTIVE,
        zone=ZONE,
        policy=contender.policy,
        history=invoice.past,
    )

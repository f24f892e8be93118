"""Claiming: commit the charges of a batch before the first byte is sent.

The claim decides which worker charges: a message that is repeated, late, or processed twice at once
finds nothing left to claim. The claim also limits charges: per customer and day, and in total per
hour.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from os import getpid
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import charge, dunning
from billing.domain.charge import ChargeMove, ChargeStatus, Trigger
from billing.domain.errors import BillingError, InvalidValue, NotConfigured
from billing.domain.events import SCHEDULER, Actor, Event, event
from billing.domain.instants import spoken
from billing.domain.invoice import Blocked
from billing.domain.money import rupiah
from billing.domain.outcomes import Payer, Payment, SealedPayment
from billing.domain.periods import zone
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from billing.logs import Logger
from billing.services.collecting import uncollectible
from billing.services.context import LEASE_SECONDS, Context
from billing.services.operating import held_rows, kill_switch, safety
from billing.services.subscriptions import transitions
from billing.store.queries import claims, events, invoices
from billing.store.queries.claims import ActiveWallet, Candidate, NewCharge
from billing.store.queries.holding import Kind
from billing.store.queries.invoices import AttemptPlan

log = Logger(__name__)

UNSENDABLE_WAIT = timedelta(days=1)
CUSTOMER_WAIT = timedelta(hours=6)
HOUR_SHARDS = 16
"""Number of counter rows per hour, so that processes do not wait for each other."""
DAY = timedelta(days=1)
T = TypeVar("T")


class Ready(NamedTuple):
    """A charge to insert, or to send again, and its bytes for the gateway."""

    charge: NewCharge
    payment: SealedPayment
    is_again: bool


class TooMuch(BillingError):
    """The hour's charges would exceed the limit; nothing is claimed."""


def claim(
    context: Context, seen: dict[UUID, UUID | None], *, leased: bool = True
) -> list[SealedPayment]:
    """Claim invoices: commit their charges, and return what to send.

    `seen` maps each invoice to the last charge that was checked. An invoice with a newer one
    is skipped: another worker has charged it. An invoice that cannot be claimed is held. When
    these invoices are `leased` by this worker, those that it does not claim are due again.
    """
    if not seen:
        return []

    def work(part: Sequence[UUID]) -> list[SealedPayment]:
        mine = part if leased else []
        return _committed(context, lambda connection: act(connection, part), mine) or []

    def act(connection: Connection, part: Sequence[UUID]) -> list[SealedPayment]:
        allowed = safety.charges_at_once(context, connection, len(part))
        passed_over = part[allowed:]
        if passed_over and leased:
            invoices.end_leases(connection, passed_over)
        chosen = {key: seen[key] for key in part[:allowed]}
        return _claim(context, connection, chosen, leased=leased)

    parts = held_rows.isolate(list(seen), work, held_rows.holder(context, Kind.INVOICE))
    return [payment for payments in parts for payment in payments]


def claim_due(context: Context, most: int) -> tuple[list[SealedPayment], list[UUID]]:
    """Claim due invoices without a lease; return what to send, and what to check first.

    The latter are invoices that were charged before; they are leased. An invoice that cannot be
    claimed now, because its subscription is locked, stays due, without a lease.
    """

    def act(connection: Connection) -> tuple[list[SealedPayment], list[UUID]]:
        now = context.clock.now()
        allowed = safety.charges_at_once(context, connection, most)
        due = invoices.lock_due(connection, now, allowed) if allowed else []
        new = _claim(context, connection, dict.fromkeys(due))
        if len(new) == len(due):
            return new, []
        charged = claims.charged_before(connection, due)
        return new, invoices.lease(connection, charged, now, lease_seconds=LEASE_SECONDS)

    try:
        return _committed(context, act) or ([], [])
    except Exception as error:
        if not held_rows.may_be_a_row(error):
            raise
    return _claim_leased(context, most), []


def claim_waiting(context: Context, most: int) -> list[SealedPayment]:
    """Claim invoices of messages that wait, as if such a message had come; it then finds less.

    A message may wait for a worker, or be lost. Its lease is not touched: another worker may be
    claiming these invoices, and each would wait for a row that the other has locked.
    """
    with context.database.transaction() as connection:
        found = invoices.waiting(connection, context.clock.now(), most)
    return claim(context, dict.fromkeys(found), leased=False)


def _claim_leased(context: Context, most: int) -> list[SealedPayment]:
    """Claim due invoices after a batch failed; the invoices that cause the failure are held.

    An invoice that was charged before keeps a short lease, and is checked later.
    """
    with context.database.transaction() as connection:
        due = invoices.lease_due(
            connection, context.clock.now(), lease_seconds=LEASE_SECONDS, limit=most
        )
    new = claim(context, dict.fromkeys(due))
    with context.database.transaction() as connection:
        invoices.end_leases(connection, due)
    return new


def _committed(
    context: Context, act: Callable[[Connection], T], leased: Sequence[UUID] = ()
) -> T | None:
    """Run a transaction; when it would exceed the hour's limit, stop charging and return None.

    Invoices `leased` for it are then due again when charging starts.
    """
    try:
        with context.database.transaction() as connection:
            return act(connection)
    except TooMuch as reason:
        log.error("charging.stopped", why=str(reason))  # noqa: TRY400 - no bug, a guard
        kill_switch.stop_charging(context, Actor("guard", str(reason)))
    with context.database.transaction() as connection:
        invoices.end_leases(connection, leased)
    return None


def _claim(
    context: Context,
    connection: Connection,
    seen: dict[UUID, UUID | None],
    *,
    leased: bool = False,
) -> list[SealedPayment]:
    """Claim invoices; `leased` ones whose subscription is locked are due again."""
    if not seen:
        return []
    now = context.clock.now()
    locked = claims.lock_subscriptions_of(connection, list(seen))
    found = claims.candidates(connection, list(seen), now, locked=locked)
    if leased and len(found) < len(seen):
        invoices.pass_over(connection, list(seen), locked)
    rows = [row for row in found if row.last_charge_id == seen[row.invoice_id]]
    charged = claims.counts_since(connection, [row.customer_id for row in rows], now - DAY)
    ready: list[Ready] = []
    for row in rows:
        wallet = row.wallet
        if wallet is None or wallet.expires_at <= now:
            _wait_for_wallet(context, connection, row, now)
        elif charged.get(row.customer_id, 0) >= context.settings.customer_charges_a_day_max:
            _hold_back(connection, row, now)
        else:
            ready += _composed(context, connection, row, wallet, now)
            charged[row.customer_id] = charged.get(row.customer_id, 0) + 1
    if not ready:
        return []
    fresh = [item.charge for item in ready if not item.is_again]
    again = [item.charge for item in ready if item.is_again]
    hour = now.replace(minute=0, second=0, microsecond=0)
    shard = getpid() % HOUR_SHARDS
    new, total = claims.claim(connection, fresh, again, now, hour=hour, shard=shard)
    limit = context.settings.rupiah_an_hour_max
    if total > limit:
        raise TooMuch(
            f"{rupiah(total)} would be charged in the hour from {spoken(hour)}; the limit is"
            f" {rupiah(limit)} (BILLING_RUPIAH_AN_HOUR_MAX)"
        )
    return [item.payment for item in ready if item.charge.id in new]


def _hold_back(connection: Connection, row: Candidate, now: datetime) -> None:
    """Delay a customer who was charged too often in a day, and record it."""
    why = "the customer was charged too often within a day"
    later = now + CUSTOMER_WAIT
    plan: AttemptPlan = {"key": row.invoice_id, "next_attempt_at": later, "reason": why}
    invoices.plan_attempts(connection, [plan])
    events.record(connection, [_event_of("invoice.held_back", row, now, why=why)])


def _composed(
    context: Context, connection: Connection, row: Candidate, wallet: ActiveWallet, now: datetime
) -> list[Ready]:
    """Build the charge of one invoice as a row and as bytes; none when it cannot be encoded."""
    last = row.last
    if last is not None and last.unused:
        # The gateway never received it.  A new number would leave this one unused, and a database
        # restored from an earlier backup would take it for a payment that was never made.
        is_again, attempt = True, last.attempt
        status = charge.advance(last.status, ChargeMove.RESEND)
    else:
        is_again, attempt = False, (0 if last is None else last.attempt) + 1
        status = ChargeStatus.IN_FLIGHT
    identity = charge.charge_id(row.invoice_id, attempt)
    number = charge.gateway_number(row.subscription_id, row.period_index, attempt, row.change_index)
    first_payment = row.first_paid_at is None
    try:
        payment = Payment(
            payer=Payer(row.customer_id, row.name, row.phone, row.email),
            number=number,
            amount=row.amount,
            token=context.vault.open(wallet.token_sealed).decode(),
            use_points=row.use_points,
            first_payment=first_payment,
            description=row.plan_name,
        )
        body = context.gateway.compose(payment)
    except (InvalidValue, NotConfigured) as refused:
        _unsendable(connection, row, str(refused), now)
        return []
    new = NewCharge(
        id=identity,
        invoice_id=row.invoice_id,
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        plan_code=row.plan_code,
        wallet_id=wallet.id,
        attempt=attempt,
        gateway_number=number,
        trigger=_trigger(row, now),
        first_payment=first_payment,
        amount=row.amount,
        status=status,
        body_sealed=context.vault.seal(body),
        created_at=now,
        sent_at=now,
        next_check_at=now + charge.QUERY_AFTER[0],
    )
    return [Ready(new, SealedPayment(str(identity), number, row.amount, body), is_again)]


def _trigger(row: Candidate, now: datetime) -> Trigger:
    """Return who requested a charge; a manual retry after the dunning date counts as that step."""
    date_there_was = row.step_deadline_at or row.planned_at
    if row.first_failed_at is None or (date_there_was is not None and date_there_was <= now):
        return Trigger.SCHEDULED
    return row.next_trigger


def _unsendable(connection: Connection, row: Candidate, why: str, now: datetime) -> None:
    """Mark an invoice whose charge the gateway would refuse as malformed."""
    later = now + UNSENDABLE_WAIT
    plan: AttemptPlan = {"key": row.invoice_id, "next_attempt_at": later, "reason": why}
    invoices.plan_attempts(connection, [plan])
    events.record(connection, [_event_of("invoice.unsendable", row, now, why=why)])


def _wait_for_wallet(
    context: Context, connection: Connection, row: Candidate, now: datetime
) -> None:
    """Make an invoice wait for a wallet, with a deadline; no dunning step is used."""
    if row.wallet_id is not None:
        transitions.lose_wallet(connection, row.wallet_id, now, "the token has expired")
    waited = row.blocked_on is Blocked.WALLET
    until = dunning.wallet_awaited_until(
        dunning.policy_of(row.retry_terms), context.limits.wallet_wait, row.first_failed_at, now,
        zone(row.timezone),
    )  # fmt: skip
    # An operator's attempt of an uncollectible invoice does not wait for a wallet.
    given_up = waited or invoices.is_reopened(connection, row.invoice_id)
    if isinstance(until, dunning.Cap) or given_up:
        cap = until if isinstance(until, dunning.Cap) else None
        why = "no wallet was linked in time"
        uncollectible.give_up(connection, row.subscription_id, now, cap, why)
        return
    waiting: AttemptPlan = {
        "key": row.invoice_id,
        "next_attempt_at": until,
        "blocked_on": Blocked.WALLET,
        # A step that waited because of a shortfall starts its wait again once there is a wallet.
        "step_deadline_at": None,
        "shortfall": None,
    }
    invoices.plan_attempts(connection, [waiting])
    events.record(connection, [_event_of("invoice.blocked", row, now, on=Blocked.WALLET)])
    if row.subscription_status is SubscriptionStatus.ACTIVE:
        transitions.move(connection, row.subscription_id, SubscriptionMove.FALL_BEHIND, now)


def _event_of(kind: str, row: Candidate, now: datetime, **data: object) -> Event:
    return event(
        kind,
        at=now,
        by=SCHEDULER,
        customer_id=row.customer_id,
        subscription_id=row.subscription_id,
        invoice_id=row.invoice_id,
        data=data,
    )

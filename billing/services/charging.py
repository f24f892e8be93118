"""Charging: claim, call, settle. Safe to call twice, late, or at the same time as itself.

The claim decides who acts. It is committed before the first byte is sent, so that whatever
happens afterwards leaves a row that says a payment may exist.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from billing.domain import charge
from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.errors import InvalidValue
from billing.domain.events import SCHEDULER, event
from billing.domain.invoice import Blocked
from billing.domain.outcomes import Outcome, Payer, Payment, SealedPayment, Unknown
from billing.domain.settlement import Source
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from billing.services import guarding, looking, settling
from billing.services.context import LEASE_SECONDS, Context
from billing.services.settling import News
from billing.store.queries import charges, events, invoices

log = structlog.get_logger(__name__)

UNSENDABLE_WAIT = timedelta(days=1)


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease invoices that are due to be charged; none while charging may not be."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not guarding.may_charge(context, connection):
            return []
        return invoices.lease_due(connection, now, lease_seconds=LEASE_SECONDS, limit=limit)


def collect(context: Context, invoice_ids: Sequence[UUID]) -> None:
    """Try once to collect each invoice, and record what is known afterwards."""
    seen = looking.look(context, invoice_ids)
    send(context, _claim(context, seen))


def send(context: Context, payments: Iterable[SealedPayment]) -> None:
    """Send payments whose charges are on disk, and settle the answers as they arrive.

    No transaction is open while a wallet thinks. Answers that arrive while others are being
    settled wait for the next group, so that groups grow with the load by themselves.
    """
    waiting = {
        context.pool.submit(_pay, context, payment): UUID(payment.request_id)
        for payment in payments
    }
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        again = settling.settle(context, [_news(waiting, item) for item in done], Source.LIVE)
        # A live answer never asks for a resend; only "not found" from a status query does.
        assert not again  # noqa: S101


def _news(waiting: dict[Future[Outcome], UUID], done: Future[Outcome]) -> News:
    return News(waiting.pop(done), done.result())


def _pay(context: Context, payment: SealedPayment) -> Outcome:
    try:
        return context.gateway.pay(payment)
    except Exception as error:
        log.exception("charge.call_failed", charge=payment.request_id)
        return Unknown(f"the client failed: {type(error).__name__}")


def _claim(context: Context, seen: Mapping[UUID, UUID | None]) -> list[SealedPayment]:
    """Commit the charges that are about to be sent, and return what to send.

    `seen` maps each invoice to the last charge that was looked at. An invoice with a newer one
    is passed over: somebody else was here in between.
    """
    if not seen:
        return []
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not guarding.may_charge(context, connection):
            return []
        locked = charges.lock_subscriptions_of(connection, list(seen))
        found = charges.candidates(connection, list(seen), now, locked=locked)
        rows = [row for row in found if row["last_charge_id"] == seen[row["invoice_id"]]]
        ready = []
        for row in rows:
            if row["wallet_id"] is None or row["expires_at"] <= now:
                _wait_for_wallet(context, connection, row, now)
            else:
                ready += _composed(context, connection, row, now)
        new = charges.claim(connection, [columns for columns, _ in ready])
        charges.take_off_schedule(connection, list(new))
        claimed = [(columns, payment) for columns, payment in ready if columns["id"] in new]
        events.record(connection, [_claimed(columns, now) for columns, _ in claimed])
    return [payment for _, payment in claimed]


def _claimed(columns: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return event(
        "charge.claimed",
        at=now,
        customer_id=columns["customer_id"],
        subscription_id=columns["subscription_id"],
        invoice_id=columns["invoice_id"],
        charge_id=columns["id"],
        ordinal=columns["ordinal"],
        amount=columns["amount"],
        first_payment=columns["first_payment"],
        trigger=columns["trigger"],
    )


def _composed(
    context: Context, connection: Connection, row: Mapping[Any, Any], now: datetime
) -> list[tuple[dict[str, Any], SealedPayment]]:
    """The charge of one invoice as a row and as bytes; nothing when it cannot be put in words."""
    ordinal = (row["last_ordinal"] or 0) + 1
    identity = charge.charge_id(row["invoice_id"], ordinal)
    number = charge.gateway_number(row["subscription_id"], row["period_index"], ordinal)
    first_payment = row["first_paid_at"] is None
    payment = Payment(
        payer=Payer(row["customer_id"], row["name"], row["phone"], row["email"]),
        number=number,
        amount=row["amount"],
        token=context.vault.open(row["token_sealed"]).decode(),
        use_points=row["use_points"],
        first_payment=first_payment,
        description=row["plan_name"],
    )
    try:
        body = context.gateway.compose(payment)
    except InvalidValue as refused:
        _unsendable(connection, row, str(refused), now)
        return []
    retry = row["first_failed_at"] is not None
    columns = {
        "id": identity,
        "invoice_id": row["invoice_id"],
        "subscription_id": row["subscription_id"],
        "customer_id": row["customer_id"],
        "wallet_id": row["wallet_id"],
        "ordinal": ordinal,
        "gateway_number": number,
        "trigger": row["next_trigger"] if retry else Trigger.SCHEDULED,
        "first_payment": first_payment,
        "amount": row["amount"],
        "status": ChargeStatus.IN_FLIGHT,
        "body_sealed": context.vault.seal(body),
        "created_at": now,
        "sent_at": now,
        "next_check_at": now + charge.ASK_AFTER[0],
    }
    return [(columns, SealedPayment(str(identity), number, row["amount"], body))]


def _unsendable(connection: Connection, row: Mapping[Any, Any], why: str, now: datetime) -> None:
    """A charge the gateway would refuse as malformed is not sent; the invoice says so."""
    later = {"key": row["invoice_id"], "next_attempt_at": now + UNSENDABLE_WAIT, "reason": why}
    invoices.plan_attempts(connection, [later])
    events.record(connection, [_told("invoice.unsendable", row, now, why=why)])


def _wait_for_wallet(
    context: Context, connection: Connection, row: Mapping[Any, Any], now: datetime
) -> None:
    """Without a live token nothing is sent and no step is spent; the wait has an end."""
    if row["wallet_id"] is not None:
        settling.lose_wallet(connection, row["wallet_id"], now, "the token's year has ended")
    if row["blocked_on"] == Blocked.WALLET:
        settling.give_up(connection, row["subscription_id"], now)
        return
    until = now + context.limits.wallet_wait
    waiting = {"key": row["invoice_id"], "next_attempt_at": until, "blocked_on": Blocked.WALLET}
    # A step that waited for money waits anew once there is a wallet.
    invoices.plan_attempts(connection, [waiting | {"step_deadline_at": None, "shortfall": None}])
    events.record(connection, [_told("invoice.blocked", row, now, on=Blocked.WALLET)])
    if row["subscription_status"] == SubscriptionStatus.ACTIVE:
        settling.move(connection, row["subscription_id"], SubscriptionMove.FALL_BEHIND, now)


def _told(kind: str, row: Mapping[Any, Any], now: datetime, **data: Any) -> dict[str, Any]:
    return event(
        kind,
        at=now,
        by=SCHEDULER,
        customer_id=row["customer_id"],
        subscription_id=row["subscription_id"],
        invoice_id=row["invoice_id"],
        **data,
    )

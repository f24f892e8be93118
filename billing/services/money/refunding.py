"""Refunding: refund one succeeded charge, once, and never more than was charged.

The row of a refund is committed before its request is sent. `domain.refund_settlement` decides what
an answer means. A refund with an unknown outcome is queried under its own Request-Id, and sent
again under it only when the gateway says that it never received it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import refund
from billing.domain.errors import IllegalMove, NotKnown, RefundTooLarge
from billing.domain.events import SCHEDULER, Actor
from billing.domain.invoice import InvoiceStatus
from billing.domain.money import checked_amount, rupiah
from billing.domain.outcomes import RefundOrder, RefundOutcome, StatusOutcome, Succeeded, Unknown
from billing.domain.refund import RefundMove, RefundPurpose, RefundStatus
from billing.domain.refund_settlement import Decision, Facts, decide_asked, decide_live
from billing.logs import Logger
from billing.services.context import (
    LEASE_SECONDS,
    Context,
    Request,
    check_same_order,
    once,
    order_name,
)
from billing.services.money import charge_money, refund_resolution
from billing.services.money.refund_resolution import refund_event
from billing.services.operating import held_rows, safety
from billing.store.queries import charges, events, invoices, refunds, subscriptions
from billing.store.queries.charges import Money
from billing.store.queries.holding import Kind
from billing.store.queries.refunds import LockedRefund

log = Logger(__name__)

ANSWER_WAIT = timedelta(seconds=120)
"""How long a refund in flight is not touched; longer than any call to the gateway may take."""
REASON_MAX = 255
"""The gateway's limit for a reason (DOKU, Refund); the full reason stays recorded."""


class Requested(TypedDict):
    """The answer to a request for a refund; `amount` is rupiah."""

    refund: str
    invoice: str
    amount: int


def refund_invoice(
    context: Context,
    invoice_id: UUID,
    amount: int | None,
    by: Actor,
    request: Request | None = None,
) -> Requested:
    """Refund `amount` rupiah of a paid invoice, or everything that is kept of it.

    Money that became the customer's credit is not refunded. Raises NotKnown, IllegalMove (not paid)
    or RefundTooLarge; then nothing is written.
    """
    if amount is not None:
        checked_amount(amount)

    def act(connection: Connection, now: datetime) -> Requested:
        invoice = invoices.standing(connection, invoice_id)
        if invoice is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        subscriptions.lock(connection, [invoice.subscription_id])
        paid = charges.refundable(connection, invoice_id)
        if paid is None:
            free = invoice.status is InvoiceStatus.PAID
            raise IllegalMove(
                f"invoice {invoice_id} was covered by credits; no money was taken for it"
                if free
                else f"invoice {invoice_id} is {invoice.status}; only a paid one can be refunded"
            )
        name = order_name(request)
        earlier = charge_money.ordered_before(connection, paid.id, name)
        if earlier is not None:
            check_same_order(request, is_same=amount in {None, earlier.amount})
            return {"refund": str(earlier.id), "invoice": str(invoice_id), "amount": earlier.amount}
        wanted = paid.kept if amount is None else amount
        if not 0 < wanted <= paid.kept:
            raise _too_large(paid, invoice_id, wanted)
        why = by.reason or "refund"
        order = charge_money.Order(name, wanted, _purpose(paid, invoice.status), why)
        made = refund_resolution.request_in_place_of(
            connection, charge_money.Taken.by(paid), order, by, now
        )
        return {"refund": str(made), "invoice": str(invoice_id), "amount": wanted}

    return once(context, request, act)


def _purpose(paid: Money, status: InvoiceStatus) -> RefundPurpose:
    """Return the purpose of a refund: a surplus payment must be returned in any case."""
    if not paid.surplus:
        return RefundPurpose.OPERATOR
    return RefundPurpose.SURPLUS if status is InvoiceStatus.PAID else RefundPurpose.VOID


def _too_large(paid: Money, invoice_id: UUID, wanted: int) -> RefundTooLarge:
    said = f"{rupiah(paid.kept)} is left of invoice {invoice_id}"
    if paid.credited:
        said += f", {rupiah(paid.credited)} was credited to the customer's balance"
    if paid.kept:
        return RefundTooLarge(f"{said}; {rupiah(wanted)} cannot be refunded", field="amount")
    if paid.credited:
        return RefundTooLarge(said, hint="pay a credit out with: billing credit refund ID")
    return RefundTooLarge(f"{said}; it is refunded already")


def send_again(context: Context, invoice_id: UUID, by: Actor) -> int:
    """Retry the refunds of an invoice that need an operator, and return how many.

    A parked refund is queried, and sent again under its own Request-Id if the gateway never
    received it. A declined refund whose money must be returned is replaced by a new one. Raises
    NotKnown, or IllegalMove when the invoice has neither.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        invoice = invoices.standing(connection, invoice_id)
        if invoice is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        subscriptions.lock(connection, [invoice.subscription_id])
        waiting = [
            row
            for row in refunds.of_invoice(connection, [invoice_id])
            if row.parked_at is not None or row.status is RefundStatus.UNRETURNED
        ]
        if not waiting:
            raise IllegalMove(f"no refund of invoice {invoice_id} is parked or unreturned")
        for row in waiting:
            refund_resolution.go_on(connection, row.id, by, now)
    return len(waiting)


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease refunds that are due to be sent or queried."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not safety.is_ours(context, connection):
            return []
        return refunds.lease_due(connection, now, lease_seconds=LEASE_SECONDS, limit=limit)


def send_due(context: Context, refund_id: UUID) -> None:
    """Send or query one refund if it is still due, and record the outcome.

    A refund that fails with an error is held. A repeated sending has the same Request-Id.
    """
    held_rows.each(
        context, Kind.REFUND, [refund_id], lambda key: _attempt(context, key), attempts=1
    )


def _attempt(context: Context, refund_id: UUID) -> None:
    step = _take(context, refund_id)
    if isinstance(step, _Question):
        step = _ask(context, step)
    if step is not None:
        _send(context, step)


@dataclass(frozen=True, slots=True)
class _Sending:
    """One sending of a refund; `attempts` is its number."""

    refund_id: UUID
    order: RefundOrder
    attempts: int


@dataclass(frozen=True, slots=True)
class _Question:
    """One status query of a refund, and the state in which it was sent."""

    refund_id: UUID
    number: str
    amount: int
    status: RefundStatus
    attempts: int
    waits: int


def _take(context: Context, refund_id: UUID) -> _Sending | _Question | None:
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = refunds.lock(connection, refund_id)
        if row is None or row.next_attempt_at is None or row.next_attempt_at > now:
            return None
        if row.held_at is not None:
            return None
        if not safety.is_ours(context, connection):
            return None
        status = row.status
        if status is RefundStatus.REQUESTED:
            return _taken_to_send(connection, row, now)
        if status is RefundStatus.IN_FLIGHT:
            # The process that sent it has ended; the outcome is unknown.
            status = refund.advance(status, RefundMove.LOSE_SIGHT)
        refunds.change(connection, refund_id, status=status, next_attempt_at=now + ANSWER_WAIT)
        return _Question(refund_id, row.gateway_number, row.amount, status, row.attempts, row.waits)


def _taken_to_send(connection: Connection, row: LockedRefund, now: datetime) -> _Sending:
    attempts = row.attempts + 1
    refunds.change(
        connection,
        row.id,
        status=refund.advance(row.status, RefundMove.SEND),
        attempts=attempts,
        sent_at=now,
        next_attempt_at=now + ANSWER_WAIT,
    )
    events.record(connection, [refund_event(row, "refund.sent", SCHEDULER, now, attempts=attempts)])
    order = RefundOrder(
        request_id=str(row.id),
        charge_request_id=str(row.charge_id),
        number=row.gateway_number,
        amount=row.amount,
        reason=row.reason[:REASON_MAX],
    )
    return _Sending(row.id, order, attempts)


def _send(context: Context, sending: _Sending) -> None:
    outcome: RefundOutcome
    try:
        outcome = context.gateway.refund(sending.order)
    except Exception:
        log.exception("refund.call_failed", refund=str(sending.refund_id))
        outcome = Unknown("the client failed")
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = refunds.lock(connection, sending.refund_id)
        if row is None:
            return
        is_newest = row.attempts == sending.attempts and row.status is RefundStatus.IN_FLIGHT
        if is_newest:
            _write(connection, row, decide_live(_facts(row), outcome, now), now)
        elif isinstance(outcome, Succeeded):
            # Late, but proof of the refund: all sendings have the same Request-Id.
            _accept_late_success(connection, row, now)


def _ask(context: Context, question: _Question) -> _Sending | None:
    """Query a refund and record the answer; return what has to be resent, if anything."""
    answer: StatusOutcome
    try:
        answer = context.gateway.check_status(
            str(question.refund_id), question.number, question.amount
        )
    except Exception:
        log.exception("refund.status_query_failed", refund=str(question.refund_id))
        answer = Unknown("the client failed")
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = refunds.lock(connection, question.refund_id)
        asked_of = (question.status, question.attempts, question.waits)
        if row is None or asked_of != (row.status, row.attempts, row.waits):
            return None
        if question.status not in refund.UNSETTLED:
            refund_resolution.look_back(connection, row, answer, now)
            return None
        horizon = context.limits.not_found_horizon
        decision = decide_asked(_facts(row), answer, now, horizon)
        if decision.resend:
            return _taken_to_send(connection, row, now)
        _write(connection, row, decision, now)
    return None


def _accept_late_success(connection: Connection, row: LockedRefund, now: datetime) -> None:
    if row.status in {RefundStatus.IN_FLIGHT, RefundStatus.UNKNOWN}:
        _write(connection, row, decide_live(_facts(row), Succeeded(), now), now)
    elif row.status not in refund.COUNTED:
        refund_resolution.look_back(connection, row, Succeeded(), now)


def _facts(row: LockedRefund) -> Facts:
    return Facts(
        status=row.status,
        purpose=row.purpose,
        sent_at=row.sent_at or row.created_at,
        attempts=row.attempts,
        unsent_attempts=row.unsent_attempts,
        unsent_by_answer=row.unsent_by_answer,
        waits=row.waits,
        declined_seen_at=row.declined_seen_at,
        failed_seen_at=row.failed_seen_at,
    )


def _write(connection: Connection, row: LockedRefund, decision: Decision, now: datetime) -> None:
    changes: refunds.Changes = {
        "status": decision.status,
        "waits": decision.waits,
        "next_attempt_at": decision.next_attempt_at,
        "unsent_attempts": row.unsent_attempts + decision.unsent_attempts,
        "unsent_by_answer": row.unsent_by_answer or decision.by_answer,
        "declined_seen_at": row.declined_seen_at
        if decision.is_final
        else decision.declined_seen_at,
        "failed_seen_at": decision.failed_seen_at,
        "parked_at": now if decision.parked else None,
    }
    if row.declined_seen_at is None:  # the first decline's code stays recorded
        changes |= {"code": decision.code or row.code, "message": decision.message}
    facts: dict[str, object] = {"amount": row.amount}
    if decision.is_final:
        changes["settled_at"] = now
    if decision.status is RefundStatus.SUCCEEDED:
        changes["message"] = None
        if not row.surplus:
            invoices.add_refunded(connection, row.invoice_id, row.amount)
    elif decision.is_final:
        facts["back_to"] = charge_money.put_back(connection, row)
    refunds.change(connection, row.id, **changes)
    why = decision.message or decision.code or row.message or row.code
    kind = "refund.parked" if decision.parked else f"refund.{_PAST[decision.status]}"
    events.record(connection, [refund_event(row, kind, SCHEDULER, now, **facts, why=why)])
    log.info("refund.settled", refund=str(row.id), status=decision.status.value)


_PAST = {
    RefundStatus.SUCCEEDED: "succeeded",
    RefundStatus.DECLINED: "failed",
    RefundStatus.UNRETURNED: "unreturned",
    RefundStatus.REQUESTED: "unsent",
    RefundStatus.UNKNOWN: "unknown",
}

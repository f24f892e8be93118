"""Refunding: money goes back from one succeeded charge, once, and never more than was taken.

A refund is a row before it is a request. An unknown one is sent again under its own Request-Id,
which the gateway pays once (DOKU, Idempotency: a repeated Request-Id is answered 409 with the
first answer).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from billing.domain import refund
from billing.domain.errors import IllegalMove, NotKnown, RefundTooLarge
from billing.domain.events import SCHEDULER, Actor, event
from billing.domain.money import checked_amount, rupiah
from billing.domain.outcomes import (
    Declined,
    RefundOrder,
    RefundOutcome,
    Succeeded,
    Unknown,
    Unsent,
)
from billing.domain.refund import RefundMove, RefundStatus
from billing.services import guarding, isolating, settling
from billing.services.context import LEASE_SECONDS, Context, Request, once
from billing.store.queries import balances, charges, events, invoices, refunds, subscriptions
from billing.store.queries.holding import Kind

log = structlog.get_logger(__name__)

ANSWER_WAIT = timedelta(seconds=120)
"""How long a refund on the wire is left alone; longer than any call to the gateway may take."""
REASON_MAX = 255
"""What the gateway takes of a reason (DOKU, Refund); a person's longer one stays on record."""
UNKNOWN_TRIES_MAX = len(refund.TRY_AFTER)
"""An unknown refund is sent again within half a day only: how long the gateway remembers a
Request-Id is not documented."""


def refund_invoice(
    context: Context,
    invoice_id: UUID,
    amount: int | None,
    by: Actor,
    request: Request | None = None,
) -> dict[str, Any]:
    """Give back `amount` rupiah of a paid invoice, or all that is left of it.

    Raises NotKnown, IllegalMove (not paid) or RefundTooLarge, with nothing written.
    """
    if amount is not None:
        checked_amount(amount)

    def act(connection: Connection, now: datetime) -> dict[str, Any]:
        invoice = invoices.one(connection, invoice_id)
        if invoice is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        subscriptions.lock(connection, [invoice["subscription_id"]])
        paid = charges.refundable(connection, invoice_id)
        if paid is None:
            raise IllegalMove(
                f"invoice {invoice_id} is {invoice['status']}; only a paid one can be refunded"
            )
        left = paid["amount"] - paid["amount_refunding"]
        if not paid["surplus"]:
            # What a change or a cancellation credited of it is the customer's already.
            kept = invoice["amount"] - paid["amount_refunding"]
            left = min(left, kept - balances.given_from(connection, invoice_id))
        wanted = left if amount is None else amount
        made = None
        if wanted:
            made = settling.give_back(connection, paid, wanted, by.reason or "refund", by, now)
        if made is None:
            raise RefundTooLarge(
                f"{rupiah(left)} is left of invoice {invoice_id}; "
                + (f"{rupiah(wanted)} cannot be given back" if left else "it is refunded already")
            )
        return {"refund": str(made), "invoice": str(invoice_id), "amount": wanted}

    return once(context, request, act)


def send_again(context: Context, invoice_id: UUID, by: Actor) -> int:
    """Send the parked refunds of an invoice again, under their own Request-Ids.

    Returns how many. Raises NotKnown, or IllegalMove when none is parked.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        invoice = invoices.one(connection, invoice_id)
        if invoice is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        subscriptions.lock(connection, [invoice["subscription_id"]])
        parked = [r for r in refunds.of_invoice(connection, [invoice_id]) if r["parked_at"]]
        if not parked:
            raise IllegalMove(f"no refund of invoice {invoice_id} is parked")
        for row in parked:
            refunds.change(connection, row["id"], next_attempt_at=now, parked_at=None, tries=0)
            about = {key: invoice[key] for key in ("customer_id", "subscription_id")}
            told = event(
                "refund.retry_requested", at=now, by=by, **about, invoice_id=invoice_id,
                charge_id=row["charge_id"], refund=str(row["id"]),
            )  # fmt: skip
            events.record(connection, [told])
    return len(parked)


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease refunds that are due to be sent."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not guarding.is_ours(context, connection):
            return []
        return refunds.lease_due(connection, now, lease_seconds=LEASE_SECONDS, limit=limit)


def send_due(context: Context, refund_id: UUID) -> None:
    """Send one refund, if it is still due, and record what is known afterwards.

    One of which that fails is held. Whatever was sent goes out again under the same Request-Id.
    """
    isolating.each(context, Kind.REFUND, [refund_id], lambda key: _send(context, key), tries=1)


def _send(context: Context, refund_id: UUID) -> None:
    sending = _take(context, refund_id)
    if sending is None:
        return
    try:
        outcome = context.gateway.refund(sending.order)
    except Exception:
        log.exception("refund.call_failed", refund=str(refund_id))
        outcome = Unknown("the client failed")
    _settle(context, refund_id, sending, outcome)


@dataclass(frozen=True, slots=True)
class _Sending:
    """One sending of a refund: the how manieth, and whether an earlier one may have arrived."""

    order: RefundOrder
    tries: int
    may_have_arrived: bool


def _take(context: Context, refund_id: UUID) -> _Sending | None:
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = refunds.lock(connection, refund_id)
        if row is None or row["next_attempt_at"] is None or row["next_attempt_at"] > now:
            return None
        if row["held_at"] is not None:
            return None
        if not guarding.is_ours(context, connection):
            return None
        status = RefundStatus(row["status"])
        if status is RefundStatus.IN_FLIGHT:
            # Whoever sent it is gone; what became of it is not known.
            status = refund.advance(status, RefundMove.LOSE_SIGHT)
        refunds.change(
            connection,
            refund_id,
            status=refund.advance(status, RefundMove.SEND),
            tries=row["tries"] + 1,
            next_attempt_at=now + ANSWER_WAIT,
        )
        events.record(connection, [_told("refund.sent", row, now, tries=row["tries"] + 1)])
    order = RefundOrder(
        request_id=str(refund_id),
        charge_request_id=str(row["charge_id"]),
        number=row["gateway_number"],
        amount=row["amount"],
        reason=row["reason"][:REASON_MAX],
    )
    return _Sending(order, row["tries"] + 1, may_have_arrived=status is RefundStatus.UNKNOWN)


_MOVES = {
    Succeeded: RefundMove.SUCCEED,
    Declined: RefundMove.DECLINE,
    Unsent: RefundMove.TURN_AWAY,
    Unknown: RefundMove.LOSE_SIGHT,
}


def _settle(context: Context, refund_id: UUID, sending: _Sending, outcome: RefundOutcome) -> None:
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = refunds.lock(connection, refund_id)
        if row is None or row["status"] != RefundStatus.IN_FLIGHT:
            return
        step = _MOVES[type(outcome)]
        others = sending.may_have_arrived or row["tries"] != sending.tries
        if step is RefundMove.TURN_AWAY and others:
            # This sending cannot have paid, but another one of the same refund may have.
            step = RefundMove.LOSE_SIGHT
        status = refund.advance(RefundStatus.IN_FLIGHT, step)
        values: dict[str, Any] = {"status": status, "next_attempt_at": None}
        match outcome:
            case Succeeded():
                values["settled_at"] = now
                if not row["surplus"]:
                    invoices.add_refunded(connection, row["invoice_id"], row["amount"])
            case Declined(code=code, message=message):
                values |= {"settled_at": now, "code": code, "message": message}
                refunds.release(connection, row["charge_id"], row["amount"])
            case Unsent(reason=reason) | Unknown(reason=reason):
                values |= {"message": reason, **_next_try(row, status, now)}
        refunds.change(connection, refund_id, **values)
        kind = "refund.parked" if values.get("parked_at") else f"refund.{_TOLD[status]}"
        told = _told(kind, row, now, amount=row["amount"], why=values.get("message"))
        events.record(connection, [told])
        log.info("refund.settled", refund=str(refund_id), status=status.value)


_TOLD = {
    RefundStatus.SUCCEEDED: "succeeded",
    RefundStatus.DECLINED: "declined",
    RefundStatus.REQUESTED: "unsent",
    RefundStatus.UNKNOWN: "unknown",
}


def _next_try(row: Mapping[Any, Any], status: RefundStatus, now: datetime) -> dict[str, Any]:
    tries = row["tries"]
    wait = refund.try_after(tries - 1)
    if status is RefundStatus.UNKNOWN and tries > UNKNOWN_TRIES_MAX:
        wait = None
    return {"parked_at": now} if wait is None else {"next_attempt_at": now + wait}


def _told(kind: str, row: Mapping[Any, Any], now: datetime, **data: Any) -> dict[str, Any]:
    about = ("customer_id", "subscription_id", "invoice_id", "charge_id")
    return event(
        kind,
        at=now,
        by=SCHEDULER,
        **{key: row[key] for key in about},
        refund=str(row["id"]),
        **data,
    )

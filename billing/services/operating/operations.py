"""Operations: an operator's commands for invoices, the clock and the kill switch."""

from datetime import datetime
from typing import TypedDict
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import machine
from billing.domain.charge import Trigger
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.instants import spoken
from billing.domain.invoice import TRANSITIONS, InvoiceMove, InvoiceStatus
from billing.domain.payloads import Json
from billing.services.collecting import breaker, reopening
from billing.services.context import Context, Request, once
from billing.services.operating import safety
from billing.services.operating.charge_resolution import resolve_charge
from billing.services.subscriptions import transitions
from billing.store.queries import charges, engine, events, invoices, subscriptions, wallets
from billing.store.queries.invoice_rows import Invoice
from billing.store.queries.invoices import AttemptPlan

__all__ = [
    "resolve_charge", "retry_invoice", "set_clock", "start_charging", "stop_charging",
    "void_invoice",
]  # fmt: skip


def retry_invoice(
    context: Context, invoice_id: UUID, by: Actor, request: Request | None = None
) -> Json:
    """Attempt an open invoice immediately; no dunning step is used and no date moves.

    An uncollectible invoice is reopened for one attempt. Raises NotKnown, or IllegalMove when
    nothing is owed, an older invoice comes first, a charge is unresolved, or there is no wallet.
    """

    def act(connection: Connection, now: datetime) -> Json:
        seen = invoices.one(connection, invoice_id)
        if seen is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        subscriptions.lock(connection, [seen.subscription_id])
        invoice = invoices.one(connection, invoice_id) or seen
        owed = invoices.open_of(connection, invoice.subscription_id)
        older = [row for row in owed if row.place < invoice.place]
        if invoice.status not in {InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE}:
            is_now = f"invoice {invoice_id} is {invoice.status}"
            raise IllegalMove(f"{is_now}, not open: nothing is owed")
        if older:
            raise IllegalMove(f"an older invoice has to be paid first: {older[0].id}")
        _check_chargeable(connection, invoice, now)
        if invoice.status == InvoiceStatus.UNCOLLECTIBLE:
            reopening.reopen(connection, invoice, by, now)
        else:
            plan: AttemptPlan = {
                "key": invoice_id,
                "next_attempt_at": now,
                "blocked_on": None,
                "next_trigger": Trigger.OPERATOR,
                "planned_at": _aside(invoice),
            }
            invoices.plan_attempts(connection, [plan])
        recorded = event(
            "invoice.retry_requested", at=now, by=by, customer_id=invoice.customer_id,
            subscription_id=invoice.subscription_id, invoice_id=invoice_id,
        )  # fmt: skip
        events.record(connection, [recorded])
        return {"invoice": str(invoice_id), "next_attempt_at": now.isoformat()}

    return once(context, request, act)


def _check_chargeable(connection: Connection, invoice: Invoice, now: datetime) -> None:
    """Raise IllegalMove if a charge of the subscription is unresolved or no wallet is linked."""
    if charges.unresolved_of(connection, invoice.subscription_id):
        raise IllegalMove("a charge of this subscription is unresolved; it must be resolved first")
    wallet = wallets.live_of(connection, invoice.customer_id)
    if wallet is None or not wallet.is_linked(now):
        follows = "" if invoice.status == InvoiceStatus.UNCOLLECTIBLE else (
            "; it is charged automatically once one is linked"
        )  # fmt: skip
        raise IllegalMove(
            f"customer {invoice.customer_id!r} has no linked wallet{follows}"
            f" (billing wallet link {invoice.customer_id})"
        )


def _aside(invoice: Invoice) -> datetime | None:
    """Return the dunning date before which a manual retry is made; a second retry keeps it."""
    if invoice.first_failed_at is None:
        return None
    return invoice.planned_at or invoice.next_attempt_at


def void_invoice(
    context: Context, invoice_id: UUID, by: Actor, request: Request | None = None
) -> Json:
    """Void an open or uncollectible invoice.

    If an unresolved charge succeeds later, it is refunded.
    """

    def act(connection: Connection, now: datetime) -> Json:
        seen = invoices.one(connection, invoice_id)
        if seen is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        owner = subscriptions.lock_one(connection, seen.subscription_id)
        invoice = invoices.one(connection, invoice_id)
        if invoice is None or owner is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        if invoice.status == InvoiceStatus.PAID:
            remedy = f"refund it with: billing refund {invoice_id}"
            raise IllegalMove(f"invoice {invoice_id} is paid and cannot be voided; {remedy}")
        if invoice.status == InvoiceStatus.VOID:
            raise IllegalMove(f"invoice {invoice_id} is void already")
        machine.check(TRANSITIONS, f"invoice {invoice_id}", invoice.status, InvoiceMove.VOID)
        why = by.reason or "voided"
        transitions.close_all(connection, [invoice], InvoiceStatus.VOID, why, by, now)
        invoices.release_oldest(connection, [owner.id], now)
        if not invoices.open_of(connection, owner.id):
            transitions.owes_no_more(connection, owner, by, now)
        return {"invoice": str(invoice_id), "status": InvoiceStatus.VOID.value}

    return once(context, request, act)


class Stopped(TypedDict):
    """The answer to stopping; `already` is whether charging was stopped before."""

    charging: str
    already: bool
    stopped_at: str
    stopped_by: str | None
    stopped_reason: str | None


class Started(TypedDict):
    """The answer to starting; `already` is whether charging was not stopped."""

    charging: str
    already: bool


def stop_charging(context: Context, by: Actor, request: Request | None = None) -> Stopped:
    """Stop sending new charges immediately; everything else continues.

    If charging was stopped before, `already` says since when, by whom and why; nothing is written.
    """

    def act(connection: Connection, now: datetime) -> Stopped:
        is_new = engine.set_stopped(connection, now, by.reason)
        if is_new:
            events.record(connection, [event("charging.stopped", at=now, by=by)])
        row = engine.state(connection)
        return {
            "charging": "stopped", "already": not is_new,
            "stopped_at": (row.stopped_at or now).isoformat(),
            "stopped_by": engine.who_stopped(connection), "stopped_reason": row.stopped_reason,
        }  # fmt: skip

    return once(context, request, act)


def start_charging(context: Context, by: Actor, request: Request | None = None) -> Started:
    """Start charging what is due, at the gateway named in the settings.

    With this command an operator confirms that a copied database may call another gateway.
    """

    def act(connection: Connection, now: datetime) -> Started:
        is_new = safety.claim_gateway(context, connection)
        if is_new:
            host = context.settings.gateway_host
            events.record(connection, [event("gateway.changed", at=now, by=by, gateway=host)])
        if engine.set_stopped(connection, None, None):
            is_new = True
            events.record(connection, [event("charging.started", at=now, by=by)])
        breaker.reset(connection, now, by)
        return {"charging": "started", "already": not is_new}

    return once(context, request, act)


def set_clock(context: Context, at: datetime, by: Actor) -> datetime:
    """Move the test clock forward, and return its new time.

    Raises InvalidValue without a test clock, or for an earlier time: the clock cannot undo what was
    recorded.
    """
    if not context.settings.test_clock:
        raise InvalidValue("there is no test clock; start everything with BILLING_TEST_CLOCK=1")
    with context.database.transaction() as connection:
        stands = engine.clock_at(connection)
        if stands is not None and at < stands:
            raise InvalidValue(
                f"the test clock is at {spoken(stands)} and moves forward only;"
                f" {spoken(at)} is earlier"
            )
        engine.set_clock(connection, at)
        events.record(connection, [event("clock.set", at=at, by=by)])
    return at

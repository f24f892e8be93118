"""Invoice actions: an operator retries an invoice now, or voids it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import machine
from billing.domain.charge import Trigger
from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.events import Actor, event
from billing.domain.invoice import TRANSITIONS, InvoiceMove, InvoiceStatus
from billing.domain.payloads import Json
from billing.services.collecting import reopening
from billing.services.context import Context, Request, once
from billing.services.operating import customers
from billing.services.subscriptions import transitions
from billing.store.queries import charges, events, invoices, subscriptions, wallets
from billing.store.queries.invoice_rows import Invoice
from billing.store.queries.invoices import AttemptPlan


def retry_invoice(
    context: Context, invoice_id: UUID, by: Actor, request: Request | None = None
) -> Json:
    """Attempt an open invoice immediately; no dunning step is used and no date moves.

    An uncollectible invoice is reopened for one attempt. Raises NotKnown, or IllegalMove when
    nothing is owed, an older invoice comes first, a charge is unresolved, there is no wallet, or
    the customer was erased.
    """

    def act(connection: Connection, now: datetime) -> Json:
        seen = invoices.one(connection, invoice_id)
        if seen is None:
            raise NotKnown(f"no invoice has the id {invoice_id}")
        subscriptions.lock(connection, [seen.subscription_id])
        customers.check(connection, seen.customer_id)
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
            f"customer {invoice.customer_id!r} has no linked wallet{follows}",
            hint=f"billing wallet link {invoice.customer_id}",
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
            said = f"invoice {invoice_id} is paid and cannot be voided"
            raise IllegalMove(said, hint=remedy)
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

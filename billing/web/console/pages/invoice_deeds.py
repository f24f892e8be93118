"""What a person can do with an invoice: refund it, retry it, void it, resolve its charge."""

from functools import partial
from typing import NamedTuple
from uuid import UUID

from starlette.responses import Response

from billing.domain.errors import NotKnown
from billing.domain.events import Actor
from billing.domain.invoice import InvoiceStatus
from billing.domain.text import checked_name
from billing.services.context import Context, Request
from billing.services.money import refunding
from billing.services.operating import charge_resolution, confirming, invoice_actions
from billing.services.operating.confirming import Act, Basis
from billing.services.reading import invoice_page
from billing.services.reading.effects import Effect
from billing.services.reading.invoice_page import InvoicePage
from billing.web.console import deeds
from billing.web.console.deeds import Deed, Line, Subject
from billing.web.console.forms import Field, Form, Values
from billing.web.console.labels import AT_ONCE, BRAKES, N_
from billing.web.console.pages import invoice
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import REASON_MAX, Visit

REFUND = Form(
    "refund", N_("Refund"), N_("Refund"),
    N_("The money goes back to the wallet. The subscription does not change, and no paid day is"
       " taken away."),
    (Field("amount", N_("Amount in rupiah"), "amount",
           hint=N_("Empty: everything that is kept.")),),
    danger=True,
)  # fmt: skip
RETRY = Form(
    "retry",
    N_("Retry"),
    N_("Retry"),
    N_("The invoice is due at once. No step of dunning is used, and its dates stay."),
)
VOID = Form(
    "void", N_("Void"), N_("Void"),
    N_("The invoice is not owed any more. If a charge that is on its way succeeds later, it is"
       " refunded."),
    danger=True,
)  # fmt: skip
PAID, NOT_PAID = "paid", "not_paid"
RESOLVE = Form(
    "resolve", N_("Set the outcome"), N_("Set the outcome"),
    N_("The gateway is asked first; if it knows the outcome, that is recorded instead of yours."),
    (
        Field("outcome", N_("What happened"), "choice",
              ((PAID, N_("Paid: the money was taken")),
               (NOT_PAID, N_("Not paid: no money was taken"))), required=True),
        Field("reference", N_("Reference of the proof"), required=True,
              hint=N_("For example the number of DOKU's ticket or statement.")),
    ),
    danger=True,
)  # fmt: skip
_AS_PAID = N_("The charge counts as succeeded. Nothing is sent to the wallet.")
_AS_TOO_MUCH = N_("The charge counts as succeeded. Its invoice is not owed: the money goes back to"
                  " the wallet by a refund.")  # fmt: skip
_AS_NOT_PAID = N_("The charge counts as declined. If the invoice is still owed, dunning goes on:"
                  " the wallet may be charged again.")  # fmt: skip


class _Invoice(NamedTuple):
    """The invoice of an action."""

    id: UUID
    found: InvoicePage
    subject: Subject

    @classmethod
    def of(cls, visit: Visit) -> "_Invoice":
        """Read it. Raises NotKnown."""
        invoice_id = id_of(visit, "invoice_id")
        found = invoice_page.read(visit.context, invoice_id)

        def refused(visit: Visit, said: str) -> Response:
            return invoice.page(visit, invoice_page.read(visit.context, invoice_id), said)

        title = f"{found.plan} · {found.customer_name or found.row.customer}"
        place = f"/invoices/{invoice_id}"
        return cls(invoice_id, found, Subject(place, title, found.row.subscription, refused))


def refund(visit: Visit) -> Response:
    """Refund a paid invoice, all of what is kept or a part."""
    invoice_id, found, subject = _Invoice.of(visit)

    def read(values: Values, by: Actor) -> Deed:
        amount = values.amount("amount")

        def act(context: Context, request: Request | None) -> object:
            return refunding.refund_invoice(context, invoice_id, amount, by, request)

        def lines(effect: Effect | None) -> tuple[Line, ...]:
            returned = (effect.amount_refunded if effect else 0) or 0
            kept = found.amount_kept
            return (Line(N_("Kept of this invoice"), kept, kept - returned),)

        return Deed({"amount": amount}, act, deeds.previewed(visit, subject, act), lines=lines)

    return deeds.answer(visit, REFUND, subject, read)


def retry(visit: Visit) -> Response:
    """Attempt an open or uncollectible invoice now."""
    invoice_id, found, subject = _Invoice.of(visit)

    def read(_values: Values, by: Actor) -> Deed:
        def act(context: Context, request: Request | None) -> object:
            return invoice_actions.retry_invoice(context, invoice_id, by, request)

        owed = Line(
            N_("To be charged from the wallet"), found.row.amount - found.row.amount_from_credit
        )
        says = BRAKES[found.brake] if found.brake else AT_ONCE
        preview = deeds.previewed(visit, subject, act)
        return Deed({}, act, preview, lines=lambda _effect: (owed,), says=says)

    return deeds.answer(visit, RETRY, subject, read)


def void(visit: Visit) -> Response:
    """Void an open or uncollectible invoice."""
    invoice_id, _found, subject = _Invoice.of(visit)

    def read(_values: Values, by: Actor) -> Deed:
        def act(context: Context, request: Request | None) -> object:
            return invoice_actions.void_invoice(context, invoice_id, by, request)

        return Deed({}, act, deeds.previewed(visit, subject, act))

    return deeds.answer(visit, VOID, subject, read)


def _says(status: InvoiceStatus, *, is_paid: bool) -> str:
    if not is_paid:
        return _AS_NOT_PAID
    owed = status in {InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE}
    return _AS_PAID if owed else _AS_TOO_MUCH


def resolve(visit: Visit) -> Response:
    """Set the outcome of a charge of the invoice that the gateway does not know."""
    invoice_id, found, subject = _Invoice.of(visit)
    charge_id = id_of(visit, "charge_id")
    charge = next((c.row for c in found.invoice.charges if c.row.id == charge_id), None)
    if charge is None:
        raise NotKnown(f"invoice {invoice_id} has no charge {charge_id}")
    form = RESOLVE._replace(path=f"charges/{charge_id}/resolve")

    def read(values: Values, by: Actor) -> Deed:
        is_paid = values.choice(form, "outcome") == PAID
        reference = values.text("reference", "the reference of the proof")
        said = f"{by.reason} (proof: {reference})"
        why = checked_name("reason and reference", said, REASON_MAX, field="reason")
        actor = Actor(by.name, why)

        def act(context: Context, _request: Request | None, seen: int | None = None) -> object:
            return charge_resolution.resolve_charge(context, charge_id, is_paid, actor, seen)

        def run(
            context: Context, subscription_id: UUID, basis: Basis, request: Request, _act: Act
        ) -> None:
            of_what_was_read = partial(act, seen=basis.seen)
            confirming.ask_once(context, subscription_id, basis, request, of_what_was_read)

        amount = Line(N_("Amount of the charge"), charge.amount)
        # As it is now: it may have changed while the gateway was asked.
        status = invoice_page.read(visit.context, invoice_id).row.status
        return Deed(
            {"charge": str(charge_id), "paid": is_paid, "reference": reference}, act,
            lambda: None, run, lambda _effect: (amount,),
            _says(status, is_paid=is_paid),
        )  # fmt: skip

    return deeds.answer(visit, form, subject, read)

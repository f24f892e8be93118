"""*Invoice*: what became of it, each attempt with the gateway's answer, and its refunds.

Charges and refunds are sections of this page; their own addresses lead here.
"""

from starlette.responses import Response

from billing.domain.people import Action
from billing.services.reading import invoice_page
from billing.services.reading.invoice_page import InvoicePage
from billing.web.console.labels import N_, tone
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import PREFIX, Visit, redirect

DONE = {
    "refund": N_("The refund was requested; it is sent within seconds."),
    "retry": N_("The invoice is due now. Below is what it waits for."),
    "void": N_("The invoice is void."),
    "resolve": N_("The outcome of the charge was recorded."),
}


def show(visit: Visit) -> Response:
    """Show one invoice."""
    return page(visit, invoice_page.read(visit.context, id_of(visit, "invoice_id")))


def page(visit: Visit, found: InvoicePage, refused: str = "") -> Response:
    """Show an invoice, with a refusal of an action."""
    assert visit.person is not None  # noqa: S101 - the route needs an action
    may = {
        str(action): visit.person.may(action)
        for action in (
            Action.REFUND, Action.RETRY_INVOICES, Action.VOID_INVOICES, Action.RESOLVE_CHARGES,
        )
    }  # fmt: skip
    return visit.page(
        "invoice.html", 409 if refused else 200, found=found, row=found.row, tone=tone, may=may,
        refused=refused, done=DONE.get(visit.query.get("done", ""), ""),
        here=f"{PREFIX}/invoices/{found.row.id}",
    )  # fmt: skip


def of_charge(visit: Visit) -> Response:
    """Lead to a charge on the page of its invoice."""
    charge_id = id_of(visit, "charge_id")
    invoice_id = invoice_page.of_charge(visit.context, charge_id)
    return redirect(f"{PREFIX}/invoices/{invoice_id}#row-{charge_id}")


def of_refund(visit: Visit) -> Response:
    """Lead to a refund on the page of its invoice."""
    refund_id = id_of(visit, "refund_id")
    invoice_id = invoice_page.of_refund(visit.context, refund_id)
    return redirect(f"{PREFIX}/invoices/{invoice_id}#row-{refund_id}")

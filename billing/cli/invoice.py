"""`billing invoice`: list invoices, retry one or make it void."""

from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, charge, engine, options, output
from billing.domain import ways_out
from billing.domain.filters import InvoiceFilter
from billing.domain.invoice import InvoiceStatus
from billing.domain.paging import Page

if TYPE_CHECKING:
    from billing.services.reading import results

app = options.noun("Invoices: the amount owed for one period or one plan change.", ways_out.INVOICE)
Invoice = Annotated[str, typer.Argument(metavar="ID", help="Invoice id.")]
COLUMNS = (
    "id", "customer", "period_index", "period_start_at", "amount", "status", "blocked_on",
    "next_attempt_at",
)  # fmt: skip
NARROW = ("id", "customer", "period_index", "amount", "status", "next_attempt_at")
"""The columns of a list that fits 100 columns of a terminal."""
FACTS = (
    "id", "subscription", "customer", "period_index", "period_start_at", "period_end_at", "amount",
    "amount_from_credit", "amount_refunded", "amount_refunding", "status", "blocked_on",
    "shortfall", "cause", "paid_at", "closed_at", "reopened_at", "next_attempt_at", "waits_for",
    "held_at", "held_cause",
)  # fmt: skip
REFUNDS = (
    "id", "amount", "status", "purpose", "reason", "created_at", "settled_at", "parked_at",
)  # fmt: skip


@app.command("list", epilog=options.example("billing invoice list --status uncollectible"))
def list_(
    customer: options.OfCustomer = None,
    plan: options.OfPlan = None,
    subscription: options.OfSubscription = None,
    status: Annotated[
        InvoiceStatus | None, typer.Option("--status", help="Only invoices with this status.")
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    full: options.Full = False,
    as_json: options.Json = False,
) -> None:
    """List invoices, newest first."""
    page = Page(arguments.page(limit), after)
    of = None if subscription is None else arguments.identity(subscription, "subscription")
    wanted = InvoiceFilter(customer, plan, of, status, *arguments.span(since, until))
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.invoices(database, wanted, page)
    output.listed(found, COLUMNS, empty="no invoices", as_json=as_json, narrow=NARROW, full=full)


@app.command(epilog=options.example("billing invoice show 0b9e…"))
def show(invoice: Invoice, *, as_json: options.Json = False) -> None:
    """Show an invoice with its charges and its next attempts."""
    wanted = arguments.identity(invoice, "invoice")
    with engine.rows() as database:
        from billing.services.reading import read_models

        found = read_models.invoice(database, wanted)
    output.answer(found, as_json=as_json, people=lambda: _people(found))


@app.command(epilog=options.example('billing invoice retry 0b9e… --reason "asked by phone"'))
def retry(
    invoice: Invoice,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Attempt an open or uncollectible invoice immediately; it does not count as a dunning step.

    An uncollectible invoice gets one attempt: if declined, it is uncollectible again.
    """
    by, wanted = arguments.operator(reason, who), arguments.identity(invoice, "invoice")
    with engine.writing() as context:
        from billing.services.operating import invoice_actions
        from billing.services.reading import read_models

        invoice_actions.retry_invoice(context, wanted, by)
        found = read_models.invoice(context.database, wanted)
    output.answer(
        found,
        as_json=as_json,
        people=lambda: output.say(_retried(found)),
    )


def _retried(found: "results.Invoice") -> str:
    """Say when a retried invoice is attempted: with the next tick, or what it waits for."""
    from billing.domain.waiting import NEXT_TICK

    waits_for = found.steps.waits_for
    if waits_for in {None, NEXT_TICK}:
        return f"invoice {found.row.id} is attempted at the next tick"
    return f"invoice {found.row.id} is due now, and waits for {waits_for}"


@app.command(epilog=options.example('billing invoice void 0b9e… --reason "goodwill"'))
def void(
    invoice: Invoice,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Void the invoice: it will not be charged."""
    by, wanted = arguments.operator(reason, who), arguments.identity(invoice, "invoice")
    with engine.writing() as context:
        from billing.services.operating import invoice_actions
        from billing.services.reading import read_models

        invoice_actions.void_invoice(context, wanted, by)
        found = read_models.invoice(context.database, wanted)
    output.answer(found, as_json=as_json, people=lambda: output.say(f"invoice {wanted} is void"))


def _people(found: "results.Invoice") -> None:
    output.facts(found, FACTS)
    if found.retries_at:
        output.say("attempts until it is paid:")
        for date in found.retries_at:
            output.say(f"  {date:%a}  {output.written('at', date)}")
    output.table(found.charges, charge.COLUMNS, empty="no charges yet")
    if found.refunds:
        output.table(found.refunds, REFUNDS, empty="", title="refunds")
    output.ways(found.steps.ways_out)
    for refund in found.refunds:
        output.ways(refund.ways_out)

"""`billing refunds`: list refunds, and resolve those that need an operator."""

from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain import ways_out
from billing.domain.filters import RefundFilter
from billing.domain.paging import Page
from billing.domain.refund import RefundStatus, RefundVerdict

if TYPE_CHECKING:
    from billing.services.reading import results

app = options.noun(
    "Refunds: money returned to customers; `billing refund INVOICE` requests one.", ways_out.REFUND
)
Refund = Annotated[str, typer.Argument(metavar="ID", help="Refund id.")]
COLUMNS = ("id", "customer", "amount", "status", "purpose", "created_at", "parked_at")
NARROW = ("id", "customer", "amount", "status", "created_at")
"""The columns of a list that fits 100 columns of a terminal."""
WAITING = ("kind", "id", "customer", "amount", "status", "since_at", "cause", "command")
FACTS = (
    "id", "charge", "invoice", "customer", "amount", "status", "purpose", "source", "credit",
    "replaces", "reason", "code", "message", "attempts_count", "created_at", "settled_at",
    "next_attempt_at", "parked_at",
)  # fmt: skip


@app.command("list", epilog=options.example("billing refunds list --waiting"))
def list_(
    customer: options.OfCustomer = None,
    plan: options.OfPlan = None,
    invoice: options.OfInvoice = None,
    status: Annotated[
        RefundStatus | None, typer.Option("--status", help="Only refunds with this status.")
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    waiting: Annotated[
        bool,
        typer.Option(
            "--waiting", help="Only refunds that need an operator, with the command for each."
        ),
    ] = False,
    full: options.Full = False,
    as_json: options.Json = False,
) -> None:
    """List refunds, newest first, or only those that need an operator."""
    page = Page(arguments.page(limit), after)
    if waiting:
        others = {"status": status, "customer": customer, "plan": plan, "invoice": invoice}
        span = {"from": since, "to": until, "after": after}
        arguments.not_both("--waiting", **others, **span)
        _waiting(page.limit, as_json=as_json)
        return
    of = None if invoice is None else arguments.identity(invoice, "invoice")
    wanted = RefundFilter(customer, plan, status, *arguments.span(since, until), of)
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.refunds(database, wanted, page)
    output.listed(found, COLUMNS, empty="no refunds", as_json=as_json, narrow=NARROW, full=full)


def _waiting(most: int, *, as_json: bool) -> None:
    with engine.rows() as database:
        from billing.services.reading import read_models

        found = read_models.refunds_waiting(database, most)
    empty = "no refund needs an operator"
    output.answer(found, as_json=as_json, people=lambda: output.table(found, WAITING, empty=empty))


@app.command(epilog=options.example("billing refunds show 5f1c…"))
def show(refund: Refund, *, as_json: options.Json = False) -> None:
    """Show one refund."""
    wanted = arguments.identity(refund, "refund")
    with engine.rows() as database:
        from billing.services.reading import read_models

        found = read_models.refund(database, wanted, engine.horizon())
    output.answer(found, as_json=as_json, people=lambda: _people(found))


@app.command(
    epilog=options.example(
        'billing refunds resolve 5f1c… --as succeeded --reason "DOKU ticket"',
        'billing refunds resolve 5f1c… --as returned-elsewhere --reason "bank transfer"',
    )
)
def resolve(
    refund: Refund,
    verdict: Annotated[
        RefundVerdict,
        typer.Option(
            "--as",
            help="succeeded or declined: a parked one, after the gateway was asked;"
            " returned-elsewhere or kept: an unreturned one.",
        ),
    ],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Settle a refund manually; the gateway is queried first."""
    by, wanted = arguments.operator(reason, who), arguments.identity(refund, "refund")
    with engine.engine() as context:
        from billing.services.money import refund_resolution
        from billing.services.reading import read_models

        resolved = refund_resolution.resolve_refund(context, wanted, verdict, by)
        found = read_models.refund(context.database, wanted, engine.horizon())

    def people() -> None:
        if resolved["gateway"] is not None:
            output.say(f"the gateway's answer: {resolved['gateway']}")
        _people(found)

    done = {"gateway": resolved["gateway"]}
    output.answer(found, as_json=as_json, people=people, done=done)


@app.command(epilog=options.example('billing refunds retry 5f1c… --reason "limit was raised"'))
def retry(
    refund: Refund,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Retry a parked refund, or replace an unreturned one with a new refund."""
    by, wanted = arguments.operator(reason, who), arguments.identity(refund, "refund")
    with engine.writing() as context:
        from billing.services.money import refund_resolution
        from billing.services.reading import read_models

        tried = refund_resolution.retry_refund(context, wanted, by)["refund"]
        found = read_models.refund(
            context.database, arguments.identity(tried, "refund"), engine.horizon()
        )
    output.answer(
        found,
        as_json=as_json,
        people=lambda: output.say(f"refund {tried} is attempted at the next tick"),
    )


@app.command(
    epilog=options.example('billing refunds acknowledge 5f1c… --reason "settled manually"')
)
def acknowledge(
    refund: Refund,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Mark a contradicted refund as handled."""
    by, wanted = arguments.operator(reason, who), arguments.identity(refund, "refund")
    with engine.writing() as context:
        from billing.services.money import refund_resolution
        from billing.services.reading import read_models

        refund_resolution.acknowledge_contradiction(context, wanted, by)
        found = read_models.refund(context.database, wanted, engine.horizon())
    output.answer(
        found, as_json=as_json, people=lambda: output.say(f"refund {wanted} is marked as handled")
    )


def _people(found: "results.Refund") -> None:
    output.facts(found, FACTS)
    output.ways(found.ways_out)

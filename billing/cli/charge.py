"""`billing charge`: attempts to collect an invoice."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain import ways_out
from billing.domain.charge import ChargeStatus
from billing.domain.filters import ChargeFilter
from billing.domain.paging import Page

if TYPE_CHECKING:
    from billing.services.reading.results import ChargeInDetail

app = options.noun("Charges: attempts to collect an invoice.", ways_out.CHARGE)
Charge = Annotated[str, typer.Argument(metavar="ID", help="Charge id or gateway number.")]
COLUMNS = ("id", "gateway_number", "amount", "status", "fault", "code", "created_at")
NARROW = ("id", "amount", "status", "fault", "created_at")
"""The columns of a list that fits 100 columns of a terminal."""
FACTS = (
    "id", "invoice", "subscription", "customer", "attempt", "gateway_number", "amount",
    "amount_refunded", "amount_refunding", "amount_credited", "amount_kept", "status",
    "surplus", "fault", "code", "message", "waiting", "waits_for", "trigger",
    "first_payment", "created_at", "settled_at", "next_check_at", "parked_at", "resolved_at",
    "contradicted_at", "held_at", "held_cause", "refunds",
)  # fmt: skip
REFUNDS = ("id", "amount", "status", "reason", "created_at", "settled_at", "parked_at")


class Verdict(StrEnum):
    """The outcome that an operator sets for a charge that the gateway cannot resolve."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"


@app.command("list", epilog=options.example("billing charge list --status unknown"))
def list_(
    customer: options.OfCustomer = None,
    plan: options.OfPlan = None,
    invoice: options.OfInvoice = None,
    subscription: options.OfSubscription = None,
    status: Annotated[
        ChargeStatus | None, typer.Option("--status", help="Only charges with this status.")
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    full: options.Full = False,
    as_json: options.Json = False,
) -> None:
    """List charges, newest first."""
    page = Page(arguments.page(limit), after)
    of = None if invoice is None else arguments.identity(invoice, "invoice")
    by = None if subscription is None else arguments.identity(subscription, "subscription")
    wanted = ChargeFilter(customer, plan, of, status, *arguments.span(since, until), by)
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.charges(database, wanted, page)
    output.listed(found, COLUMNS, empty="no charges", as_json=as_json, narrow=NARROW, full=full)


@app.command(epilog=options.example("billing charge show 7d2a…"))
def show(charge: Charge, *, as_json: options.Json = False) -> None:
    """Show one charge with its refunds."""
    charge = arguments.charge_name(charge)
    with engine.rows() as database:
        from billing.services.reading import read_models

        found = read_models.charge(database, charge, engine.horizon())
    output.answer(found, as_json=as_json, people=lambda: _people(found))


@app.command(
    epilog=options.example('billing charge resolve 7d2a… --as declined --reason "DOKU ticket"')
)
def resolve(
    charge: Charge,
    verdict: Annotated[Verdict, typer.Option("--as", help="Outcome of the charge.")],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Settle a parked or old charge: with the gateway's outcome if it has one, else with yours."""
    by, charge = arguments.operator(reason, who), arguments.charge_name(charge)
    with engine.engine() as context:
        from billing.services.operating import charge_resolution
        from billing.services.reading import read_models

        wanted = read_models.charge(context.database, charge).charge.row.id
        done = charge_resolution.resolve_charge(context, wanted, verdict is Verdict.SUCCEEDED, by)
        found = read_models.charge(context.database, charge, engine.horizon())

    def people() -> None:
        output.say(f"the gateway's answer: {done.gateway}")
        output.say(f"settled by the {done.settled_by}")
        _people(found)

    also = {"gateway": done.gateway, "settled_by": done.settled_by}
    output.answer(found, as_json=as_json, people=people, done=also)


@app.command(
    epilog=options.example('billing charge acknowledge 7d2a… --reason "refunded manually"')
)
def acknowledge(
    charge: Charge,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Mark a contradicted charge, or one with more refunded than charged, as handled."""
    by, charge = arguments.operator(reason, who), arguments.charge_name(charge)
    with engine.writing() as context:
        from billing.services.money import refund_resolution
        from billing.services.reading import read_models

        wanted = read_models.charge(context.database, charge).charge.row.id
        refund_resolution.acknowledge_breach(context, wanted, by)
        found = read_models.charge(context.database, charge, engine.horizon())
    output.answer(
        found, as_json=as_json, people=lambda: output.say(f"charge {wanted} is marked as handled")
    )


def _people(found: "ChargeInDetail") -> None:
    output.facts(found, FACTS[:-1])
    if found.refunds:
        output.table(found.refunds, REFUNDS, empty="", title="refunds")
    output.ways(found.ways_out)
    for refund in found.refunds:
        output.ways(refund.ways_out)

"""`billing why`: whether a customer was charged twice, why nothing is charged, what comes next."""

from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, engine, options, output

if TYPE_CHECKING:
    from billing.services.reading.why import Running, Why

EXAMPLE = options.example("billing why cust-1")


def why(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Customer id.")],
    limit: options.Limit = options.LIMIT,
    *,
    as_json: options.Json = False,
) -> None:
    """Say whether a customer was charged twice, why nothing is charged, and what comes next."""
    most = arguments.page(limit)
    with engine.rows() as database:
        from billing.services.reading import why as services

        found = services.read(database, customer, most)
    output.answer(found, as_json=as_json, people=lambda: _people(found))


def _people(found: "Why") -> None:
    output.say(found.verdict)
    if found.charging_stopped_at is not None:
        at = output.written("at", found.charging_stopped_at)
        output.say(f"charging is stopped for everybody since {at}")
    wallet = None if found.wallet is None else found.wallet.row
    output.say(f"wallet: {wallet.status} {wallet.masked_phone}" if wallet else "wallet: none")
    if not found.subscriptions_count:
        output.say("no subscription is running: nothing will be charged")
    for each in found.subscriptions:
        output.say("")
        _subscription(each)
    left = found.subscriptions_count - len(found.subscriptions)
    if left:
        output.say(f"and {left} more subscriptions; show them with --limit")


def _subscription(each: "Running") -> None:
    row, coming = each.row, each.next_invoice
    output.say(f"subscription {row.id} to plan {row.plan}: {row.status}")
    if each.prospect.waits_for is not None:
        output.say(f"it waits for {each.prospect.waits_for}")
    for invoice in each.open_invoices:
        at = invoice.row.next_attempt_at
        attempt = f"next attempt {output.written('at', at)}" if at else "no attempt is planned"
        opened = output.written("at", invoice.row.created_at)
        output.say(
            f"owed since {opened}: {output.written('amount', invoice.row.amount)}; {attempt}"
        )
    if coming is not None:
        credit = output.written("amount", coming.amount_from_credit)
        output.say(
            f"next period: {output.written('amount', coming.amount)}"
            f" on {output.written('at', coming.due_at)}"
            + (f"; credit pays {credit} of it" if coming.amount_from_credit else "")
        )
    output.ways(each.prospect.ways_out)

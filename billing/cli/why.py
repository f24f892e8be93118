"""`billing why`: whether a customer was charged twice, why nothing is charged, what comes next."""

from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.subscription import ENDED

if TYPE_CHECKING:
    from billing.services.reading.results import Invoice
    from billing.services.reading.why import Running, Why
    from billing.store.queries.customer_rows import Ending
    from billing.store.queries.listing_rows import Invoice as Row

EXAMPLE = options.example("billing why cust-1")


def why(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help=arguments.WHO)],
    limit: options.Limit = options.LIMIT,
    *,
    as_json: options.Json = False,
) -> None:
    """Say whether a customer was charged twice, why nothing is charged, and what comes next."""
    most = arguments.page(limit)
    with engine.rows() as database:
        from billing.services.reading import search
        from billing.services.reading import why as services

        found = services.read(database, search.only(database, customer), most)
    output.answer(found, as_json=as_json, people=lambda: _people(found, customer))


def _people(found: "Why", given: str) -> None:
    if found.customer != given:
        output.say(f"customer {found.customer}")
    output.say(found.verdict)
    if found.charging_stopped_at is not None:
        at = output.written("at", found.charging_stopped_at)
        output.say(f"charging is stopped for everybody since {at}")
    wallet = None if found.wallet is None else found.wallet.row
    output.say(f"wallet: {wallet.status} {wallet.masked_phone}" if wallet else "wallet: none")
    if not found.subscriptions_count:
        is_due = any(each.row.next_attempt_at for each in found.debts)
        more = "" if is_due else ": nothing will be charged"
        output.say(f"no subscription is running{more}")
    for ending in found.endings:
        output.say(_ending(ending))
    for debt in found.debts:
        output.say("")
        _debt(debt)
    for each in found.subscriptions:
        output.say("")
        _subscription(each)
    left = found.subscriptions_count - len(found.subscriptions)
    if left:
        output.say(f"and {left} more subscriptions; show them with --limit")


def _ending(each: "Ending") -> str:
    """Say when a subscription ended or will end, who caused that, and why."""
    at = output.written("at", each.at)
    ends = f"{each.status} at" if each.status in ENDED else "will be canceled at"
    who = f" by {each.by}" if each.by else ""
    why = f" ({each.reason})" if each.reason else ""
    return f"subscription {each.subscription} to plan {each.plan}: {ends} {at}{who}{why}"


def _debt(each: "Invoice") -> None:
    row = each.row
    owed = output.written("amount", row.amount - row.amount_from_credit)
    output.say(f"invoice {row.id} of subscription {row.subscription}: {row.status}")
    output.say(f"owed since {output.written('at', row.created_at)}: {owed}; {_attempt(row)}")
    if each.steps.waits_for is not None:
        output.say(f"it waits for {each.steps.waits_for}")
    output.ways(each.steps.ways_out)


def _attempt(row: "Row") -> str:
    at = row.next_attempt_at
    return f"next attempt {output.written('at', at)}" if at else "no attempt is planned"


def _subscription(each: "Running") -> None:
    row, coming = each.row, each.next_invoice
    output.say(f"subscription {row.id} to plan {row.plan}: {row.status}")
    if each.prospect.waits_for is not None:
        output.say(f"it waits for {each.prospect.waits_for}")
    for invoice in each.open_invoices:
        opened = output.written("at", invoice.row.created_at)
        owed = output.written("amount", invoice.row.amount - invoice.row.amount_from_credit)
        output.say(f"owed since {opened}: {owed}; {_attempt(invoice.row)}")
    if coming is not None:
        credit = output.written("amount", coming.amount_from_credit)
        output.say(
            f"next period: {output.written('amount', coming.amount)}"
            f" on {output.written('at', coming.due_at)}"
            + (f"; credit pays {credit} of it" if coming.amount_from_credit else "")
        )
    output.ways(each.prospect.ways_out)

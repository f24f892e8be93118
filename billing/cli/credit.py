"""`billing credit`: the customer's credit balance, which pays future invoices."""

from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.filters import CreditFilter
from billing.domain.paging import Page

app = options.noun("Credits: the customer's credit balance; invoices use the oldest credit first.")
Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Customer id.")]
COLUMNS = (
    "id", "amount", "amount_from_charge", "amount_remaining", "amount_paid_out",
    "invoice", "reason", "created_at",
)  # fmt: skip


@app.command("list", epilog=options.example("billing credit list cust-1"))
def list_(
    customer: Customer,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List a customer's credits, oldest first."""
    page = Page(arguments.page(limit), after)
    wanted = CreditFilter(customer, *arguments.span(since, until))
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.credits_of(database, wanted, page)
    is_whole = found.next_cursor is None and (since, until, after) == (None, None, None)

    def people() -> None:
        output.table(found.rows, COLUMNS, empty=f"customer {customer} has no credits")
        if found.rows and is_whole:
            left = sum(credit.amount_remaining for credit in found.rows)
            output.say(f"credit balance {output.written('amount', left)}")

    output.listed(found, COLUMNS, empty="", as_json=as_json, people=people)


@app.command(
    epilog=options.example('billing credit give cust-1 --amount 20000 --reason "late delivery"')
)
def give(
    customer: Customer,
    amount: Annotated[
        str, typer.Option("--amount", metavar="RUPIAH", help="Amount in whole rupiah.")
    ],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Add credit to a customer without a payment; a reason is required."""
    by, rupiah = arguments.operator(reason, who), arguments.amount(amount)
    with engine.writing() as context:
        from billing.services.money import crediting
        from billing.services.reading import read_models

        given = crediting.grant(context, customer, rupiah, by)
        made = read_models.credit(context.database, given)
    said = f"credit {made.id}: {output.written('amount', rupiah)} for future invoices"
    output.answer(made, as_json=as_json, people=lambda: output.say(said))


@app.command(epilog=options.example('billing credit refund 17 --reason "asked for it"'))
def refund(
    credit: Annotated[str, typer.Argument(metavar="ID", help="Credit id.")],
    reason: options.Reason = None,
    who: options.By = None,
    key: options.Key = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Refund what remains of a credit to the wallet that paid it."""
    by, wanted = arguments.operator(reason, who), arguments.whole(credit, "a credit id", 10**15)
    request = arguments.request(key, "credit refund", by, credit=wanted)
    with engine.writing() as context:
        from billing.services.money import crediting
        from billing.services.reading import read_models

        paid_out = crediting.refund(context, wanted, by, request)
        made = read_models.refund(context.database, paid_out)
    said = f"{output.written('amount', made.row.amount)} will be refunded"
    output.answer(made, as_json=as_json, people=lambda: output.say(said))

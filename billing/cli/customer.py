"""`billing customer`: customers, their wallets, and all payments and refunds."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.filters import CustomerFilter
from billing.domain.paging import Page

if TYPE_CHECKING:
    from billing.services.reading.results import CustomerInDetail
    from billing.store.queries.listing_rows import Totals

app = options.noun("Customers; `show` says whether a customer was charged twice.")
Customer = Annotated[str, typer.Argument(metavar="ID", help="Customer id.")]
COLUMNS = ("id", "name", "masked_phone", "wallet_status", "subscriptions_count", "created_at")
NARROW = ("id", "name", "masked_phone", "wallet_status", "subscriptions_count")
"""The columns of a list that fits 100 columns of a terminal."""
FACTS = ("id", "name", "masked_phone", "masked_email", "created_at", "erase_requested_at",
         "erased_at")  # fmt: skip
EXPORTED = ("wallets", "subscriptions", "invoices", "charges", "refunds", "credits", "events",
            "imports")  # fmt: skip
SUBSCRIBED = ("id", "plan", "status", "amount", "next_due_at")
PAID = (
    "id", "period_start_at", "status", "payments_count", "amount_taken", "amount_refunded",
    "amount_refunding", "amount_credited", "amount_kept",
)  # fmt: skip


@app.command(epilog=options.example('billing customer create cust-1 --name "Siti Rahma"'))
def create(
    customer: Customer,
    name: Annotated[str, typer.Option("--name", help="Name sent to the gateway.")],
    phone: Annotated[str, typer.Option("--phone", help="Phone number: 62… or 08….")] = "",
    email: Annotated[str, typer.Option("--email", help="E-mail address.")] = "",
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Create a customer."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.reading import read_models
        from billing.services.subscriptions import subscribing

        subscribing.create_customer(context, customer, name=name, by=by, phone=phone, email=email)
        made = read_models.customer(context.database, customer, 1)

    def people() -> None:
        output.say(
            f"customer {customer} is created; next: billing wallet link {customer} --phone 62…"
        )

    output.answer(made, as_json=as_json, people=people)


@app.command("list", epilog=options.example("billing customer list --limit 20"))
def list_(
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    full: options.Full = False,
    as_json: options.Json = False,
) -> None:
    """List customers, newest first."""
    page = Page(arguments.page(limit), after)
    wanted = CustomerFilter(*arguments.span(since, until))
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.customers(database, wanted, page)
    empty = 'no customers yet; create one: billing customer create cust-1 --name "Siti Rahma"'
    output.listed(found, COLUMNS, empty=empty, as_json=as_json, narrow=NARROW, full=full)


@app.command(epilog=options.example("billing customer show cust-1"))
def show(
    customer: Annotated[str, typer.Argument(metavar="ID", help=arguments.WHO)],
    limit: options.Limit = options.LIMIT,
    *,
    as_json: options.Json = False,
) -> None:
    """Show a customer, with the number of payments of each invoice."""
    most = arguments.page(limit)
    with engine.rows() as database:
        from billing.services.reading import read_models, search

        found = read_models.customer(database, search.only(database, customer), most)
    output.answer(found, as_json=as_json, people=lambda: _people(found))


@app.command(epilog=options.example("billing customer export cust-1 --json > cust-1.json"))
def export(customer: Customer, *, as_json: options.Json = False) -> None:
    """Export everything that is stored of a person as one JSON document, with phone and e-mail.

    Without --json it prints only how many rows of each kind there are.
    """
    with engine.writing() as context:
        from billing.services.reading import customer_export

        found = customer_export.export(context, customer)

    def people() -> None:
        counts = ", ".join(f"{len(getattr(found, name))} {name}" for name in EXPORTED)
        output.say(f"customer {customer}: {counts}; print all of it with --json")

    output.answer(found, as_json=as_json, people=people)
    if found.cut:
        sys.stdout.flush()
        listed = ", ".join(found.cut)
        sys.stderr.write(f"cut: only the newest {customer_export.ROWS_MAX:,} of {listed}\n")


@app.command(epilog=options.example('billing customer erase cust-1 --reason "asked by letter"'))
def erase(
    customer: Customer, reason: options.Reason = None, *, as_json: options.Json = False
) -> None:
    """Erase everything personal of a customer; amounts, dates and ids stay. It has no way back.

    The wallet is unlinked first. While the gateway has not confirmed that, the erasure waits.
    """
    by = arguments.operator(reason)
    with engine.writing() as context:
        from billing.services.reading import read_models
        from billing.services.wallets import erasing

        erasing.erase(context, customer, by)
        found = read_models.customer(context.database, customer, 1)

    def people() -> None:
        output.say(f"customer {customer} {_erasure(found)}")

    output.answer(found, as_json=as_json, people=people)


def _erasure(found: "CustomerInDetail") -> str:
    """Say how far an erasure is."""
    if found.customer.row.erased_at is not None:
        return "was erased"
    return "is being erased: the wallet is unlinked first, and then a worker erases the rest"


def _people(found: "CustomerInDetail") -> None:
    output.facts(found, FACTS)
    customer, totals = found.customer.row, found.totals
    if customer.erase_requested_at is not None:
        output.say(f"customer {customer.id} {_erasure(found)}")
    wallet = None if found.wallet is None else found.wallet.row
    output.say(
        f"wallet: {wallet.status} {wallet.masked_phone}"
        if wallet
        else f"wallet: none; link one with: billing wallet link {customer.id} --phone 62…"
        if customer.erase_requested_at is None
        else "wallet: none"
    )
    output.table(found.subscriptions, SUBSCRIBED, empty="no subscriptions", title="")
    for twins in found.twins:
        ids = ", ".join(str(each) for each in twins.subscriptions)
        output.say(f"more than one subscription to plan {twins.plan}: {ids}")
    output.table(found.invoices, PAID, empty="no invoices")
    output.say(
        f"taken {output.written('amount', totals.amount_taken)},"
        f" refunded {output.written('amount', totals.amount_refunded)},"
        + _more(totals)
        + f" kept {output.written('amount', totals.amount_kept)}"
    )
    if customer.credit_balance:
        credit = output.written("amount", customer.credit_balance)
        output.say(f"credit balance {credit}: used by future invoices")
    output.say(found.verdict)


def _more(totals: "Totals") -> str:
    """Describe refunds in progress and credited amounts, if any."""
    parts = ((totals.amount_refunding, "on its way back"), (totals.amount_credited, "credited"))
    said = [f" {words} {output.written('amount', amount)}," for amount, words in parts if amount]
    return "".join(said)

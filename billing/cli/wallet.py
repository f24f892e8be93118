"""`billing wallet`: link and unlink customers' OVO accounts."""

from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain import ways_out
from billing.domain.errors import InvalidValue
from billing.domain.filters import WalletFilter
from billing.domain.paging import Page
from billing.domain.wallet import WalletStatus

if TYPE_CHECKING:
    from billing.services.reading.results import Wallet

app = options.noun("Wallets: customers' linked OVO accounts.", ways_out.WALLET)
Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Customer id.")]
COLUMNS = ("id", "customer", "status", "masked_phone", "linked_at", "expires_at")
NARROW = ("id", "customer", "status", "masked_phone", "expires_at")
"""The columns of a list that fits 100 columns of a terminal."""
ENDING = ("customer", "masked_phone", "expires_at", "subscriptions")


@app.command(epilog=options.example("billing wallet link cust-1 --phone 6281234567890"))
def link(
    customer: Customer,
    phone: Annotated[
        str, typer.Option("--phone", metavar="62…", help="Phone number of the OVO account.")
    ],
    success_url: Annotated[
        str | None,
        typer.Option("--success-url", metavar="URL", help="Page that OVO opens after success."),
    ] = None,
    failure_url: Annotated[
        str | None,
        typer.Option("--failure-url", metavar="URL", help="Page that OVO opens after a failure."),
    ] = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a wallet whose token no key decrypts.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Start linking an OVO account; prints the link that the customer must open."""
    by = arguments.operator(reason, who)
    with engine.engine() as context:
        from billing.services.reading import read_models
        from billing.services.wallets import linking

        linking.link(
            context, customer, phone, by, success_url=success_url, failure_url=failure_url,
            replace=replace,
        )  # fmt: skip
        wallet = read_models.wallet_of(context.database, customer)

    def people() -> None:
        output.say(f"the customer links the account {wallet.row.masked_phone} here:")
        output.say(wallet.row.registration_url or output.NOTHING)
        output.say(
            "linking is detected automatically, or immediately with:"
            f" billing wallet refresh {customer}"
        )

    output.answer(wallet, as_json=as_json, people=people)


@app.command(epilog=options.example("billing wallet refresh cust-1"))
def refresh(customer: Customer, *, as_json: options.Json = False) -> None:
    """Check now whether the customer has finished linking."""
    with engine.engine() as context:
        from billing.services.reading import read_models
        from billing.services.wallets import linking

        read_models.wallet_of(context.database, customer)  # refuses an unknown customer
        linking.refresh(context, customer)
        wallet = read_models.wallet_of(context.database, customer)
    output.answer(wallet, as_json=as_json, people=lambda: _people(wallet))


@app.command(epilog=options.example("billing wallet balance cust-1"))
def balance(customer: Customer, *, as_json: options.Json = False) -> None:
    """Query the gateway for a wallet's OVO balance."""
    with engine.engine() as context:
        from billing.services.wallets import linking

        held = linking.balance(context, customer)
    document = {"customer": customer, "cash": held.cash, "points": held.points}
    output.answer(document, as_json=as_json, people=lambda: output.facts(document, tuple(document)))


@app.command(epilog=options.example('billing wallet unlink cust-1 --reason "asked by phone"'))
def unlink(
    customer: Customer,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Unlink a wallet: delete its token once no charge or refund needs it."""
    by = arguments.operator(reason, who)
    with engine.engine() as context:
        from billing.services.reading import read_models
        from billing.services.wallets import unlinking

        unlinking.unlink(context, customer, by)
        wallet = read_models.wallet_of(context.database, customer)
    output.answer(wallet, as_json=as_json, people=lambda: _people(wallet))


@app.command(
    "list",
    epilog=options.example(
        "billing wallet list --status expired", 'billing wallet list --expiring "30 days"'
    ),
)
def list_(
    customer: options.OfCustomer = None,
    status: Annotated[
        WalletStatus | None, typer.Option("--status", help="Only wallets with this status.")
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    expiring: Annotated[
        str | None,
        typer.Option(
            "--expiring",
            metavar="DURATION",
            help="Only wallets whose token expires within this time, and their subscriptions.",
        ),
    ] = None,
    expires_before: Annotated[
        str | None,
        typer.Option(
            "--expires-before",
            metavar="ISO",
            help="Only linked wallets whose token expires before this time.",
        ),
    ] = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    full: options.Full = False,
    as_json: options.Json = False,
) -> None:
    """List wallets, newest first; with --expiring those that expire soon, earliest first."""
    page = Page(arguments.page(limit), after)
    if expiring is not None:
        if status is not None:
            raise InvalidValue(
                "--status or --expiring, not both: only an active wallet's token can end"
            )
        others = {"customer": customer, "from": since, "to": until, "after": after,
                  "expires-before": expires_before}  # fmt: skip
        arguments.not_both("--expiring", **others)
        _expiring(expiring, page.limit, as_json=as_json)
        return
    ends = None if expires_before is None else arguments.instant(expires_before)
    wanted = WalletFilter(customer, status, *arguments.span(since, until), ends)
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.wallets(database, wanted, page)
    empty = "no wallets; link one with: billing wallet link CUSTOMER --phone 62…"
    output.listed(found, COLUMNS, empty=empty, as_json=as_json, narrow=NARROW, full=full)


def _expiring(within: str, most: int, *, as_json: bool) -> None:
    with engine.rows_and_clock() as (database, clock):
        from billing.services.reading import read_models

        until = arguments.later(clock.now(), within)
        found = read_models.wallets_ending(database, until, most)
    empty = f"no subscription loses its token until {output.written('at', until)}"
    output.answer(found, as_json=as_json, people=lambda: output.table(found, ENDING, empty=empty))


def _people(wallet: "Wallet") -> None:
    output.facts(
        wallet,
        ("customer", "status", "masked_phone", "registration_url", "linked_at", "expires_at",
         "unlink_requested_at", "cause", "held_at", "held_cause"),
    )  # fmt: skip
    output.ways(wallet.ways_out)

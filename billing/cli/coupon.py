"""`billing coupon`: discounts in percent or rupiah, for a number of invoices or permanently."""

from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.filters import CatalogStatus, CouponFilter
from billing.domain.paging import Page

app = options.noun(
    "Coupons: discounts in percent or rupiah; a coupon never changes, it can only be archived."
)
Code = Annotated[str, typer.Argument(metavar="CODE", help="Coupon code.")]
COLUMNS = (
    "code",
    "percent",
    "amount",
    "cycles",
    "redemptions_count",
    "redemptions_max",
    "archived_at",
)


@app.command(
    epilog=options.example(
        "billing coupon create WELCOME --percent 50 --cycles 3 --max-redemptions 1000"
    )
)
def create(
    code: Code,
    percent: Annotated[
        str | None,
        typer.Option("--percent", metavar="P", help="Percent off the period's price, 1 to 100."),
    ] = None,
    amount: Annotated[
        str | None,
        typer.Option("--amount", metavar="RUPIAH", help="Rupiah off the period's price."),
    ] = None,
    cycles: Annotated[
        str | None,
        typer.Option(
            "--cycles", metavar="N", help="Number of invoices it applies to; default: all"
        ),
    ] = None,
    most: Annotated[
        str | None,
        typer.Option("--max-redemptions", metavar="N", help="Maximum number of redemptions."),
    ] = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Create a coupon."""
    by = arguments.operator(reason, who)
    off = None if percent is None else arguments.whole(percent, "--percent", 100)
    rupiah = None if amount is None else arguments.amount(amount)
    limit = None if cycles is None else arguments.whole(cycles, "--cycles")
    uses = None if most is None else arguments.whole(most, "--max-redemptions")
    with engine.writing() as context:
        from billing.services.money import coupons
        from billing.services.reading import catalog

        coupons.create(
            context, code, by, percent=off, rupiah_off=rupiah, cycles=limit, redeemed_max=uses
        )
        coupon = catalog.coupon(context.database, code)
    output.answer(coupon, as_json=as_json, people=lambda: output.facts(coupon, COLUMNS))


@app.command("list", epilog=options.example("billing coupon list --json"))
def list_(
    status: Annotated[
        CatalogStatus | None, typer.Option("--status", help="Only coupons with this status.")
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List coupons, in the order of their codes."""
    page = Page(arguments.page(limit), after)
    wanted = CouponFilter(status, *arguments.span(since, until))
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.coupons(database, wanted, page)
    empty = "no coupons yet; create one: billing coupon create WELCOME --percent 50 --cycles 3"
    output.listed(found, COLUMNS, empty=empty, as_json=as_json)


@app.command(epilog=options.example("billing coupon archive WELCOME"))
def archive(
    code: Code,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Archive a coupon; subscriptions that already use it keep it."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.money import coupons
        from billing.services.reading import catalog

        coupons.archive(context, code, by)
        coupon = catalog.coupon(context.database, code)
    said = f"coupon {code} is archived; subscriptions that use it keep it"
    output.answer(coupon, as_json=as_json, people=lambda: output.say(said))


@app.command(epilog=options.example("billing coupon apply WELCOME 6f1c…"))
def apply(
    code: Code,
    subscription: Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Subscription id.")],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Apply a coupon to a running subscription, starting with its next invoice."""
    by, wanted = arguments.operator(reason, who), arguments.identity(subscription, "subscription")
    with engine.writing() as context:
        from billing.services.money import coupons
        from billing.services.reading import read_models

        coupons.apply(context, code, wanted, by)
        found = read_models.subscription(context.database, wanted)
    said = f"coupon {code} counts from the next invoice of subscription {wanted} on"
    output.answer(found, as_json=as_json, people=lambda: output.say(said))

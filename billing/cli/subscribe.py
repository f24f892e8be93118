"""`billing subscribe`: subscribe a customer to a plan."""

from typing import Annotated
from uuid import UUID

import typer

from billing.cli import arguments, engine, options, output
from billing.cli.subscription import FACTS, Amount

EXAMPLE = options.example("billing subscribe cust-1 gym --start 2026-02-01T09:00")


def subscribe(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Customer id.")],
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="Plan code.")],
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="ISO", help="The anchor; local time without an offset."),
    ] = None,
    quantity: Annotated[
        str, typer.Option("--quantity", metavar="N", help="Multiple of the plan's amount.")
    ] = "1",
    amount: Amount = None,
    coupon: Annotated[
        str | None, typer.Option("--coupon", metavar="CODE", help="Redeem a coupon.")
    ] = None,
    setup_fee: Annotated[
        str | None,
        typer.Option("--setup-fee", metavar="RUPIAH", help="Amount added to the first invoice."),
    ] = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    backdate: Annotated[
        bool, typer.Option("--backdate", help="Accept a --start further back than the limit.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Allow a second subscription to the same plan.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Subscribe a customer to a plan; it starts once a wallet is linked."""
    by, times = arguments.operator(reason, who), arguments.whole(quantity, "--quantity")
    cost = None if amount is None else arguments.amount(amount)
    fee = None if setup_fee is None else arguments.amount(setup_fee)
    with engine.writing() as context:
        from billing.domain.backdating import AtOnce
        from billing.services.reading import read_models
        from billing.services.subscriptions import subscribing

        begin = None
        if start is not None:
            with context.database.transaction() as connection:
                timezone = subscribing.known_plan(connection, plan).timezone
            begin = arguments.moment(start, timezone)
        is_local = begin is not None and begin.tzinfo is None
        made = subscribing.subscribe(
            context, customer, plan, by, start=None if is_local else begin,
            local_start=begin if is_local else None, quantity=times, amount=cost, coupon=coupon,
            setup_fee=fee, backdate=backdate, again=again,
        )  # fmt: skip
        shown = read_models.subscription(context.database, UUID(made["id"]))

    due = AtOnce(**made["charged_now"])

    def people() -> None:
        output.facts(shown, FACTS[:10])
        if start is not None and due.periods:
            output.say(f"charged at once: {due}")
        if made["waits_for"] is not None:
            link = f"billing wallet link {customer} --phone 62…"
            commands = [way.command for way in shown.prospect.ways_out]
            brings = next((each for each in commands if " wallet " in each), link)
            output.say(f"nothing is charged until a wallet is linked: {brings}")

    output.answer(shown, as_json=as_json, people=people, done={"charged_now": due.shown()})

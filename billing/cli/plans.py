"""`billing plan`: what is offered."""

from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output, preview
from billing.domain.subscription import CatchUp, OnExhausted

app = options.noun("Plans: a price and a schedule; never changed, only archived.")
Code = Annotated[str, typer.Argument(metavar="CODE", help="The plan's code.")]
COLUMNS = ("code", "name", "amount", "every", "cron", "timezone", "trial", "archived_at")
FACTS = (
    "code", "name", "amount", "every", "cron", "timezone", "trial", "cycles", "retries",
    "on_exhausted", "catch_up", "use_points", "created_at", "archived_at",
)  # fmt: skip


@app.command(epilog=options.example('billing plan create gym --amount 150000 --every "1 month"'))
def create(
    code: Code,
    amount: Annotated[str, typer.Option("--amount", metavar="RUPIAH", help="For each period.")],
    every: preview.Every = None,
    cron: preview.Cron = None,
    name: Annotated[str | None, typer.Option("--name", help="What customers read.")] = None,
    timezone: preview.Timezone = arguments.HOME_TIMEZONE,
    trial: Annotated[
        str | None, typer.Option("--trial", metavar="DURATION", help='Free at first: "7 days"')
    ] = None,
    cycles: Annotated[
        str | None, typer.Option("--cycles", metavar="N", help="End after so many periods.")
    ] = None,
    retries: Annotated[
        str | None,
        typer.Option(
            "--retries", metavar="STEPS", help='Waits after a decline [default: "2d 5d 7d 7d"]'
        ),
    ] = None,
    on_exhausted: Annotated[
        OnExhausted, typer.Option("--on-exhausted", help="What follows the last retry.")
    ] = OnExhausted.CANCEL,
    catch_up: Annotated[
        CatchUp, typer.Option("--catch-up", help="What is billed after an outage.")
    ] = CatchUp.ALL,
    reason: options.Reason = None,
    *,
    use_points: Annotated[
        bool, typer.Option("--use-points", help="Let OVO points pay as well.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Offer a plan."""
    preview.one_schedule(every, cron)
    rupiah, by = arguments.amount(amount), arguments.operator(reason)
    limit = None if cycles is None else arguments.whole(cycles, "--cycles")
    with engine.engine() as context:
        from billing.domain.dunning import DEFAULT_RETRIES
        from billing.services import showing, subscribing

        subscribing.create_plan(
            context,
            code,
            amount=rupiah,
            by=by,
            every=every,
            cron=cron,
            name=name,
            timezone=timezone,
            trial=trial,
            cycles=limit,
            retries=DEFAULT_RETRIES if retries is None else retries,
            on_exhausted=on_exhausted,
            catch_up=catch_up,
            use_points=use_points,
        )
        plan = showing.plan(context.database, code)
    output.answer(plan, as_json=as_json, people=lambda: output.facts(plan, FACTS))


@app.command("list", epilog=options.example("billing plan list --json"))
def list_(limit: options.Limit = options.LIMIT, *, as_json: options.Json = False) -> None:
    """List plans, those on offer first."""
    most = arguments.page(limit)
    with engine.rows() as database:
        from billing.services import showing

        plans = showing.plans(database, most)
    empty = 'no plans yet; offer one: billing plan create gym --amount 150000 --every "1 month"'
    output.answer(plans, as_json=as_json, people=lambda: output.table(plans, COLUMNS, empty=empty))


@app.command(epilog=options.example("billing plan show gym"))
def show(code: Code, *, as_json: options.Json = False) -> None:
    """Show one plan."""
    with engine.rows() as database:
        from billing.services import showing

        plan = showing.plan(database, code)
    output.answer(plan, as_json=as_json, people=lambda: output.facts(plan, FACTS))


@app.command(epilog=options.example('billing plan archive gym --reason "new prices"'))
def archive(code: Code, reason: options.Reason = None, *, as_json: options.Json = False) -> None:
    """Offer a plan no more; its subscriptions go on."""
    by = arguments.operator(reason)
    with engine.engine() as context:
        from billing.services import showing, subscribing

        subscribing.archive_plan(context, code, by)
        plan = showing.plan(context.database, code)
    output.answer(
        plan,
        as_json=as_json,
        people=lambda: output.say(f"plan {code} is archived; its subscriptions go on"),
    )

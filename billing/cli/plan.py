"""`billing plan`: create, list, show and archive plans."""

from typing import Annotated, TypedDict

import typer

from billing.cli import arguments, engine, options, output, schedule
from billing.domain.filters import CatalogStatus, PlanFilter
from billing.domain.instants import HOME_TIMEZONE
from billing.domain.paging import Page
from billing.domain.subscription import CatchUp, OnExhausted

app = options.noun("Plans: a price and a schedule; a plan never changes, it can only be archived.")
Code = Annotated[str, typer.Argument(metavar="CODE", help="Plan code.")]
Ladders = Annotated[
    list[str] | None,
    typer.Option(
        "--retries-for",
        metavar="CLASS=STEPS",
        help='Retry steps for one fault class: "insufficient_funds=0 10 25 * *"; repeatable.',
    ),
]
Declines = Annotated[
    str | None,
    typer.Option("--max-declines", metavar="N", help="End dunning after N scheduled declines."),
]
Attempts = Annotated[
    str | None,
    typer.Option(
        "--max-attempts", metavar="N", help="End dunning after N charges, including manual retries."
    ),
]
Days = Annotated[
    str | None,
    typer.Option("--max-days", metavar="N", help="End dunning N days after the first decline."),
]
Trial = Annotated[
    str | None, typer.Option("--trial", metavar="DURATION", help='Trial, such as "7 days".')
]
Notice = Annotated[
    str | None,
    typer.Option(
        "--notice",
        metavar="DURATION",
        help='Announce each charge this long ahead with an event, such as "3 days".',
    ),
]
COLUMNS = ("code", "name", "amount", "every", "cron", "timezone", "trial", "archived_at")
FACTS = (
    "code", "name", "amount", "every", "cron", "timezone", "trial", "cycles", "notice", "retries",
    "retries_for", "declines_max", "attempts_max", "days_max", "on_exhausted", "catch_up",
    "use_points", "created_at", "archived_at",
)  # fmt: skip


class Policy(TypedDict):
    """A plan's dunning policy other than its steps."""

    retries_for: dict[str, str]
    declines_max: int | None
    attempts_max: int | None
    days_max: int | None


@app.command(epilog=options.example('billing plan create gym --amount 150000 --every "1 month"'))
def create(
    code: Code,
    amount: Annotated[
        str, typer.Option("--amount", metavar="RUPIAH", help="Price per period in whole rupiah.")
    ],
    every: schedule.Every = None,
    cron: schedule.Cron = None,
    name: Annotated[str | None, typer.Option("--name", help="Name shown to customers.")] = None,
    timezone: schedule.Timezone = HOME_TIMEZONE,
    trial: Trial = None,
    cycles: Annotated[
        str | None,
        typer.Option("--cycles", metavar="N", help="Complete the subscription after N periods."),
    ] = None,
    notice: Notice = None,
    retries: Annotated[
        str | None,
        typer.Option(
            "--retries", metavar="STEPS", help='Waits after a decline; default: "2d 5d 7d 7d"'
        ),
    ] = None,
    retries_for: Ladders = None,
    max_declines: Declines = None,
    max_attempts: Attempts = None,
    max_days: Days = None,
    on_exhausted: Annotated[
        OnExhausted, typer.Option("--on-exhausted", help="Final action after the last retry.")
    ] = OnExhausted.CANCEL,
    catch_up: Annotated[
        CatchUp, typer.Option("--catch-up", help="Which missed periods are billed after an outage.")
    ] = CatchUp.ALL,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    use_points: Annotated[
        bool, typer.Option("--use-points", help="Allow payment with OVO points.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Create a plan."""
    schedule.one_schedule(every, cron)
    rupiah, by = arguments.amount(amount), arguments.operator(reason, who)
    limit = None if cycles is None else arguments.whole(cycles, "--cycles")
    policy = _policy(retries_for, max_declines, max_attempts, max_days)
    with engine.writing() as context:
        from billing.domain.dunning import DEFAULT_RETRIES
        from billing.services.reading import catalog
        from billing.services.subscriptions import subscribing

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
            notice=notice,
            retries=DEFAULT_RETRIES if retries is None else retries,
            **policy,
            on_exhausted=on_exhausted,
            catch_up=catch_up,
            use_points=use_points,
        )
        plan = catalog.plan(context.database, code)
    output.answer(plan, as_json=as_json, people=lambda: output.facts(plan, FACTS))


def _policy(
    ladders: list[str] | None, declines: str | None, attempts: str | None, days: str | None
) -> Policy:
    """Describe a plan's dunning policy other than its steps."""

    def cap(text: str | None, option: str) -> int | None:
        return None if text is None else arguments.whole(text, option)

    return {
        "retries_for": arguments.pairs(ladders or [], "--retries-for", "CLASS=STEPS"),
        "declines_max": cap(declines, "--max-declines"),
        "attempts_max": cap(attempts, "--max-attempts"),
        "days_max": cap(days, "--max-days"),
    }


@app.command("list", epilog=options.example("billing plan list --json"))
def list_(
    status: Annotated[
        CatalogStatus | None, typer.Option("--status", help="Only plans with this status.")
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List plans, in the order of their codes."""
    page = Page(arguments.page(limit), after)
    wanted = PlanFilter(status, *arguments.span(since, until))
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.plans(database, wanted, page)
    empty = 'no plans yet; create one: billing plan create gym --amount 150000 --every "1 month"'
    output.listed(found, COLUMNS, empty=empty, as_json=as_json)


@app.command(epilog=options.example("billing plan show gym"))
def show(code: Code, *, as_json: options.Json = False) -> None:
    """Show one plan."""
    with engine.rows() as database:
        from billing.services.reading import catalog

        plan = catalog.plan(database, code)
    output.answer(plan, as_json=as_json, people=lambda: output.facts(plan, FACTS))


@app.command(epilog=options.example('billing plan archive gym --reason "new prices"'))
def archive(
    code: Code,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Archive a plan; its subscriptions continue."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.reading import catalog
        from billing.services.subscriptions import subscribing

        subscribing.archive_plan(context, code, by)
        plan = catalog.plan(context.database, code)
    output.answer(
        plan,
        as_json=as_json,
        people=lambda: output.say(f"plan {code} is archived; its subscriptions continue"),
    )

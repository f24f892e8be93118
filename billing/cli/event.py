"""`billing event`: the audit trail."""

from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output

app = options.noun("Events: what happened, when, by whom and why.")
COLUMNS = ("created_at", "kind", "actor", "reason", "customer", "subscription", "data")


@app.callback()
def _group() -> None:
    """Keep `list` a subcommand although it is the only one."""


@app.command("list", epilog=options.example("billing event list --subscription 6f1c… --limit 20"))
def list_(
    subscription: Annotated[
        str | None,
        typer.Option("--subscription", metavar="ID", help="Only events of this subscription."),
    ] = None,
    limit: options.Limit = options.LIMIT,
    *,
    as_json: options.Json = False,
) -> None:
    """List the latest events in chronological order."""
    most = arguments.page(limit)
    of = None if subscription is None else arguments.identity(subscription, "subscription")
    with engine.rows() as database:
        from billing.services.reading import read_models

        found = read_models.events(database, of, most)
    columns = COLUMNS if of is None else tuple(c for c in COLUMNS if c != "subscription")
    output.answer(
        found, as_json=as_json, people=lambda: output.table(found, columns, empty="no events")
    )

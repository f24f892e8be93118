"""`billing event`: the audit trail."""

from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.event_kinds import expanded
from billing.domain.filters import EventFilter
from billing.domain.paging import Page

app = options.noun("Events: what happened, when, by whom and why.")
COLUMNS = ("timestamp", "type", "actor", "reason", "customer", "subscription", "details")


@app.callback()
def _group() -> None:
    """Keep `list` a subcommand although it is the only one."""


@app.command("list", epilog=options.example("billing event list --subscription 6f1c… --limit 20"))
def list_(
    customer: options.OfCustomer = None,
    subscription: options.OfSubscription = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="TYPE", help="Only this type, or invoice.*; may be repeated."
        ),
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List the latest events in chronological order; with --after those before them."""
    page = Page(arguments.page(limit), after)
    of = None if subscription is None else arguments.identity(subscription, "subscription")
    kinds = tuple(expanded(kind)) if kind else ()
    wanted = EventFilter(customer, of, *arguments.span(since, until), kinds)
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.events(database, wanted, page)
    columns = COLUMNS if of is None else tuple(c for c in COLUMNS if c != "subscription")
    in_order = found._replace(rows=found.rows[::-1])
    output.listed(in_order, columns, empty="no events", as_json=as_json)

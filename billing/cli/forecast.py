"""`billing forecast`: list future charges without making them."""

from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.instants import HOME_TIMEZONE

EXAMPLE = options.example("billing forecast --until 2026-12-31T23:59")


def forecast(
    until: Annotated[str, typer.Option("--until", metavar="ISO", help="End of the forecast.")],
    *,
    as_json: options.Json = False,
) -> None:
    """List every future charge, assuming that each succeeds and nothing else changes."""
    end = arguments.instant(until)
    with engine.rows_and_clock() as (database, clock):
        from billing.services.reading import forecasting

        rows = forecasting.forecast(database, clock.now(), end)
        if as_json:
            output.stream(rows)
            return
        count = total = unlinked = 0
        for row in rows:
            due = output.written("due_at", row.due_at)
            amount = output.written("amount", row.amount)
            needs = ", needs a wallet" if row.needs_link else ""
            output.say(f"{due}  {row.customer:<20} {amount:>16}  {row.cause}{needs}")
            count, total = count + 1, total + row.amount
            unlinked += row.amount if needs else 0
        output.say(
            f"{count} charges, {output.written('amount', total)}"
            + (f"; {output.written('amount', unlinked)} of it need a wallet" if unlinked else "")
            + f"; times are {HOME_TIMEZONE}"
        )

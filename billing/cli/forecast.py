"""`billing forecast`: list future charges without making them, or add them up by day."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.errors import InvalidValue
from billing.domain.instants import HOME, HOME_TIMEZONE

if TYPE_CHECKING:
    from billing.services.reading.ahead import Sum
    from billing.services.reading.results import ForecastLine

EXAMPLE = options.example(
    "billing forecast --until 2026-12-31T23:59", "billing forecast --from 2026-12-01 --by day"
)
DAYS = timedelta(days=60)
"""How far a forecast by day reaches without --until."""
COLUMNS = ("day", "charges_count", "amount", "waiting_count", "amount_waiting")


class By(StrEnum):
    """What a forecast is added up by."""

    DAY = "day"


class Day(NamedTuple):
    """The sums of a day; `waiting` are charges for which no wallet will be linked."""

    day: str
    charges_count: int
    amount: int
    waiting_count: int
    amount_waiting: int

    @classmethod
    def of(cls, on: date, sums: "Sum") -> "Day":
        """Return the sums of a day."""
        return cls(on.isoformat(), *sums)


def forecast(
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="ISO",
            help="End of the forecast; with --by day by default 60 days after its start.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="ISO", help="Start; by default now.")
    ] = None,
    by: Annotated[By | None, typer.Option("--by", help="Add up the charges of each day.")] = None,
    *,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """List every future charge, assuming that each succeeds and nothing else changes.

    With --by day it prints rupiah and charges of each day. Charges for which no wallet will be
    linked are counted apart: they will wait.
    """
    if until is None and by is None:
        raise InvalidValue("--until is missing: the end of the forecast")
    begin = None if since is None else arguments.instant(since)
    end = None if until is None else arguments.instant(until)
    with engine.rows_and_clock() as (database, clock):
        from billing.services.reading import forecasting

        now = clock.now()
        begin = max(begin or now, now)
        end = end or begin + DAYS
        if end <= begin:
            raise InvalidValue("--until must be after --from, and in the future")
        # What is due before is computed too: it uses credit first.
        lines = forecasting.forecast(database, now, end)
        rows = (each for each in lines if each.due_at >= begin)
        if by is not None:
            _by_day(rows, now, as_json=as_json)
        elif as_json:
            output.stream(rows)
        else:
            _lines(rows)


def _lines(rows: "Iterable[ForecastLine]") -> None:
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


def _by_day(rows: "Iterable[ForecastLine]", now: datetime, *, as_json: bool) -> None:
    from billing.services.reading import ahead

    sums = ahead.by_day(rows)
    days = [Day.of(on, sums[on]) for on in sorted(sums)]
    total = ahead.total(sums.values())
    tomorrow = now.astimezone(HOME).date() + timedelta(days=1)
    document = {
        "days": days,
        "total": Day.of(tomorrow, total)._asdict() | {"day": None},
        "tomorrow": Day.of(tomorrow, sums.get(tomorrow, ahead.NOTHING)),
    }

    def people() -> None:
        output.table(days, COLUMNS, empty="nothing will be charged in this time")
        output.say(f"tomorrow ({tomorrow}): {_said(sums.get(tomorrow, ahead.NOTHING))}")
        output.say(f"in all: {_said(total)}; days begin at midnight, {HOME_TIMEZONE}")

    output.answer(document, as_json=as_json, people=people)


def _said(sums: "Sum") -> str:
    made = f"{sums.charges} charges, {output.written('amount', sums.amount)}"
    if not sums.waiting:
        return made
    waiting = output.written("amount", sums.waiting_amount)
    return f"{made}; {sums.waiting} more, {waiting}, will wait for a wallet"

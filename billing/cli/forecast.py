"""`billing forecast`: list future charges without making them, or add them up by day."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
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
ONE_DAY = timedelta(days=1)
"""How far a forecast by day reaches without --until."""
COLUMNS = ("day", "charges_count", "amount", "waiting_count", "amount_waiting")


class By(StrEnum):
    """What a forecast is added up by."""

    DAY = "day"


class Span(NamedTuple):
    """From when until when charges are added up, and what the time is now."""

    now: datetime
    begin: datetime
    end: datetime


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
            help="End of the forecast; a date is the whole day. With --by day by default 60 days.",
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

    With --by day it prints rupiah and charges of each day, and says which day is cut. Charges for
    which no wallet will be linked are counted apart: they will wait.
    """
    if until is None and by is None:
        raise InvalidValue("--until is missing: the end of the forecast")
    begin = None if since is None else arguments.instant(since)
    end = None if until is None else _end(until)
    with engine.rows_and_clock() as (database, clock):
        from billing.services.reading import forecasting

        now = clock.now()
        begin = max(begin or now, now)
        end = end or _last(begin.astimezone(HOME).date() + DAYS)
        if end <= begin:
            raise InvalidValue("--until must be after --from, and in the future")
        # What is due before is computed too: it uses credit first.
        if by is not None:
            # Tomorrow is whole, also when the span ends in it or leaves it out.
            tomorrow = now.astimezone(HOME).date() + ONE_DAY
            lines = forecasting.forecast(database, now, max(end, _last(tomorrow)))
            _by_day(lines, tomorrow, Span(now, begin, end), as_json=as_json)
            return
        lines = forecasting.forecast(database, now, end)
        rows = (each for each in lines if each.due_at >= begin)
        if as_json:
            output.stream(rows)
        else:
            _lines(rows)


def _end(until: str) -> datetime:
    """Parse an end; a date without a time is the whole of that day."""
    try:
        return _last(date.fromisoformat(until.strip()))
    except (ValueError, OverflowError):
        return arguments.instant(until)


def _last(on: date) -> datetime:
    """Return the last instant of a day at home."""
    return datetime.combine(on, time.max, HOME)


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


def _by_day(lines: "Iterable[ForecastLine]", tomorrow: date, span: Span, *, as_json: bool) -> None:
    from billing.services.reading import ahead

    due_tomorrow = ahead.NOTHING

    def within() -> "Iterator[ForecastLine]":
        nonlocal due_tomorrow
        for each in lines:
            if each.due_at.astimezone(HOME).date() == tomorrow:
                due_tomorrow = ahead.total((due_tomorrow, *ahead.by_day([each]).values()))
            if span.begin <= each.due_at <= span.end:
                yield each

    sums = ahead.by_day(within())
    days = [Day.of(on, sums[on]) for on in sorted(sums)]
    total = ahead.total(sums.values())
    document = {
        "days": days,
        "total": Day.of(tomorrow, total)._asdict() | {"day": None},
        "tomorrow": Day.of(tomorrow, due_tomorrow),
    }

    def people() -> None:
        output.table(days, COLUMNS, empty="nothing will be charged in this time")
        for line in _partly(span):
            output.say(line)
        output.say(f"tomorrow ({tomorrow}): {_said(due_tomorrow)}")
        output.say(f"in all: {_said(total)}; days begin at midnight, {HOME_TIMEZONE}")

    output.answer(document, as_json=as_json, people=people)


def _partly(span: Span) -> "Iterator[str]":
    """Say which days the span cuts; today is always what is left of it."""
    begin, end = span.begin.astimezone(HOME), span.end.astimezone(HOME)
    if span.begin > span.now and begin.time() != time():
        yield f"{begin.date()} is added up partly, from {output.written('at', begin)}"
    if end < _last(end.date()):
        yield f"{end.date()} is added up partly, until {output.written('at', end)}"


def _said(sums: "Sum") -> str:
    made = f"{sums.charges} charges, {output.written('amount', sums.amount)}"
    if not sums.waiting:
        return made
    waiting = output.written("amount", sums.waiting_amount)
    return f"{made}; {sums.waiting} more, {waiting}, will wait for a wallet"

"""Ahead: what will be charged on each of the next 60 days, by day and by plan.

The charges are those of the forecast. When there are too many for a page, the next charge of each
subscription is added up instead, at most once in a minute in each process: it reads every
subscription that runs. A charge for which no wallet will be linked is counted apart: it
will wait. A day begins at midnight in HOME_TIMEZONE. Nothing is written.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import NamedTuple

from billing.domain.instants import HOME, HOME_TIMEZONE
from billing.services.context import Context
from billing.services.reading import forecasting
from billing.services.reading.results import ForecastLine
from billing.store.queries import forecast as statements

DAYS = 60
LINES_MAX = 2_500
"""Of more charges than this a page adds up the next ones; the command has no limit."""
SHOWN_MAX = 500
"""Charges of one day, and customers without a wallet, that are shown."""


class Sum(NamedTuple):
    """Charges and rupiah; `waiting` are those for which no wallet will be linked."""

    charges: int
    amount: int
    waiting: int
    waiting_amount: int


class Planned(NamedTuple):
    """A charge ahead, its day, and the present plan of its subscription."""

    line: ForecastLine
    plan: str

    @property
    def on(self) -> date:
        """Return its day."""
        return self.line.due_at.astimezone(HOME).date()


class Unlinked(NamedTuple):
    """A customer whose wallet will not work, from the first charge that will wait."""

    customer: str
    first_at: datetime
    charges: int
    amount: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """The sums of the days ahead, as of `at`; `is_cut` says that only next charges are added up."""

    at: datetime
    first_on: date
    last_on: date
    days: dict[date, Sum]
    plans: dict[str, Sum]
    total: Sum
    tomorrow: Sum
    unlinked: Sequence[Unlinked]
    of_day: Sequence[Planned]
    is_cut: bool


def read(context: Context, plan: str | None = None, day: date | None = None) -> Ahead:
    """Add up the days ahead, of all plans or of one; `of_day` has the charges of one day."""
    at = context.clock.now()
    today = at.astimezone(HOME).date()
    end = datetime.combine(today + timedelta(days=DAYS), time(), HOME)
    until = end - timedelta(microseconds=1)
    known = context.next_charges.known(at)
    planned = None if known else _planned(context, at, until)
    if planned is None:
        added_at, sums = context.next_charges.get(at, lambda: _next_charges(context, at, until))
        return _of_next_charges(added_at, [c for c in sums if plan in {None, c.plan}])
    if plan is not None:
        planned = [each for each in planned if each.plan == plan]
    planned.sort(key=lambda each: each.line.due_at)
    on: dict[date, list[Planned]] = {today + timedelta(days=n): [] for n in range(DAYS)}
    of_plan: dict[str, list[Planned]] = {}
    for each in planned:
        on[each.on].append(each)
        of_plan.setdefault(each.plan, []).append(each)
    return Ahead(
        at=at, first_on=today, last_on=today + timedelta(days=DAYS - 1),
        days={number: summed(rows) for number, rows in on.items()},
        plans={code: summed(rows) for code, rows in sorted(of_plan.items())},
        total=summed(planned), tomorrow=summed(on[today + timedelta(days=1)]),
        unlinked=_unlinked(planned),
        of_day=on.get(day, []) if day is not None else [], is_cut=False,
    )  # fmt: skip


def _planned(context: Context, at: datetime, until: datetime) -> list[Planned] | None:
    """Return every charge ahead with its plan; None when there are too many for a page."""
    with context.database.transaction() as connection:
        database = context.joined(connection).database
        with closing(forecasting.forecast(database, at, until)) as lines:
            found = list(islice(lines, LINES_MAX + 1))
        if len(found) > LINES_MAX:
            return None
        plans = statements.plans_of(connection, list({each.subscription for each in found}))
    return [Planned(each, plans[each.subscription]) for each in found]


def _next_charges(
    context: Context, at: datetime, until: datetime
) -> Sequence[statements.NextCharges]:  # fmt: skip
    with context.database.transaction() as connection:
        return statements.next_charges(connection, at, until, HOME_TIMEZONE)


def _of_next_charges(at: datetime, found: Sequence[statements.NextCharges]) -> Ahead:
    """Add up the next charge of each subscription; the charges themselves are not listed."""
    today = at.astimezone(HOME).date()
    on: dict[date, list[Sum]] = {today + timedelta(days=n): [] for n in range(DAYS)}
    of_plan: dict[str, list[Sum]] = {}
    for each in found:
        sums = Sum(each.charges, each.amount, each.waiting, each.waiting_amount)
        on[each.on].append(sums)
        of_plan.setdefault(each.plan, []).append(sums)
    days = {number: total(sums) for number, sums in on.items()}
    return Ahead(
        at=at, first_on=today, last_on=today + timedelta(days=DAYS - 1), days=days,
        plans={code: total(sums) for code, sums in sorted(of_plan.items())},
        total=total(days.values()), tomorrow=days[today + timedelta(days=1)], unlinked=[],
        of_day=[], is_cut=True,
    )  # fmt: skip


NOTHING = Sum(0, 0, 0, 0)


def by_day(lines: Iterable[ForecastLine]) -> dict[date, Sum]:
    """Add up any number of charges by their day, in constant memory for each day."""
    found: dict[date, Sum] = {}
    for line in lines:
        on = line.due_at.astimezone(HOME).date()
        seen = found.get(on, NOTHING)
        found[on] = (
            seen._replace(
                waiting=seen.waiting + 1, waiting_amount=seen.waiting_amount + line.amount
            )
            if line.needs_link
            else seen._replace(charges=seen.charges + 1, amount=seen.amount + line.amount)
        )
    return found


def total(sums: Iterable[Sum]) -> Sum:
    """Add up sums."""
    columns = zip(NOTHING, *sums, strict=True)
    return Sum(*map(sum, columns))


def summed(rows: Sequence[Planned]) -> Sum:
    """Add up charges that will be made, and those that will wait."""
    made = [each.line.amount for each in rows if not each.line.needs_link]
    waiting = [each.line.amount for each in rows if each.line.needs_link]
    return Sum(len(made), sum(made), len(waiting), sum(waiting))


def _unlinked(rows: Sequence[Planned]) -> list[Unlinked]:
    """Return the customers with a charge that will wait, the earliest first."""
    found: dict[str, Unlinked] = {}
    for each in rows:
        line = each.line
        if line.needs_link:
            seen = found.get(line.customer, Unlinked(line.customer, line.due_at, 0, 0))
            found[line.customer] = seen._replace(
                charges=seen.charges + 1, amount=seen.amount + line.amount
            )
    return list(found.values())

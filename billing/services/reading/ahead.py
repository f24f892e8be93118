"""Ahead: what will be charged on each of the next 60 days, by day and by plan.

The charges are those of the forecast. When there are too many for a page, it shows the next charge
of each subscription by day and plan, as a tick added them up some minutes ago. A charge for which
no wallet will be linked is counted apart: it will wait. A day begins at midnight in HOME_TIMEZONE.
Nothing is written.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import NamedTuple, TypeVar

from billing.domain import periods
from billing.domain.instants import HOME
from billing.domain.terms import PlanTerms
from billing.services.context import Context
from billing.services.operating.counting_ahead import CUSTOMERS_MAX, DAYS, end_of
from billing.services.reading import forecasting
from billing.services.reading.results import ForecastLine
from billing.store.queries import ahead as totals_of
from billing.store.queries import catalog
from billing.store.queries.ahead import State, Total

K = TypeVar("K", date, str)
LINES_MAX = 2_500
"""Of more charges than this a page shows the next ones; the command has no limit."""
SHOWN_MAX = CUSTOMERS_MAX - 1
"""Charges of one day, and customers without a wallet, that are shown."""


class Sum(NamedTuple):
    """Charges and rupiah; `waiting` are those for which no wallet will be linked."""

    charges: int
    amount: int
    waiting: int
    waiting_amount: int


class Planned(NamedTuple):
    """A charge ahead, its day and its plan."""

    line: ForecastLine

    @property
    def plan(self) -> str:
        """Return the plan of its invoice, or the present one of a subscription."""
        return self.line.plan

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


class Parts(NamedTuple):
    """How many next charges are of a new period, and of an open invoice; some will wait."""

    periods: int
    invoices: int
    periods_waiting: int
    invoices_waiting: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """The sums of the days ahead, as of `at`; `is_cut` says that only next charges are added up.

    `day_parts` and `plan_parts` have then the rows of each total, and `is_counted` says whether
    they were added up at all; `tomorrow` is None when a subscription may be charged twice by then.
    With a day, `plans` are of this day. `unlinked_more` says that there are more such customers.
    """

    at: datetime
    first_on: date
    last_on: date
    days: dict[date, Sum]
    plans: dict[str, Sum]
    total: Sum
    tomorrow: Sum | None
    unlinked: Sequence[Unlinked]
    of_day: Sequence[Planned]
    is_cut: bool
    is_counted: bool = True
    unlinked_more: bool = False
    day_parts: dict[date, Parts] = field(default_factory=dict)
    plan_parts: dict[str, Parts] = field(default_factory=dict)


KINDS = ("period", "invoice")
NOTHING = Sum(0, 0, 0, 0)


def read(context: Context, plan: str | None = None, day: date | None = None) -> Ahead:
    """Add up the days ahead, of all plans or of one; `of_day` has the charges of one day."""
    at = context.clock.now()
    with context.database.transaction() as connection:
        state = totals_of.state(connection)
        rows = totals_of.totals(connection) if state is not None else []
    is_large = sum(each.charges for each in rows) > LINES_MAX
    planned = None if is_large else _planned(context, at, end_of(at))
    if planned is None:
        return _of_totals(context, state, rows, plan, day)
    today = at.astimezone(HOME).date()
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
    """Return every charge ahead; None when there are too many for a page."""
    with context.database.transaction() as connection:
        database = context.joined(connection).database
        with closing(forecasting.forecast(database, at, until)) as lines:
            found = list(islice(lines, LINES_MAX + 1))
    return [Planned(each) for each in found] if len(found) <= LINES_MAX else None


def _of_totals(
    context: Context, state: State | None, rows: Sequence[Total], plan: str | None, day: date | None
) -> Ahead:
    """Show the totals that the tick keeps; of customers without a wallet those of every plan."""
    now = context.clock.now()
    at = now if state is None else state.at
    first_on, until = at.astimezone(HOME).date(), end_of(at) if state is None else state.until
    chosen = [each for each in rows if plan in {None, each.plan_code}]
    of_day = [each for each in chosen if day in {None, each.day}]
    days = _grouped(chosen, lambda each: each.day)
    plans = _grouped(of_day, lambda each: each.plan_code)
    unlinked: list[totals_of.Unlinked] = []
    if plan is None and day is None:
        with context.database.transaction() as connection:
            unlinked = totals_of.unlinked(connection)
    tomorrow = now.astimezone(HOME).date() + timedelta(days=1)
    is_known = not _may_repeat(context, chosen, now, tomorrow)
    last_on = until.astimezone(HOME).date()
    every = [first_on + timedelta(days=n) for n in range((last_on - first_on).days + 1)]
    return Ahead(
        at=at, first_on=first_on, last_on=last_on,
        days={on: _sum(days.get(on, ())) for on in every},
        plans={code: _sum(plans[code]) for code in sorted(plans)},
        total=_sum(chosen), tomorrow=_sum(days.get(tomorrow, ())) if is_known else None,
        unlinked=[Unlinked._make(each) for each in unlinked[:SHOWN_MAX]], of_day=[],
        is_cut=True, is_counted=state is not None, unlinked_more=len(unlinked) > SHOWN_MAX,
        day_parts={on: _parts(found) for on, found in days.items()},
        plan_parts={code: _parts(found) for code, found in plans.items()},
    )  # fmt: skip


def _may_repeat(context: Context, rows: Iterable[Total], now: datetime, tomorrow: date) -> bool:
    """Whether a subscription may have two periods that begin before the end of tomorrow.

    Totals have the next one only. A change to a plan of shorter periods by then is not looked at.
    """
    first: dict[str, date] = {}
    for each in rows:
        if each.kind == "period" and each.day <= tomorrow:
            first[each.plan_code] = min(each.day, first.get(each.plan_code, tomorrow))
    end = datetime.combine(tomorrow + timedelta(days=1), time(), HOME)
    with context.database.transaction() as connection:
        plans = catalog.plans(connection, list(first))
        oldest = totals_of.oldest_due(connection)
    begin = now if oldest is None else min(now, oldest)  # what is late is counted for today
    today = now.astimezone(HOME).date()
    return any(
        _second(
            each.terms,
            begin if first[each.code] <= today else datetime.combine(tomorrow, time(), HOME),
        )
        < end
        for each in plans
    )


def _second(plan: PlanTerms, begin: datetime) -> datetime:
    """Return the earliest start of a second period when the first begins at an instant or later."""
    anchor = begin.astimezone(periods.zone(plan.timezone)).replace(tzinfo=None, microsecond=0)
    return periods.calendar(plan, anchor).due(1)


def _grouped(rows: Iterable[Total], of: Callable[[Total], K]) -> dict[K, list[Total]]:
    found: dict[K, list[Total]] = {}
    for each in rows:
        found.setdefault(of(each), []).append(each)
    return found


def _sum(rows: Iterable[Total]) -> Sum:
    return total(
        Sum(0, 0, each.charges, each.amount) if each.waits else Sum(each.charges, each.amount, 0, 0)
        for each in rows
    )


def _parts(rows: Iterable[Total]) -> Parts:
    found = dict.fromkeys(((kind, waits) for waits in (False, True) for kind in KINDS), 0)
    for each in rows:
        found[each.kind, each.waits] += each.charges
    return Parts(*found.values())


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

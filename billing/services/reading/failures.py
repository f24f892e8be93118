"""Failures: why payments fail, whether asking again helps, and what stays unpaid.

The numbers are the totals of days, which a tick counts from the event feed together with the
metrics. A day begins at midnight in HOME_TIMEZONE. Nothing is written.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from billing.domain.instants import HOME
from billing.services.context import Context
from billing.store.queries import daily, event_feed, metrics
from billing.store.queries.daily import DailyTotal, GivenUp

PERIODS = (7, 30, 90)
"""The days that can be chosen; today is the last of them."""
UNCOUNTED_MAX = 100_000
"""Events that are counted as not counted yet, at most."""
MANUAL = "manual"
"""The step of a retry that a person or a new wallet caused."""


class Sum(NamedTuple):
    """How many, and their rupiah."""

    events: int = 0
    amount: int = 0

    def plus(self, row: DailyTotal) -> "Sum":
        """Return both together."""
        return Sum(self.events + row.events, self.amount + row.amount)


class Cause(NamedTuple):
    """The declines of one class and code; the code is empty when there was none."""

    fault: str
    code: str
    declines: Sum


class Day(NamedTuple):
    """One day: what was charged, and the declines by class."""

    on: date
    charged: Sum
    declined: Sum
    by_fault: Mapping[str, Sum]


class Step(NamedTuple):
    """The retries of one step: those that were answered, and those that were paid."""

    name: str
    tried: Sum
    paid: Sum

    @property
    def percent(self) -> int | None:
        """Return how many of a hundred were paid."""
        return self.paid.events * 100 // self.tried.events if self.tried.events else None


@dataclass(frozen=True, slots=True)
class Failures:
    """The totals of a number of days that ends with today.

    `short` are looks at a balance that was too low, `missed` steps that passed by them, `ended`
    what became uncollectible, by the limit that ended dunning, as often as it did; `given_up` has
    each of these invoices once.
    """

    since: datetime
    until: datetime
    days: Sequence[Day]
    faults: Mapping[str, Sum]
    causes: Sequence[Cause]
    steps: Sequence[Step]
    charged: Sum
    declined: Sum
    short: Sum
    missed: Sum
    ended: Mapping[str, Sum]
    given_up: GivenUp
    uncounted_count: int

    @property
    def percent(self) -> int | None:
        """Return how many of a hundred answered payments were declined."""
        answered = self.charged.events + self.declined.events
        return self.declined.events * 100 // answered if answered else None

    @property
    def retried(self) -> Step:
        """Return the retries of all steps together."""
        tried, paid = (
            Sum(*map(sum, zip(*(each[place] for each in self.steps), strict=True)))
            if self.steps
            else Sum()
            for place in (1, 2)
        )
        return Step("", tried, paid)


def read(context: Context, days: int) -> Failures:
    """Return the totals of this many days, as far as they are counted."""
    today = context.clock.now().astimezone(HOME).date()
    first = today - timedelta(days=days - 1)
    since = datetime.combine(first, time(), HOME)
    until = datetime.combine(today + timedelta(days=1), time(), HOME)
    with context.database.transaction() as connection:
        rows = daily.totals(connection, first, today)
        given_up = daily.given_up(connection, since, until)
        uncounted = metrics.behind(connection) + event_feed.unplaced(connection, UNCOUNTED_MAX)
    named: dict[str, list[DailyTotal]] = defaultdict(list)
    for row in rows:
        named[row.name].append(row)
    return Failures(
        since=since, until=until,
        days=_days(named, [first + timedelta(days=number) for number in range(days)]),
        faults=_by(named["declined"], _fault), causes=_causes(named["declined"]),
        steps=_steps(named), charged=_sum(named["charged"]), declined=_sum(named["declined"]),
        short=_sum(named["short"]), missed=_sum(named["missed"]),
        ended=_by(named["uncollectible"], lambda row: row.label), given_up=given_up,
        uncounted_count=uncounted,
    )  # fmt: skip


def _sum(rows: Sequence[DailyTotal]) -> Sum:
    return Sum(sum(row.events for row in rows), sum(row.amount for row in rows))


def _by(rows: Sequence[DailyTotal], key: Callable[[DailyTotal], str]) -> dict[str, Sum]:
    """Add up rows by a key, the largest number first."""
    found: dict[str, Sum] = defaultdict(Sum)
    for row in rows:
        found[key(row)] = found[key(row)].plus(row)
    return dict(sorted(found.items(), key=lambda each: (-each[1].events, each[0])))


def _fault(row: DailyTotal) -> str:
    return row.label.partition(" ")[0]


def _causes(rows: Sequence[DailyTotal]) -> list[Cause]:
    found = _by(rows, lambda row: row.label)
    return [
        Cause(fault, code, declines)
        for label, declines in found.items()
        for fault, _, code in [label.partition(" ")]
    ]


def _days(named: Mapping[str, list[DailyTotal]], dates: Sequence[date]) -> list[Day]:
    charged = {row.day: Sum(row.events, row.amount) for row in named["charged"]}
    declined: dict[date, list[DailyTotal]] = defaultdict(list)
    for row in named["declined"]:
        declined[row.day].append(row)
    return [
        Day(on, charged.get(on, Sum()), _sum(declined[on]), _by(declined[on], _fault))
        for on in dates
    ]


def _steps(named: Mapping[str, list[DailyTotal]]) -> list[Step]:
    """Return the steps in their order, manual retries last."""
    tried, paid = (_by(named[name], lambda row: row.label) for name in ("retried", "recovered"))

    def place(name: str) -> tuple[bool, int]:
        return name == MANUAL, int(name) if name.isdigit() else 0

    return [Step(name, tried[name], paid.get(name, Sum())) for name in sorted(tried, key=place)]

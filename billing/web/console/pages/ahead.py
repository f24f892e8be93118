"""*Ahead*: what will be charged by day for the next 60 days, as bars and as numbers."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from starlette.responses import Response

from billing.domain.filters import Counted
from billing.domain.instants import HOME
from billing.services.operating.counting_ahead import DAYS
from billing.services.reading import ahead
from billing.web.console.filtering import NAME_MAX, address, counted_address
from billing.web.console.labels import N_
from billing.web.console.visits import PREFIX, Visit

HERE = f"{PREFIX}/ahead"
HEIGHT, STEP, GAP = 120, 10, 2
"""Of the picture, in its own units: its height, a day, and the space between two days."""


BEGINNING = datetime(2000, 1, 1, tzinfo=HOME)
"""Before everything that is overdue, which is due on the first day."""


class Part(NamedTuple):
    """A count, and the address of the list that has its rows; without rows there is none."""

    charges: int
    address: str


class Bar(NamedTuple):
    """The bar of one day: what will be charged, and above it what will wait for a wallet."""

    on: date
    x: int
    top: int
    height: int
    waiting_top: int
    waiting_height: int
    sums: ahead.Sum


def show(visit: Visit) -> Response:
    """Show the days ahead; with `day` the charges of that day, with `plan` those of one plan."""
    plan = visit.query.get("plan", "").strip()[:NAME_MAX]
    day, wrong = None, ""
    if written := visit.query.get("day", "").strip():
        try:
            day = date.fromisoformat(written)
        except ValueError:
            wrong = N_("This is no date; write it as 2026-01-31.")
    found = ahead.read(visit.context, plan or None, day)

    def of(on: date | None, code: str) -> str:
        return address(HERE, {"plan": code, "day": on.isoformat() if on else ""})

    def parts(of_row: ahead.Parts, on: date | None, code: str) -> Sequence[Part]:
        return _parts(found, of_row, on, code)

    tomorrow = visit.context.clock.now().astimezone(HOME).date() + timedelta(days=1)
    return visit.page(
        "ahead.html", 422 if wrong else 200, found=found, plan=plan, day=day, wrong=wrong, of=of,
        parts=parts, tomorrow=tomorrow, bars=bars(found.days), height=HEIGHT, width=DAYS * STEP,
        bar_width=STEP - GAP, days_count=DAYS, shown_max=ahead.SHOWN_MAX, lines_max=ahead.LINES_MAX,
    )  # fmt: skip


def _parts(found: ahead.Ahead, of_row: ahead.Parts, on: date | None, code: str) -> Sequence[Part]:
    """Return the counts of a day or of all days, each with its rows.

    Periods that will wait have a list by day only: to find few of them among all days, every
    subscription would be read.
    """
    begin = _midnight(on) if on is not None and on != found.first_on else BEGINNING
    end = _midnight((found.last_on if on is None else on) + timedelta(days=1))
    names = (
        Counted.PERIODS_AHEAD, Counted.INVOICES_AHEAD, Counted.PERIODS_WAITING,
        Counted.INVOICES_WAITING,
    )  # fmt: skip
    return [
        Part(
            charges,
            counted_address(PREFIX, name, begin, before=end.isoformat(), plan=code)
            if charges and not (on is None and name is Counted.PERIODS_WAITING)
            else "",
        )
        for name, charges in zip(names, of_row, strict=True)
    ]


def _midnight(on: date) -> datetime:
    return datetime.combine(on, time(), HOME)


def bars(days: dict[date, ahead.Sum]) -> Sequence[Bar]:
    """Return the bars of the days; the highest fills the picture, and none is invisible."""
    highest = max((each.amount + each.waiting_amount for each in days.values()), default=0)

    def scaled(amount: int) -> int:
        return max(amount * HEIGHT // highest, 1) if amount else 0

    made = []
    for number, (on, sums) in enumerate(days.items()):
        height, waiting = scaled(sums.amount), scaled(sums.waiting_amount)
        made.append(
            Bar(
                on, number * STEP + GAP // 2, HEIGHT - height, height,
                max(HEIGHT - height - waiting, 0), waiting, sums,
            )
        )  # fmt: skip
    return made

"""*Ahead*: what will be charged by day for the next 60 days, as bars and as numbers."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from starlette.responses import Response

from billing.services.reading import ahead
from billing.web.console.filtering import NAME_MAX, address
from billing.web.console.labels import N_
from billing.web.console.visits import PREFIX, Visit

HERE = f"{PREFIX}/ahead"
HEIGHT, STEP, GAP = 120, 10, 2
"""Of the picture, in its own units: its height, a day, and the space between two days."""


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

    return visit.page(
        "ahead.html", 422 if wrong else 200, found=found, plan=plan, day=day, wrong=wrong, of=of,
        bars=bars(found.days), height=HEIGHT, width=ahead.DAYS * STEP, bar_width=STEP - GAP,
        days_count=ahead.DAYS, shown_max=ahead.SHOWN_MAX, lines_max=ahead.LINES_MAX,
    )  # fmt: skip


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

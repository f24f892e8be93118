"""Compares policies on the same wallets: how much each recovered, how soon, and at what cost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import NamedTuple

from billing.simulation.contenders import Contender
from billing.simulation.playing import Played, play
from billing.simulation.wallets import BEGIN, ZONE, Life, Profile, drawn
from schedules.calendar import Calendar

DAY = timedelta(days=1)
DUE_HOUR = 9
CURVE_DAYS = 45


class Figures(NamedTuple):
    """The score of a policy for people and programs; None where nothing was recovered."""

    policy: str
    invoices_failed: int
    invoices_recovered: int
    amount_failed: int
    amount_recovered: int
    share_recovered: float | None
    charges_per_recovered: float | None
    balance_questions: int
    days_median: float | None
    days_p90: float | None
    customers_lost: int
    amount_collected: int


@dataclass(slots=True)
class Score:
    """The result of one policy; amounts are whole rupiah.

    An invoice has failed when its first charge was declined, and is recovered when it is paid
    later; `charges` are those of failed invoices, the first one among them.
    """

    contender: Contender
    collected: int = 0
    failed: int = 0
    amount_failed: int = 0
    amount_recovered: int = 0
    charges: int = 0
    asks: int = 0
    customers_lost: int = 0
    recoveries: list[tuple[timedelta, int]] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """Count one customer."""
        self.customers_lost += played.is_lost
        for invoice in played.invoices:
            is_paid = invoice.paid_at is not None
            self.collected += invoice.amount if is_paid else 0
            if invoice.first_failed_at is None:
                continue
            self.failed += 1
            self.amount_failed += invoice.amount
            self.charges += invoice.charges
            self.asks += invoice.asks
            if invoice.paid_at is not None:
                self.amount_recovered += invoice.amount
                after = invoice.paid_at - invoice.first_failed_at
                self.recoveries.append((after, invoice.amount))

    def figures(self) -> Figures:
        """Return the score for people and programs."""
        waits = sorted(after for after, _ in self.recoveries)
        recovered = len(waits)
        return Figures(
            policy=self.contender.name,
            invoices_failed=self.failed,
            invoices_recovered=recovered,
            amount_failed=self.amount_failed,
            amount_recovered=self.amount_recovered,
            share_recovered=_ratio(self.amount_recovered, self.amount_failed, 4),
            charges_per_recovered=_ratio(self.charges, recovered, 2),
            balance_questions=self.asks,
            days_median=_days(waits, 50),
            days_p90=_days(waits, 90),
            customers_lost=self.customers_lost,
            amount_collected=self.collected,
        )

    def curve(self) -> list[float]:
        """Return the percentage of the failed rupiah recovered 0, 1, 2 … days after the failure."""
        back = [0] * (CURVE_DAYS + 1)
        for after, amount in self.recoveries:
            whole = -(-after // DAY)
            if whole <= CURVE_DAYS:
                back[whole] += amount
        return [100 * amount / max(self.amount_failed, 1) for amount in accumulate(back)]


def _ratio(part: int, whole: int, digits: int) -> float | None:
    return round(part / whole, digits) if whole else None


def _days(waits: Sequence[timedelta], percent: int) -> float | None:
    """Return the smallest wait that a percentage of all waits does not exceed."""
    if not waits:
        return None
    rank = -(-len(waits) * percent // 100)
    return round(waits[rank - 1] / DAY, 2)


def population(count: int, seed: int) -> Iterator[Life]:
    """Draw a number of wallets, each from its own seed."""
    for number in range(count):
        rng = Random(f"{seed}/{number}")
        yield Life(drawn(rng), rng)


def inhabited(profiles: Sequence[Profile], seed: int) -> Iterator[Life]:
    """Return the lives of described wallets."""
    for number, profile in enumerate(profiles):
        yield Life(profile, Random(f"{seed}/{number}"))


def compare(scores: Sequence[Score], lives: Iterable[Life], months: int) -> Iterator[int]:
    """Simulate every policy on every wallet; yields the number of finished wallets."""
    for done, life in enumerate(lives, 1):
        dates = _dates(life.profile.due_day, months)
        for score in scores:
            score.add(play(score.contender, life, dates))
        yield done


@lru_cache(maxsize=64)
def _dates(due_day: int, months: int) -> tuple[datetime, ...]:
    anchor = BEGIN.replace(day=due_day, hour=DUE_HOUR, tzinfo=None)
    monthly = Calendar.every("1 month", anchor=anchor, timezone=ZONE)
    return tuple(monthly.due(index) for index in range(months))

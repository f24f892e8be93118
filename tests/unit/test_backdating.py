"""What a start in the past would charge at once: counted as opening will bill it, and bounded."""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

import pytest

from billing.domain.backdating import AtOnce, at_once, beginning, imported, refusal
from billing.domain.periods import begin
from billing.domain.pricing import Reduction
from billing.domain.subscription import CatchUp
from billing.domain.terms import PlanTerms

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Words(NamedTuple):
    """A plan, which is monthly if nothing else is said."""

    every: str | None = "1 month"
    cron: str | None = None
    timezone: str = "Asia/Jakarta"
    trial: str | None = None
    cycles: int | None = None
    catch_up: str = "all"

    @property
    def terms(self) -> PlanTerms:
        """What decides its due dates."""
        return PlanTerms(self.every, self.cron, self.timezone, self.cycles, CatchUp(self.catch_up))


def counted(start: str, amount: int = 50_000, *, extra: int = 0, coupon: Any = None,
            **changes: Any) -> tuple[int, int, bool]:  # fmt: skip
    """What a start at a local time would charge at NOW."""
    words = Words(**changes)
    lines = [{"kind": "extra", "title": "setup fee", "amount": extra}] if extra else []
    begins = begin(words, datetime.fromisoformat(start))
    new = beginning(words.terms, begins, amount, extras=lines, coupon=coupon)
    return tuple(at_once(new, NOW))


HALF = Reduction("HALF", percent=50, rupiah=None, cycles=2)


@pytest.mark.parametrize(
    ("start", "options", "periods", "amount"),
    [
        ("2026-11-29T19:00", {}, 1, 50_000),
        ("2026-11-29T19:01", {}, 0, 0),
        ("2020-01-01T00:00", {}, 83, 4_150_000),
        ("2020-01-01T00:00", {"catch_up": "latest"}, 1, 50_000),
        ("2020-01-01T00:00", {"cycles": 12}, 12, 600_000),
        ("2020-01-01T00:00", {"cycles": 12, "catch_up": "latest"}, 0, 0),
        ("2026-09-01T00:00", {"coupon": HALF}, 3, 100_000),
        ("2026-09-01T00:00", {"extra": 7_000}, 3, 157_000),
        ("2026-09-01T00:00", {"extra": 7_000, "coupon": HALF, "catch_up": "latest"}, 1, 32_000),
        ("2026-10-01T00:00", {"trial": "60 days"}, 0, 0),
        ("2026-10-01T00:00", {"trial": "30 days"}, 1, 50_000),
        ("2026-11-29T00:00", {"every": None, "cron": "0 * * * *"}, 20, 1_000_000),
    ],
)
def test_periods_and_rupiah_are_those_that_would_be_billed(
    start: str, options: dict[str, Any], periods: int, amount: int
) -> None:
    """Every begun period, or the latest alone; not beyond a term; with coupon and setup fee."""
    assert counted(start, **options) == (periods, amount, False)


@pytest.mark.parametrize("catch_up", ["all", "latest"])
def test_counting_has_an_end(catch_up: str) -> None:
    """A plan of one second from 1970 has 1.8 billion periods; the answer is fast."""
    began = monotonic()

    periods, amount, more = counted(
        "1970-01-01T00:00", 1_000, every=None, cron="* * * * * *", catch_up=catch_up
    )

    assert monotonic() - began < 5
    expected = (10_000, 10_000_000, True) if catch_up == "all" else (1, 1_000, False)
    assert (periods, amount, more) == expected


def test_an_imported_due_date_counts_from_itself() -> None:
    """The anchor may be years old: what is due since is what would be charged."""
    anchor = datetime(2022, 1, 15)  # noqa: DTZ001 - a wall time
    due = datetime(2026, 10, 14, 17, tzinfo=UTC)

    row = imported(Words().terms, anchor, due, 57, 50_000)

    assert at_once(row, NOW) == AtOnce(2, 100_000)


def test_the_text_names_the_number_of_periods_and_their_amount() -> None:
    """One period is one, and more than were counted is said to be more."""
    assert str(AtOnce(1, 50_000)) == "1 period, Rp 50,000"
    assert str(AtOnce(83, 4_150_000)) == "83 periods, Rp 4,150,000"
    assert str(AtOnce(10_000, 10, more=True)) == "more than 10,000 periods, Rp 10"
    both = AtOnce(1, 5, more=True).plus(AtOnce(2, 6))
    assert both == AtOnce(3, 11, more=True)


def test_only_what_lies_further_back_than_allowed_is_refused() -> None:
    """The limit is exact to the second; the line has the amount, and the flag that accepts it."""
    would = AtOnce(2, 100_000)

    assert refusal("start", NOW - 35 * DAY, NOW, 35, would) is None
    told = refusal("start", NOW - 35 * DAY - timedelta(seconds=1), NOW, 35, would)
    assert told is not None
    for part in ("35 days ago", "2 periods, Rp 100,000", "--backdate", "backdate=true"):
        assert part in str(told)
    assert "\n" not in str(told)

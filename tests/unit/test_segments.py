"""Segments: the value of unused days, by what was paid for them."""

from typing import NamedTuple

import pytest

from billing.domain import segments
from billing.domain.invoice import InvoiceStatus
from billing.domain.pricing import Line
from billing.domain.segments import Segment


class Newest(NamedTuple):
    """The newest invoice of a period."""

    change_index: int
    status: InvoiceStatus
    lines: list[Line]


BASE, UP = Segment(30_000, 30, 30_000), Segment(15_000, 15, 15_000)


@pytest.mark.parametrize(
    ("days", "price", "paid", "worth", "most"),
    [
        (30, 30_000, [BASE], 30_000, [30_000]),
        (15, 30_000, [BASE], 15_000, [15_000]),
        (0, 30_000, [BASE], 0, [0]),
        # A change after half the period, on its day and five days later.
        (15, 60_000, [UP, BASE], 30_000, [15_000, 15_000]),
        (10, 60_000, [UP, BASE], 20_000, [10_000, 10_000]),
        # It was not paid: it keeps nothing, and the price is the one before.
        (10, 30_000, [UP._replace(kept=0), BASE], 10_000, [0, 10_000]),
        # The first invoice is void: only the change paid for days.
        (10, 60_000, [Segment(30_000, 15, 30_000), BASE._replace(kept=0)], 20_000, [20_000, 0]),
        # A goodwill refund is not taken from another invoice's days.
        (15, 60_000, [UP, BASE._replace(kept=10_000)], 25_000, [15_000, 10_000]),
        # A downgrade leaves the price of fewer rupiah.
        (10, 3_000, [BASE._replace(kept=16_500)], 1_000, [10_000]),
        # A change in the last hours of a period paid for no whole day.
        (0, 60_000, [Segment(0, 0, 0), BASE], 0, [0, 0]),
    ],
)
def test_days_are_worth_what_was_paid_for_them(
    days: int, price: int, paid: list[Segment], worth: int, most: list[int]
) -> None:
    """At the paid price, and of each invoice no more than its own days and what is kept of it."""
    left = segments.unused(days, 30, price, paid)

    assert (left.worth, list(left.most)) == (worth, most)
    assert sum(left.spread(left.worth)) == left.worth


def test_a_refund_is_taken_from_the_newest_change_first() -> None:
    """From each invoice no more is taken than its days are worth."""
    left = segments.unused(15, 30, 60_000, [UP, BASE])

    assert left.spread(20_000) == [15_000, 5_000]


def test_a_period_shorter_than_a_day_is_worth_nothing() -> None:
    """It has no whole day that could be left."""
    assert segments.unused(0, 0, 30_000, [Segment(30_000, 0, 30_000)]).worth == 0


@pytest.mark.parametrize(
    ("status", "index", "price"),
    [
        ("paid", 1, 60_000), ("void", 1, 60_000), ("open", 1, 30_000),
        ("uncollectible", 1, 30_000), ("paid", 0, 60_000), ("open", 0, 0), ("uncollectible", 0, 0),
    ],
)  # fmt: skip
def test_a_price_counts_when_it_is_paid(status: str, index: int, price: int) -> None:
    """Until then the period costs what it did before; before its first invoice, nothing."""
    lines = [{"kind": "credit", "amount": -15_000, "price": 30_000}] if index else []
    newest = Newest(index, InvoiceStatus(status), lines)

    assert segments.price_paid(60_000, newest) == price


def test_extra_lines_pay_for_no_days() -> None:
    """A fee in the invoice is no part of the days' worth."""
    lines = [{"kind": "period", "amount": 30_000}, {"kind": "extra", "amount": 2_500}]

    assert segments.cost(32_500, lines) == 30_000

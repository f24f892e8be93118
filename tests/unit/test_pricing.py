"""The amount of an invoice: coupons, lines, the parts of a change, and the used credit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from billing.domain import pricing


class Row(NamedTuple):
    """What the next invoice of a subscription is made of."""

    amount: int = 10_000
    extras: Sequence[pricing.Line] = ()
    coupon_code: str | None = None
    coupon_percent: int | None = None
    coupon_rupiah: int | None = None


FEE = {"kind": "extra", "title": "setup fee", "amount": 2_500}


@pytest.mark.parametrize(
    ("row", "amount", "period"),
    [
        ({}, 10_000, 10_000),
        ({"coupon_code": "C", "coupon_percent": 10}, 9_000, 9_000),
        ({"coupon_code": "C", "coupon_percent": 100}, 0, 0),
        ({"coupon_code": "C", "coupon_rupiah": 3_000}, 7_000, 7_000),
        ({"coupon_code": "C", "coupon_rupiah": 30_000}, 0, 0),
        ({"amount": 33, "coupon_code": "C", "coupon_percent": 50}, 16, 16),
        ({"extras": [FEE]}, 12_500, 10_000),
        ({"extras": [FEE], "coupon_code": "C", "coupon_percent": 100}, 2_500, 0),
    ],
)
def test_a_price_is_its_lines(row: dict[str, Any], amount: int, period: int) -> None:
    """Percent or rupiah off the period, never below zero; extras are never discounted."""
    priced = pricing.price(Row(**row))

    assert (priced.amount, priced.period) == (amount, period)
    assert sum(line["amount"] for line in priced.lines) == (amount if priced.lines else 0)


@pytest.mark.parametrize(
    ("before", "after", "unused", "whole", "paid", "credit", "charge"),
    [
        (10_000, 30_000, 15, 30, 10_000, 5_000, 15_000),
        (30_000, 10_000, 15, 30, 30_000, 15_000, 5_000),
        (10_000, 30_000, 30, 30, 10_000, 10_000, 30_000),
        (10_000, 30_000, 0, 30, 10_000, 0, 0),
        (10_000, 30_000, 15, 30, 2_000, 5_000, 15_000),
        (10_000, 30_000, 15, 30, 0, 5_000, 15_000),
        (30_000, 30_001, 30, 30, 0, 30_000, 30_001),
        (30_000, 10_000, 15, 30, 2_000, 7_000, 5_000),
        (0, 10_000, 15, 30, 0, 0, 5_000),
        (10_001, 10_001, 1, 2, 10_001, 5_001, 5_001),
        (10_000, 30_000, 0, 0, 10_000, 0, 0),
    ],
)
def test_a_change_is_prorated_by_days(
    before: int, after: int, unused: int, whole: int, paid: int, credit: int, charge: int
) -> None:
    """Unused days of the old price against the same days of the new one, each half-up."""
    change = pricing.change(before, after, unused, whole, paid=paid)

    assert (change.credit, change.charge, change.net) == (credit, charge, charge - credit)
    assert sum(line["amount"] for line in change.lines) == change.net


@pytest.mark.parametrize(
    ("remaining", "amount", "used"),
    [
        ([], 10, []),
        ([4, 9], 10, [(1, 4), (2, 6)]),
        ([40, 9], 10, [(1, 10)]),
        ([4, 5], 10, [(1, 4), (2, 5)]),
        ([4, 5], 0, []),
    ],
)
def test_credits_are_used_oldest_first(
    remaining: list[int], amount: int, used: list[tuple[int, int]]
) -> None:
    """The smaller of need and supply is used, and no credit is used for zero."""
    credits_ = [pricing.CreditLeft(i, "ana", left) for i, left in enumerate(remaining, 1)]

    assert pricing.allocate(credits_, amount) == used


def test_a_coupon_counts_down_or_never_ends() -> None:
    """None means no end; the last use leaves zero."""
    assert [pricing.cycles_left(left) for left in (None, 3, 1)] == [None, 2, 0]

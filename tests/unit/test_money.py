"""Whole rupiah: what may be charged, how a part of a period is priced, how an amount is written."""

from typing import Any

import pytest

from billing.domain.errors import InvalidValue
from billing.domain.money import MAX_AMOUNT, checked_amount, prorate, rupiah


def test_limit_is_the_gateways_ten_digits() -> None:
    """DOKU takes `number (10)`: ten nines pass, eleven digits do not."""
    assert MAX_AMOUNT == 9_999_999_999


@pytest.mark.parametrize("amount", [1, 2, 10_000, MAX_AMOUNT])
def test_whole_rupiah_within_the_limits_pass_unchanged(amount: int) -> None:
    """An amount that can be charged comes back as it is."""
    assert checked_amount(amount) == amount


@pytest.mark.parametrize("amount", [0, -1, -10_000, MAX_AMOUNT + 1, 10**30])
def test_amounts_outside_the_limits_are_refused_with_the_limits(amount: int) -> None:
    """Zero, a negative amount, and more than the gateway's ten digits cannot be charged."""
    with pytest.raises(InvalidValue) as refused:
        checked_amount(amount, "price")

    assert str(refused.value) == (
        f"price must be between 1 and 9,999,999,999 rupiah, not {amount:,}"
    )


@pytest.mark.parametrize("amount", [1.0, 12.5, "100", None, True, False, [1]])
def test_anything_but_a_whole_number_is_refused(amount: Any) -> None:
    """No float, no text, and no truth value passes for money."""
    with pytest.raises(InvalidValue, match="amount must be whole rupiah, not "):
        checked_amount(amount)


@pytest.mark.parametrize(
    ("amount", "part", "whole", "share"),
    [
        (10_000, 15, 30, 5_000),
        (10_000, 10, 30, 3_333),
        (10_000, 20, 30, 6_667),
        (10_000, 0, 30, 0),
        (10_000, 30, 30, 10_000),
        (10_000, 1, 31, 323),
        (99_000, 11, 28, 38_893),
        (1, 1, 2, 1),
        (1, 1, 3, 0),
        (1, 2, 3, 1),
        (5, 1, 2, 3),
        (7, 1, 2, 4),
        (MAX_AMOUNT, 1, 2, 5_000_000_000),
        (MAX_AMOUNT, 364, 365, 9_972_602_739),
        (0, 3, 7, 0),
        (10_000, 0, 1, 0),
        (10_000, 1, 1, 10_000),
    ],
)
def test_share_of_a_period_is_rounded_half_up(
    amount: int, part: int, whole: int, share: int
) -> None:
    """Shares are by days and rounded half-up; Python's own rounding would go to the even one."""
    assert prorate(amount, part, whole) == share


@pytest.mark.parametrize(("part", "whole"), [(-1, 30), (31, 30), (0, 0), (1, 0), (0, -1), (-1, -1)])
def test_an_invalid_share_of_a_period_is_refused(part: int, whole: int) -> None:
    """More days than there are, days before the first, and a period without days have no price."""
    with pytest.raises(ValueError, match="is no share"):
        prorate(10_000, part, whole)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0, "Rp 0"),
        (999, "Rp 999"),
        (12_500, "Rp 12,500"),
        (MAX_AMOUNT, "Rp 9,999,999,999"),
        (-12_500, "Rp -12,500"),
    ],
)
def test_rupiah_are_written_as_people_write_them(amount: int, written: str) -> None:
    """Thousands are set apart, and there are no cents."""
    assert rupiah(amount) == written

"""Proration against exact fractions: nothing is lost, nothing is invented."""

from fractions import Fraction
from math import floor

from hypothesis import example, given
from hypothesis import strategies as st

from billing.domain.errors import InvalidValue
from billing.domain.money import MAX_AMOUNT, checked_amount, prorate

amounts = st.integers(0, MAX_AMOUNT)


@st.composite
def shares(draw: st.DrawFn) -> tuple[int, int]:
    """Some days of a period, and how many it has."""
    whole = draw(st.integers(1, 4_000))
    return draw(st.integers(0, whole)), whole


@given(amounts, shares())
@example(1, (1, 2))
def test_share_is_the_exact_fraction_rounded_half_up(amount: int, share: tuple[int, int]) -> None:
    """The rounded share is floor(x + 1/2) of the exact one, for any amount and period."""
    part, whole = share

    exact = Fraction(amount * part, whole)

    assert prorate(amount, part, whole) == floor(exact + Fraction(1, 2))


@given(amounts, shares())
def test_parts_add_up_to_the_whole(amount: int, share: tuple[int, int]) -> None:
    """The used and the returned amount are zero or more, and their total is the price."""
    part, whole = share

    given_back = prorate(amount, part, whole)
    kept = amount - given_back

    assert 0 <= given_back <= amount
    assert given_back + kept == amount
    # The part that is not computed is off by less than one rupiah too.
    assert abs(kept - Fraction(amount * (whole - part), whole)) <= Fraction(1, 2)


@given(amounts, shares())
def test_more_days_never_cost_less(amount: int, share: tuple[int, int]) -> None:
    """A share grows with its days, so that cancelling a day later never gives more back."""
    part, whole = share

    if part < whole:
        assert prorate(amount, part, whole) <= prorate(amount, part + 1, whole)


@given(st.integers(-(10**12), 10**12))
def test_an_amount_either_passes_unchanged_or_is_refused(amount: int) -> None:
    """A check never repairs money."""
    try:
        assert checked_amount(amount) == amount
    except InvalidValue:
        assert not 1 <= amount <= MAX_AMOUNT
    else:
        assert 1 <= amount <= MAX_AMOUNT

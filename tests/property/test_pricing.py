"""Prices, changes and balances against their laws, for any amounts."""

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from billing.domain import pricing
from billing.domain.money import MAX_AMOUNT


class Row(NamedTuple):
    """What the next invoice of a subscription is made of."""

    amount: int
    extras: Sequence[pricing.Line]
    coupon_code: str | None
    coupon_percent: int | None
    coupon_rupiah: int | None


amounts = st.integers(0, MAX_AMOUNT)
coupons = st.one_of(
    st.tuples(st.integers(1, 100), st.none()),
    st.tuples(st.none(), st.integers(1, MAX_AMOUNT)),
)
extras = st.lists(
    st.builds(lambda amount: {"kind": "extra", "title": "x", "amount": amount},
              st.integers(1, 10**6)), max_size=4,
)  # fmt: skip


@given(amounts, st.none() | coupons, extras)
def test_lines_add_up_and_nothing_is_below_nought(
    amount: int, coupon: tuple[int | None, int | None] | None, more: list[pricing.Line]
) -> None:
    """A coupon takes off no more than the period costs, and never touches another line."""
    percent, rupiah = coupon or (None, None)
    row = Row(amount, more, "C" if coupon else None, percent, rupiah)

    priced = pricing.price(row)

    assert 0 <= priced.period <= amount
    assert priced.amount == priced.period + sum(line["amount"] for line in more)
    assert not priced.lines or sum(line["amount"] for line in priced.lines) == priced.amount


@st.composite
def days(draw: st.DrawFn) -> tuple[int, int, int]:
    """A period's days, and how many are left at an earlier and at a later change."""
    whole = draw(st.integers(1, 400))
    early = draw(st.integers(0, whole))
    return whole, early, draw(st.integers(0, early))


@given(amounts, amounts, days(), amounts)
def test_no_more_is_credited_than_was_paid(
    before: int, after: int, left: tuple[int, int, int], paid: int
) -> None:
    """
    Both parts are zero or more, and the invoice's lines are the net.

    No more is credited than is kept, and no more is charged than the dearer days, also after a
    goodwill refund; a change to an equal or lower price never charges.
    """
    whole, unused, _ = left

    change = pricing.change(before, after, unused, whole, paid=paid)

    assert 0 <= change.credit <= before
    assert -change.net <= paid
    assert 0 <= change.charge <= after
    assert change.net <= max(after - before, 0)
    assert change.net <= 0 or after > before
    assert sum(line["amount"] for line in change.lines) == change.net


@given(amounts, amounts, days())
def test_there_and_back_on_one_day_costs_nothing(
    before: int, after: int, left: tuple[int, int, int]
) -> None:
    """What was charged for the days left is credited for the same days, to the rupiah."""
    whole, unused, _ = left
    there = pricing.change(before, after, unused, whole, paid=before)

    back = pricing.change(after, before, unused, whole, paid=before + max(there.net, 0))

    assert there.net + back.net == 0


@given(amounts, amounts, amounts, days())
def test_a_period_never_costs_less_than_its_cheapest_price_or_more_than_its_dearest(
    first: int, second: int, third: int, left: tuple[int, int, int]
) -> None:
    """Changed twice, the whole period lies between the three prices, but for half a rupiah each."""
    whole, early, late = left
    one = pricing.change(first, second, early, whole, paid=first)
    two = pricing.change(second, third, late, whole, paid=MAX_AMOUNT * 3)

    total = first + one.net + two.net

    assert min(first, second, third) - 2 <= total <= max(first, second, third) + 2


@given(st.lists(st.integers(1, MAX_AMOUNT), max_size=6), amounts)
def test_a_balance_never_goes_below_nought(remaining: list[int], amount: int) -> None:
    """The used credit is the smaller of need and supply, and older credits are used first."""
    credits_ = [pricing.CreditLeft(number, "ana", left) for number, left in enumerate(remaining)]

    used = pricing.allocate(credits_, amount)

    assert sum(part for _, part in used) == min(amount, sum(remaining))
    assert all(0 < part <= remaining[number] for number, part in used)
    emptied = used[:-1]
    assert [number for number, _ in used] == list(range(len(used)))
    assert all(part == remaining[number] for number, part in emptied)

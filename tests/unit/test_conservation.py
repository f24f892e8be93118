"""The parts of a charge: the allowed moves, and that no money is lost."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.conservation import Part, Split, from_charge_first
from billing.domain.errors import IllegalMove, RefundTooLarge
from billing.domain.refund import COUNTED, MUST_RETURN, RETURNED, UNSETTLED, RefundStatus

K, R, C = Part.KEPT, Part.REFUNDED, Part.CREDITED
ALLOWED = {(K, R), (K, C), (C, R), (R, K), (R, C)}
parts = st.integers(0, 10**10)


@pytest.mark.parametrize(("source", "target"), list(product(Part, Part)))
def test_every_pair_of_parts_is_a_move_or_refused(source: Part, target: Part) -> None:
    """Credit never becomes kept again, and nothing moves to its own part."""
    before = Split(7, 7, 7)
    if (source, target) not in ALLOWED:
        with pytest.raises(IllegalMove, match=f"from {source} to {target}"):
            before.move(3, source, target)
        return
    after = before.move(3, source, target)
    assert (after.of(source), after.of(target), after.amount) == (4, 10, 21)


@given(kept=parts, refunded=parts, credited=parts, amount=st.integers(1, 10**10),
       pair=st.sampled_from(sorted(ALLOWED)))  # fmt: skip
def test_a_move_keeps_the_amount_or_is_refused(
    kept: int, refunded: int, credited: int, amount: int, pair: tuple[Part, Part]
) -> None:
    """No more moves than there is, and moved money is in one part only."""
    before = Split(kept, refunded, credited)
    source, target = pair
    if amount > before.of(source):
        with pytest.raises(RefundTooLarge, match="cannot be"):
            before.move(amount, source, target)
        return
    after = before.move(amount, source, target)
    assert after.amount == before.amount
    assert after.of(target) - before.of(target) == amount == before.of(source) - after.of(source)


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_is_no_move(amount: int) -> None:
    """A move of zero is an error of the caller."""
    with pytest.raises(ValueError, match="cannot be moved"):
        Split(5).move(amount, K, R)


@pytest.mark.parametrize("values", [(-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_no_part_is_below_zero(values: tuple[int, int, int]) -> None:
    """This also holds for a value that is not written yet."""
    with pytest.raises(ValueError, match="below zero"):
        Split(*values)


@given(amount=parts, kept=parts)
def test_money_of_the_charge_goes_back_first(amount: int, kept: int) -> None:
    """An amount above what the charge kept came from credits."""
    money, rest = from_charge_first(amount, kept)
    assert money + rest == amount
    assert 0 <= money <= kept
    assert rest == 0 or money == kept


def test_only_unsettled_and_returned_refunds_count_as_refunded() -> None:
    """A refund in any other state has returned its money to the part it came from."""
    assert set(COUNTED) == set(UNSETTLED) | set(RETURNED)
    assert set(RefundStatus) - set(COUNTED) == {"declined", "unreturned", "waived"}
    assert {purpose.value for purpose in MUST_RETURN} == {"cancel", "surplus", "void"}

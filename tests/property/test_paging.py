"""Any place in an order comes back from its cursor, and only for its own list and filters."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.errors import BillingError, InvalidValue
from billing.domain.paging import CURSOR_MAX, Of, Value, cursor, place_of

LINES = st.text(max_size=50).filter(str.isprintable)
INSTANTS = st.datetimes(timezones=st.just(UTC))
VALUES: dict[type[Value], st.SearchStrategy[Value]] = {
    datetime: INSTANTS,
    UUID: st.uuids(),
    int: st.integers(-(2**63), 2**63 - 1),
    str: LINES,
}
KINDS = st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4)
PLACES = KINDS.flatmap(
    lambda kinds: st.tuples(st.just(kinds), st.tuples(*(VALUES[kind] for kind in kinds)))
)
LISTS = st.builds(Of, st.sampled_from(["plans", "charges"]), st.sampled_from(["a" * 16, "b" * 16]))


@given(PLACES, LISTS, LISTS)
def test_a_place_comes_back_from_its_cursor(
    found: tuple[list[type[Value]], tuple[Value, ...]], of: Of, other: Of
) -> None:
    """Every value with its type, in the same order; another list or filter refuses it."""
    kinds, place = found
    text = cursor(of, place)

    assert len(text) <= CURSOR_MAX
    assert place_of(text, of, kinds) == list(place)
    if other != of:
        with pytest.raises(InvalidValue, match="from"):
            place_of(text, other, kinds)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin1")), LISTS, KINDS)
def test_any_text_is_refused_in_one_line(text: str, of: Of, kinds: list[type[Value]]) -> None:
    """What is no cursor of ours never raises anything but the one refusal."""
    with pytest.raises(BillingError) as refused:
        place_of(text, of, kinds)
    assert "\n" not in str(refused.value)

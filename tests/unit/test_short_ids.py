"""Short ids: both ends of an id, or its beginning, read back to what they say of it."""

from uuid import UUID

import pytest

from billing.domain.short_ids import Part, part_of, short

ID = UUID("019c11c7-4d00-8678-8519-ab243e7cfd61")


def test_a_short_id_has_both_ends() -> None:
    """The beginning finds the row by an index, and the end tells ids of one second apart."""
    assert short(ID) == "019c11c7-3e7cfd61"
    part = part_of(short(ID))
    assert part is not None
    assert part.low <= ID <= part.high
    assert str(ID).endswith(part.end)


@pytest.mark.parametrize("length", [4, 7, 8, 10, 12, 18, 24, 35])
def test_a_beginning_is_a_range(length: int) -> None:
    """With or without its last dash; everything in the range begins with it."""
    part = part_of(str(ID)[:length].upper())
    assert part is not None
    assert part.end == ""
    assert part.low <= ID <= part.high
    assert str(part.low)[:length] == str(part.high)[:length] == str(ID)[:length]


@pytest.mark.parametrize("text", ["", "019", "cust-1", "7d2a…", "019c11c7-3e7cfd6g", str(ID)])
def test_another_text_is_no_part_of_an_id(text: str) -> None:
    """A name, an example, and a whole id."""
    assert part_of(text) is None


def test_a_part_is_of_every_id_with_it() -> None:
    """The range has the smallest and the largest id."""
    low, high = UUID(int=0x019C11C7 << 96), UUID(int=(0x019C11C8 << 96) - 1)
    assert part_of("019c11c7") == Part(low, high, "")

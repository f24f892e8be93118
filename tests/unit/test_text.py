"""The characters of a name: every alphabet, and no terminal control."""

import pytest

from billing.domain.errors import InvalidValue
from billing.domain.text import checked_id, checked_name, is_line

PERSIAN = "نیک\u200cآیین"
FAMILY = "Ani \U0001f469\u200d\U0001f467"


@pytest.mark.parametrize("name", ["Ayu", "名前", "Áyu Ñ", PERSIAN, FAMILY, "क्\u200dष"])
def test_names_of_every_alphabet_are_accepted(name: str) -> None:
    """Persian letters and emoji need invisible joiners, which are allowed."""
    assert checked_name("name", name, 50) == name


@pytest.mark.parametrize(
    "letter",
    ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x9b", "\u2028", "\u2029", "\ud800", "\ue000"]
    + [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)],
)
def test_a_character_that_is_obeyed_instead_of_shown_is_refused(letter: str) -> None:
    """Control characters, line breaks, half characters, and what turns the direction of text."""
    assert not is_line(f"Ani{letter}Budi")
    for check in (checked_name, checked_id):
        with pytest.raises(InvalidValue, match="printable text on one line"):
            check("name", f"Ani{letter}Budi", 50)


@pytest.mark.parametrize("name", ["", " ", "\u200d", " \u200c\u200d "])
def test_a_name_of_nothing_visible_is_empty(name: str) -> None:
    """Joiners that join nothing are no name."""
    with pytest.raises(InvalidValue, match="must not be empty"):
        checked_name("name", name, 50)


def test_an_id_has_no_joiners() -> None:
    """Two ids that look the same would be two customers."""
    with pytest.raises(InvalidValue, match="printable"):
        checked_id("customer id", "a\u200db", 50)


def test_a_name_that_is_too_long_is_told_its_length() -> None:
    """The gateway counts characters, and so does the reason."""
    with pytest.raises(InvalidValue, match="at most 50 characters, not 51"):
        checked_name("name", "x" * 51, 50)

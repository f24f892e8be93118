"""Text from outside: what would act on a terminal is shown, and every script stays readable."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.escaping import escape

ACTS = {
    "clear the screen": ("\x1b[2Jx", r"\x1b[2Jx"),
    "C1 sequence": ("\x9b31m", r"\x9b31m"),
    "title and link": ("\x1b]8;;http://x\x07y", r"\x1b]8;;http://x\x07y"),
    "forged line": ("paid\ncharge.settled", r"paid\ncharge.settled"),
    "overwritten line": ("declined\rpaid", r"declined\rpaid"),
    "rubbed out": ("no\x08\x08\x7f", r"no\x08\x08\x7f"),
    "NUL": ("a\x00b", r"a\x00b"),
    "turned around": ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
    "line separator": ("a\u2028b", r"a\u2028b"),
    "half a letter": ("\ud800", r"\ud800"),
    "tag": ("\U000e0041", r"\U000e0041"),
}
STAYS = ["Ani Wijaya", "Rp 50,000 – ✓", "محمد", "می‌خواهم", "👨‍👩‍👧", "Zoë", "日本", "a\xa0b", ""]


@pytest.mark.parametrize("case", ACTS)
def test_an_active_character_is_written_as_its_code(case: str) -> None:
    """It is visible, and has no effect."""
    text, shown = ACTS[case]

    assert escape(text) == shown


@pytest.mark.parametrize("text", STAYS)
def test_names_of_every_script_stay(text: str) -> None:
    """Joiners too, without which Persian and emoji fall apart."""
    assert escape(text) == text


@given(st.text(st.characters()))
def test_nothing_that_acts_is_left(text: str) -> None:
    """The output of any text has no control character, and can be encoded."""
    shown = escape(text)

    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Zl", "Zp", "Cs"}
    assert escape(shown) == shown
    shown.encode()


def test_lines_of_a_traceback_are_kept() -> None:
    """Nothing else in it changes."""
    assert escape("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"

"""Display: numbers, instants and choices as a viewer reads them."""

from datetime import UTC, datetime

import pytest

from billing.web.console.display import Display, Language, chosen, of_cookie
from billing.web.console.labels import BAD, GOOD, LABELS, WAITING, tone
from billing.web.console.rendering import plain, render, translations
from billing.web.console.visits import inside

EN, ID = Display(), Display(Language.ID)


@pytest.mark.parametrize(
    ("amount", "english", "indonesian"),
    [
        (0, "Rp 0", "Rp0"), (999, "Rp 999", "Rp999"), (1_234_567, "Rp 1,234,567", "Rp1.234.567"),
        (9_999_999_999, "Rp 9,999,999,999", "Rp9.999.999.999"), (-5_000, "Rp -5,000", "Rp-5.000"),
    ],
)  # fmt: skip
def test_rupiah_has_the_form_of_the_language(amount: int, english: str, indonesian: str) -> None:
    """Commas in English, points in Indonesian."""
    assert (EN.rupiah(amount), ID.rupiah(amount)) == (english, indonesian)


def test_an_instant_is_in_the_viewers_zone() -> None:
    """With the name of the zone, and with seconds only where there are any."""
    at = datetime(2026, 1, 31, 17, 0, 5, 999, UTC)
    assert EN.instant(at) == "2026-02-01 00:00:05 WIB"
    assert Display(timezone="UTC").instant(at.replace(second=0)) == "2026-01-31 17:00 UTC"
    assert Display(timezone="Europe/Berlin").instant(at) == "2026-01-31 18:00:05 CET"


@pytest.mark.parametrize(
    ("seconds", "english", "indonesian"),
    [(0, "0 s", "0 detik"), (119, "119 s", "119 detik"), (120, "2 min", "2 menit"),
     (7_200, "2 h", "2 jam"), (200_000, "2 d", "2 hari")],
)  # fmt: skip
def test_a_span_is_in_the_largest_unit(seconds: int, english: str, indonesian: str) -> None:
    """Of which there are at least two."""
    assert (EN.span(seconds), ID.span(seconds)) == (english, indonesian)


def test_a_choice_that_is_not_offered_is_the_default() -> None:
    """Nothing from a cookie or a form reaches a page unchecked."""
    assert chosen("id", "UTC") == Display(Language.ID, "UTC")
    assert chosen("fr", "../../etc/passwd") == Display()
    assert of_cookie("id:Europe/Berlin", "en") == Display(Language.ID, "Europe/Berlin")
    assert of_cookie("id", "en") == Display(Language.ID)
    assert of_cookie(None, "ID-id,en") == Display(Language.ID)
    assert of_cookie(None, "*") == Display()


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/console/now", True), ("/console/search?q=a//b", True), ("/console/../v1", True),
        ("/console//evil", False), ("//evil", False), ("https://evil", False), ("", False),
        ("/consolex", False), ("/console/\r\nx", False), ("/console/\\evil", False),
    ],
)  # fmt: skip
def test_only_addresses_of_the_console_are_followed(path: str, *, ours: bool) -> None:
    """Everything else leads to the first page."""
    assert inside(path) == (path if ours else "/console/now")


def test_every_state_with_a_tone_has_a_label() -> None:
    """A state has one tone, and a word in each language."""
    assert LABELS.keys() >= GOOD | BAD | WAITING
    assert len(GOOD | BAD | WAITING) == len(GOOD) + len(BAD) + len(WAITING)
    assert tone("something new") == "quiet"


def test_every_value_is_escaped() -> None:
    """Also in a message of the engine, and a character that acts is shown as its code."""
    text = render(
        "message.html", EN, person=None, here="/console/now", token="", kind="refused",
        detail="<b>no\u202e</b>", request_id="x",
    )  # fmt: skip
    assert "<b>no" not in text
    assert "&lt;b&gt;no\\u202e&lt;/b&gt;" in text
    assert plain("a\nb") == "a\\nb"


def test_the_catalogue_is_read_without_being_compiled() -> None:
    """English is the language of the templates."""
    assert translations(Language.ID).gettext("Log in") == "Masuk"
    assert translations(Language.EN).gettext("Log in") == "Log in"

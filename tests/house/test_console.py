"""The console: its catalogue, its page of documentation, and what a browser would load."""

import re
from decimal import Decimal

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from billing.domain.charge import ChargeStatus
from billing.domain.event_kinds import KINDS
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Fault
from billing.domain.people import ALLOWED, Action, Role
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.services.reading import attention
from billing.web.console import app, labels, rendering, static_files
from billing.web.console.display import Language
from billing.web.console.event_words import EVENTS
from billing.web.console.routes import PAGES
from schedules import beat
from tests.house.tree import ROOT

CONSOLE = ROOT / "billing/web/console"
_PLACES = re.compile(r"%\((\w+)\)s")


def messages() -> set[str]:
    """Every text that templates and labels mark for translation; of plurals, the singular."""
    found = Catalog()
    extracted = extract_from_dir(
        CONSOLE,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")],
        options_map={"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}},
        keywords={"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)},
    )
    for _file, _line, message, _comments, _context in extracted:
        found.add(message)
    return {first(each.id) for each in found if each.id}


def first(message: str | tuple[str, ...] | list[str]) -> str:
    """A message, or the singular of one."""
    return message if isinstance(message, str) else message[0]


def catalogue(language: Language) -> Catalog:
    """The catalogue of a language."""
    with rendering.catalogue_file(language).open("rb") as file:
        return read_po(file, locale=language)


def test_every_text_is_translated() -> None:
    """The catalogue has each text, and none that is gone; nothing is empty or doubtful."""
    made = catalogue(Language.ID)
    entries = [each for each in made if each.id]
    assert {first(each.id) for each in entries} == messages()
    assert [each.id for each in entries if not all(_texts(each.string)) or each.fuzzy] == []
    assert not made.obsolete


def test_every_translation_has_the_same_places() -> None:
    """A place that is missing would lose an amount; one too many is an error of the page."""
    wrong = [
        each.id
        for each in catalogue(Language.ID)
        if each.id
        for text in _texts(each.string)
        if set(_PLACES.findall(first(each.id))) != set(_PLACES.findall(text))
    ]
    assert wrong == []


def _texts(text: str | tuple[str, ...] | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def test_the_matrix_on_the_page_is_that_of_the_code() -> None:
    """docs/console.md has a row for each action and a column for each role."""
    page = (ROOT / "docs/console.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", page, re.MULTILINE)
    shown = {
        name: [cell.strip() for cell in cells.split("|")][-len(Role) :] for name, cells in rows
    }
    assert shown == {
        action.value: ["yes" if role in ALLOWED[action] else "–" for role in Role]
        for action in Action
    }
    assert "| " + " | ".join(role.value for role in Role) + " |" in page


def test_every_action_is_one_of_a_route() -> None:
    """The matrix promises nothing that no page does."""
    assert {page.action for page in PAGES} - {None} == set(Action)


def test_every_form_and_link_leads_to_a_route() -> None:
    """No page has a link to a page that does not exist."""
    known = {(page.method, re.sub(r"\{.*", "", page.path)) for page in PAGES}
    for template in sorted((CONSOLE / "templates").glob("*.html")):
        text = template.read_text()
        for path in re.findall(r'(?:href|data-live)="/console(/[\w/]*)', text):
            assert ("GET", path) in known, (template.name, path)
        for path, method in re.findall(r'action="/console(/[\w/]*)" method="(\w+)"', text):
            assert (method.upper(), path) in known, (template.name, path)
        assert len(re.findall(r"<form", text)) == len(
            re.findall(r'<form[^>]*action="/console', text)
        )


@pytest.mark.parametrize("name", static_files.NAMES)
def test_no_file_names_another_host(name: str) -> None:
    """Scripts and styles load nothing from elsewhere."""
    text = (static_files.FOLDER / name).read_text()
    hosts = re.findall(r"https?://[^\s\"')]+", text)
    assert set(hosts) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "innerHTML" not in text
    assert "eval(" not in text


def test_the_policy_allows_nothing_inline() -> None:
    """Neither scripts nor styles, and no other host."""
    policy = app.HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_pair_of_colours_can_be_read() -> None:
    """WCAG AA: text has a contrast of 4.5 to its background, light and dark; the focus has 3."""
    text = (static_files.FOLDER / "console.css").read_text()
    schemes = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        pairs = [(front, back) for front in ("text", "quiet", "accent", "good", "bad", "waiting")
                 for back in ("page", "card", "hover")]  # fmt: skip
        pairs += [(front, f"{tone}-back") for tone in ("good", "bad", "waiting")
                  for front in ("text", "quiet", "accent", tone)]  # fmt: skip
        pairs.append(("on-accent", "accent"))
        low = {pair: round(_contrast(colour[pair[0]], colour[pair[1]]), 2) for pair in pairs}
        assert {pair: found for pair, found in low.items() if found < 4.5} == {}
        assert min(_contrast(colour["focus"], colour[back]) for back in ("page", "card")) >= 3
    assert _contrast("#ffffff", "#9b1c1c") >= 4.5


def test_every_state_and_cause_has_a_label() -> None:
    """A status, a fault class, a tick, or a cause in the list of attention."""
    states = (
        SubscriptionStatus, InvoiceStatus, ChargeStatus, RefundStatus, WalletStatus, Fault, Role,
    )  # fmt: skip
    words = {str(member) for enum in states for member in enum}
    words |= {tick.removeprefix("ticks.") for tick in beat.schedule(Decimal(10))}
    words |= {f"waits for {each}" for each in Blocked}
    words |= {cause for _kind, cause in attention._COMMANDS}
    assert words - labels.LABELS.keys() == set()


def test_every_kind_of_event_has_its_words() -> None:
    """A page says of an event what docs/events.md says, as a sentence that can be translated."""
    assert {kind: text[0].lower() + text[1:] for kind, text in EVENTS.items()} == {
        kind: text[0].lower() + text[1:] for kind, text in KINDS.items()
    }

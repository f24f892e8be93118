"""Walking through the console in a real browser: open each page, fill each form, look with axe."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize

from tests.integration.console_places import Act
from tests.integration.console_world import World
from tests.integration.web import Web

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
SIZES = (ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844))
SCHEMES = ("light", "dark")
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
"""What the law of many countries asks for."""
LOOKS = (
    ("1280-light", SIZES[0], "light", {"type": "tag", "values": LEVELS}),
    ("1280-dark", SIZES[0], "dark", {"type": "rule", "values": ["color-contrast"]}),
    ("390-light", SIZES[1], "light",
     {"type": "rule", "values": ["scrollable-region-focusable"]}),
)  # fmt: skip
"""All rules once; dark differs by its colours only, and a phone by what scrolls."""
WIDTHS = (360, 1280, 2560)
SERIOUS = frozenset({"serious", "critical"})
_LOOK = """async (runOnly) => {
    const wanted = {resultTypes: ["violations"], preload: false, runOnly};
    return (await axe.run(document, wanted)).violations.map(
        (each) => [each.impact, each.id, each.nodes.map((node) => node.html.slice(0, 300))]);
}"""


@cache
def axe() -> str:
    """The text of axe-core; without it the test is skipped, unless OVO_BROWSER=required."""
    if not AXE.is_file():
        said = "not run: axe-core is not installed: make tools"
        if os.environ.get("OVO_BROWSER") == "required":
            pytest.fail(said, pytrace=False)
        pytest.skip(said)
    return AXE.read_text()


def views(page: Page) -> Iterator[str]:
    """Show a page in each size, light and dark; its name for each."""
    for size in SIZES:
        page.set_viewport_size(size)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            yield f"{size['width']}-{scheme}"


def troubles(page: Page, name: str) -> list[str]:
    """What axe finds on a page that is serious or critical, in each of its looks."""
    found = []
    for view, size, scheme, rules in LOOKS:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for impact, rule, nodes in page.evaluate(_LOOK, rules):
            if impact in SERIOUS:
                found.append(f"{name} {view}: {rule}: {nodes}")
    return found


def too_wide(page: Page, name: str) -> list[str]:
    """Windows in which a page scrolls to the side; tables scroll inside."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            found.append(f"{name}: {over} pixels more than {width}")
    return found


def opened_at(page: Page, web: Web, path: str, status: int = 200) -> None:
    """Open an address of the console, which must answer with this status."""
    answer = page.goto(f"{web.url}/console{path}", wait_until="domcontentloaded")
    assert answer is not None
    assert answer.status == status, (path, answer.status)


def begin(page: Page, web: Web, world: World, act: Act, reason: str) -> None:
    """Open the form of an action and fill it."""
    opened_at(page, web, act.at(world))
    fill(page, {**act.fields, "reason": reason})


def fill(page: Page, fields: Mapping[str, str]) -> None:
    """Fill the fields of a page's own form: text, a choice or a check."""
    for name, value in fields.items():
        field = page.locator(f'main [name="{name}"]:not([type="hidden"])')
        if field.first.get_attribute("type") in {"radio", "checkbox"}:
            page.locator(f'main [name="{name}"][value="{value}"]').check()
        else:
            field.fill(value)


def send(page: Page) -> None:
    """Send a page's own form by its main button, and wait for the answer."""
    with page.expect_navigation():
        page.locator("main form button.main:visible").click()


def said(found: Sequence[Any]) -> str:
    """Findings, one a line."""
    return "\n".join(map(str, found))

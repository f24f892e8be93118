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
OF_COLOURS = ["color-contrast", "link-in-text-block"]
SERIOUS = frozenset({"serious", "critical"})
_LOOK = """async (rules) => {
    const wanted = {resultTypes: ["violations"], preload: false};
    if (rules.length) wanted.runOnly = {type: "rule", values: rules};
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
    """What axe finds on a page in every view that is serious or critical.

    Dark differs from light by its colours only, so that there only the rules about colours are run.
    """
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe())
    found = []
    for view in views(page):
        for impact, rule, nodes in page.evaluate(_LOOK, [] if "light" in view else OF_COLOURS):
            if impact in SERIOUS:
                found.append(f"{name} {view}: {rule}: {nodes}")
    return found


def opened_at(page: Page, web: Web, path: str, status: int = 200) -> None:
    """Open an address of the console, which must answer with this status."""
    answer = page.goto(f"{web.url}/console{path}")
    assert answer is not None
    assert answer.status == status, (path, answer.status)


def begin(page: Page, web: Web, world: World, act: Act, reason: str) -> None:
    """Open the form of an action and fill it."""
    opened_at(page, web, act.at(world))
    fill(page, {**act.fields, "reason": reason})


def fill(page: Page, fields: Mapping[str, str]) -> None:
    """Fill the fields of a page's own form: text, a choice or a check."""
    for name, value in fields.items():
        field = page.locator(f'main [name="{name}"]')
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

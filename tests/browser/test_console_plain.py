"""The console without JavaScript: every page opens, and every action is done."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Filled
from tests.browser.test_console import opened
from tests.browser.walking import begin, fill, opened_at, said, send, too_wide
from tests.integration import console_world
from tests.integration.console_places import DECISIONS, LEADS_ON, Decision, acts, requests, stops
from tests.integration.console_places import filled as place
from tests.integration.console_world import World
from tests.integration.engine import Engine
from tests.integration.web import Web

PLAIN = {"java_script_enabled": False}


def whole(page: Page, name: str) -> None:
    """A page says what it is, and hides nothing that only a script would show."""
    assert page.locator("main h1").count() == 1, name
    assert page.locator("main h1").inner_text().strip(), name
    hidden = page.locator("main [hidden]:not([data-stale]):not([data-close])")
    assert hidden.count() == 0, name


@pytest.mark.timeout(120)  # some 80 pages, on a machine that is busy
def test_every_page_is_whole_without_scripts_in_every_window(
    filled: Filled, chromium: Browser
) -> None:
    """Also with the longest names and amounts no page is wider than a phone, a screen or a wall."""
    _, world, web, proxied = filled
    wide: list[str] = []
    with opened(chromium, web, world.person, complains=False, **PLAIN) as page:
        for stop in (*stops(world.ids), *requests(world)):
            opened_at(page, web, stop.path, stop.status)
            if "part=" not in stop.path:
                whole(page, stop.name)
            wide += too_wide(page, stop.name)
        for path in LEADS_ON:
            opened_at(page, web, place(path, world.ids))
            assert "#row-" in page.url, path
        opened_at(page, proxied, "/login", 403)
        whole(page, "past the proxy")
        wide += too_wide(page, "past the proxy")
    assert wide == [], said(wide)


@pytest.mark.timeout(120)  # some 30 forms
def test_every_action_works_without_scripts(engine: Engine, web: Web, chromium: Browser) -> None:
    """Each form is filled, previewed and confirmed, and the rows say so."""
    world = console_world.build(engine)
    with opened(chromium, web, world.person, complains=False, **PLAIN) as page:
        for act in acts():
            reason = f"a test of {act.name}"
            begin(page, web, world, act, reason)
            for _ in range(act.sendings - 1):
                send(page)
            assert engine.one(REASONS, reason=f"{reason}%") == 0, f"{act.name}: a preview acted"
            send(page)
            if not act.is_order:
                expect(page.locator("main .note.good")).to_be_visible()
            assert engine.one(REASONS, reason=f"{reason}%") > 0, act.name
        for decision in DECISIONS:
            decided(engine, web, world, page, decision)
        in_bulk(engine, web, page)
        by_the_header(web, page)


def decided(engine: Engine, web: Web, world: World, page: Page, decision: Decision) -> None:
    """Give the reason on a page of something else, and press the button."""
    reason = f"a test of {decision.page} {decision.word}"
    opened_at(page, web, decision.at(world)[0])
    fill(page, {"reason": reason})
    with page.expect_navigation():
        page.get_by_role("button", name=decision.word, exact=True).click()
    assert engine.one(REASONS, reason=reason) > 0, reason


REASONS = "SELECT count(*) FROM events WHERE reason LIKE :reason"


def in_bulk(engine: Engine, web: Web, page: Page) -> None:
    """Release what is held, stop charging, and start again."""
    opened_at(page, web, "/attention/bulk?kind=subscription&cause=held")
    fill(page, {"reason": "a test of release"})
    send(page)
    expect(page.get_by_text("1 of 1 row was released.")).to_be_visible()
    for word in ("Stop charging", "Start charging"):
        opened_at(page, web, "/now")
        page.get_by_text(f"{word}…").click()
        fill(page, {"reason": f"a test of {word}"})
        send(page)
        assert engine.one(REASONS, reason=f"a test of {word}") == 1, word


def by_the_header(web: Web, page: Page) -> None:
    """Search, change language and zone, and log out."""
    page.get_by_role("searchbox").fill("W" * 50)
    page.keyboard.press("Enter")
    page.wait_for_url("**/customers/**")
    page.locator(".menu summary").click()
    page.get_by_label("Language").select_option("id")
    page.get_by_role("button", name="Use these").click()
    expect(page.locator("html")).to_have_attribute("lang", "id")
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Keluar").click()
    page.wait_for_url("**/console/login")

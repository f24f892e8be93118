"""The console without JavaScript: every page opens, and every action is done."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_console import opened
from tests.browser.walking import begin, fill, opened_at, send
from tests.integration import console_world
from tests.integration.console import person
from tests.integration.console_places import DECISIONS, LEADS_ON, acts, filled, requests, stops
from tests.integration.engine import Engine
from tests.integration.web import Web

PLAIN = {"java_script_enabled": False}


def whole(page: Page, name: str) -> None:
    """A page says what it is, and hides nothing that only a script would show."""
    assert page.locator("main h1").count() == 1, name
    assert page.locator("main h1").inner_text().strip(), name
    hidden = page.locator("main [hidden]:not([data-stale]):not([data-close])")
    assert hidden.count() == 0, name


@pytest.mark.timeout(120)  # some 50 pages and 20 forms, on a machine that is busy
def test_every_page_and_action_works_without_scripts(
    engine: Engine, web: Web, chromium: Browser
) -> None:
    """Each page is whole, each form is filled, previewed and confirmed, and the rows say so."""
    world = console_world.build(engine)
    with opened(chromium, web, person(engine), complains=False, **PLAIN) as page:
        for stop in stops(world.ids):
            opened_at(page, web, stop.path, stop.status)
            if "part=" not in stop.path:
                whole(page, stop.name)
        for path in LEADS_ON:
            opened_at(page, web, filled(path, world.ids))
            assert "#row-" in page.url, path
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
        in_bulk(engine, web, page)
        by_the_header(web, page)


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

"""The console by axe-core: no page has a serious or critical finding, on a screen or a phone."""

from http import HTTPStatus

import pytest
from playwright.sync_api import Browser

from billing.domain.events import OPERATOR, Actor
from billing.services.operating import kill_switch
from tests.browser.conftest import Filled
from tests.browser.test_console import opened
from tests.browser.walking import axe, begin, opened_at, said, send, troubles
from tests.integration import console_world
from tests.integration.console import person
from tests.integration.console_places import acts, requests, stops
from tests.integration.engine import Engine
from tests.integration.web import Web

FORMS = ("subscriptions-x-cancel", "subscriptions-x-change", "invoices-x-refund",
         "invoices-x-charges-x-resolve")  # fmt: skip
"""Actions whose previews are looked at: they have every kind of field and of number."""


@pytest.mark.timeout(300)  # some 80 pages, on a machine that is busy
def test_full_pages_have_no_serious_finding(filled: Filled, chromium: Browser) -> None:
    """With rows of every kind: pages, refused forms, previews, a dialog and both menus."""
    engine, world, web, proxied = filled
    found: list[str] = []
    with opened(chromium, web, world.person, complains=False) as page:
        page.add_init_script(axe())
        for stop in (*stops(world.ids), *requests(world)):
            if stop.status == HTTPStatus.NOT_FOUND and stop.name != "page-unknown":
                continue  # the same page with another address
            opened_at(page, web, stop.path, stop.status)
            found += troubles(page, stop.name)
        for act in acts():
            if act.name in FORMS:
                begin(page, web, world, act, "a test")
                send(page)
                found += troubles(page, f"{act.name} preview")
                page.locator('main [name="reason"]').evaluate("(field) => field.value = ''")
                send(page)
                found += troubles(page, f"{act.name} refused")
        opened_at(page, web, "/now")
        page.get_by_text("Stop charging…").click()
        found += troubles(page, "now, a dialog")
        kill_switch.stop_charging(engine.context, Actor("budi", console_world.TAG))
        try:
            for path in ("/now", f"/customers/{world.ids['customer_id']}"):
                opened_at(page, web, path)
                for menu in (".menu", ".more"):
                    page.locator(f"{menu} summary").click()
                    found += troubles(page, f"{path} while charging is stopped, with {menu}")
                    page.keyboard.press("Escape")
        finally:
            kill_switch.start_charging(engine.context, OPERATOR)
        opened_at(page, proxied, "/login", 403)
        found += troubles(page, "past the proxy")
    assert found == [], said(found)


@pytest.mark.timeout(180)  # the same, with fewer pages
def test_empty_pages_have_no_serious_finding(engine: Engine, web: Web, chromium: Browser) -> None:
    """Without a single row: what a new installation shows."""
    found: list[str] = []
    with opened(chromium, web, person(engine), complains=False) as page:
        page.add_init_script(axe())
        for stop in stops({}):
            opened_at(page, web, stop.path)
            found += troubles(page, stop.name)
    assert found == [], said(found)


def test_axe_sees_a_fault(web: Web, engine: Engine, chromium: Browser) -> None:
    """A picture without words, and letters as light as their ground: each in every view."""
    with opened(chromium, web, person(engine)) as page:
        page.evaluate(axe())
        page.evaluate("""() => {
            const faint = document.createElement("p");
            faint.textContent = "faint";
            faint.style.color = "#888888";
            faint.style.background = "#999999";
            document.querySelector("main").append(document.createElement("img"), faint);
        }""")
        found = troubles(page, "now")
    assert sum("image-alt" in each for each in found) == 1
    assert sum("color-contrast" in each for each in found) == 2

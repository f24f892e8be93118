"""The console by axe-core: no page has a serious or critical finding, in any size or colours."""

import pytest
from playwright.sync_api import Browser

from billing.domain.events import Actor
from billing.services.operating import kill_switch
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


@pytest.mark.timeout(300)  # some 50 pages in four views, on a machine that is busy
def test_full_pages_have_no_serious_finding(engine: Engine, web: Web, chromium: Browser) -> None:
    """With rows of every kind: pages, forms, refused forms, previews, a dialog and the menu."""
    axe()
    world = console_world.build(engine)
    found: list[str] = []
    with opened(chromium, web, person(engine), complains=False) as page:
        for stop in stops(world.ids):
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
        for path in ("/now", f"/customers/{world.ids['customer_id']}"):
            opened_at(page, web, path)
            page.locator(".menu summary").click()
            found += troubles(page, f"{path} while charging is stopped, with the menu")
    assert found == [], said(found)


@pytest.mark.timeout(180)  # the same, with fewer pages
def test_empty_pages_have_no_serious_finding(engine: Engine, web: Web, chromium: Browser) -> None:
    """Without a single row: what a new installation shows."""
    axe()
    found: list[str] = []
    with opened(chromium, web, person(engine), complains=False) as page:
        for stop in stops({}):
            answer = page.goto(f"{web.url}/console{stop.path}")
            assert answer is not None
            assert answer.status < 500
            found += troubles(page, stop.name)
    assert found == [], said(found)


def test_axe_sees_a_fault(web: Web, engine: Engine, chromium: Browser) -> None:
    """A picture without words, and letters as light as their ground: each in every view."""
    axe()
    with opened(chromium, web, person(engine)) as page:
        page.evaluate("""() => {
            const faint = document.createElement("p");
            faint.textContent = "faint";
            faint.style.color = "#888888";
            faint.style.background = "#999999";
            document.querySelector("main").append(document.createElement("img"), faint);
        }""")
        found = troubles(page, "now")
    assert sum("image-alt" in each for each in found) == 2
    assert sum("color-contrast" in each for each in found) == 4

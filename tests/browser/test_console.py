"""The console in a real browser: by mouse, by keyboard, and without scripts."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.domain.short_ids import short
from billing.services.operating import kill_switch
from billing.web.console import streams
from tests.browser.conftest import Filled
from tests.integration.console import PASSWORD, person
from tests.integration.engine import Engine
from tests.integration.test_services_reopening import given_up
from tests.integration.web import Web

WAIT = 30_000
"""Milliseconds; a busy machine may need them."""


@contextmanager
def opened(
    chromium: Browser, web: Web, name: str, *, complains: bool = True, **options: object
) -> Iterator[Page]:
    """A page of a new window, logged in; afterwards no script may have failed.

    The browser complains about every page with a status of 400 or more.
    """
    context = chromium.new_context(locale="en-US", **options)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(WAIT)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    expected = "\n" if complains else "Failed to load resource"
    page.on("console", lambda told: troubles.append(told.text)
            if told.type == "error" and expected not in told.text else None)  # fmt: skip
    try:
        page.goto(web.url)
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/now")
        yield page
        assert troubles == []
    finally:
        context.close()


@pytest.fixture
def budi(engine: Engine) -> str:
    """An operator."""
    return person(engine, Role.OPERATOR, "Budi")


def test_an_operator_stops_charging_and_finds_a_customer(
    engine: Engine, web: Web, chromium: Browser, budi: str
) -> None:
    """Log in, stop with a reason, start again; search by `/`, open the customer, log out."""
    customer, _ = engine.begun(amount=50_000)
    engine.run()
    with opened(chromium, web, budi) as page:
        page.get_by_text("Stop charging…").click()
        dialog = page.get_by_role("dialog", name="Stop charging")
        dialog.get_by_label("Reason").fill("double charges reported")
        dialog.get_by_role("button", name="Stop charging").click()
        expect(page.get_by_text("by Budi. Reason: double charges reported")).to_be_visible()
        [event] = engine.told("engine.charging_stopped")
        assert (event["actor"], event["reason"]) == ("Budi", "double charges reported")

        page.keyboard.press("/")
        page.keyboard.type(customer)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/customers/{customer}")
        expect(page.get_by_text("Charged twice: no.")).to_be_visible()
        expect(page.get_by_text("No customer is charged:")).to_be_visible()

        page.get_by_role("link", name="Now", exact=True).click()
        page.get_by_text("Start charging…").click()
        page.keyboard.type("all clear")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Charging is started.")).to_be_visible()
        assert engine.told("engine.charging_started")[0]["reason"] == "all clear"

        page.get_by_text("Budi").first.click()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/console/login")


def test_now_refreshes_itself(
    engine: Engine, web: Web, chromium: Browser, budi: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another operator does appears without a click, and the button changes with it."""
    monkeypatch.setattr(streams, "EVERY_SECONDS", 0.3)
    monkeypatch.setattr(streams, "SHARED_SECONDS", 0.1)
    with opened(chromium, web, budi) as page:
        expect(page.get_by_text("Stop charging…")).to_be_visible()
        kill_switch.stop_charging(engine.context, OPERATOR)
        expect(page.get_by_text("Charging is stopped.")).to_be_visible(timeout=WAIT)
        expect(page.get_by_text("Start charging…")).to_be_visible(timeout=WAIT)


def test_everything_works_without_scripts(
    engine: Engine, web: Web, chromium: Browser, budi: str
) -> None:
    """Log in, stop charging, search and read a customer with JavaScript turned off."""
    customer, _ = engine.begun()
    engine.run()
    with opened(chromium, web, budi, java_script_enabled=False) as page:
        page.get_by_text("Stop charging…").click()
        page.get_by_label("Reason").fill("without scripts")
        page.get_by_role("button", name="Stop charging").click()
        expect(page.get_by_text("by Budi. Reason: without scripts")).to_be_visible()
        page.get_by_role("searchbox").fill(customer)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/customers/{customer}")
        expect(page.get_by_text("Every movement of money")).to_be_visible()


def test_the_navigation_is_one_line_and_more_opens_by_keyboard(
    filled: Filled, chromium: Browser
) -> None:
    """On a screen of 1280 in both languages; the rest is a menu, which works without scripts."""
    _, world, web, _ = filled
    for has_scripts in (True, False):
        with opened(chromium, web, world.person, java_script_enabled=has_scripts) as page:
            for language in ("en", "id"):
                if language == "id":
                    page.locator(".menu summary").click()
                    page.get_by_label("Language").select_option("id")
                    page.get_by_role("button", name="Use these").click()
                height = page.locator("header.top").evaluate("(bar) => bar.offsetHeight")
                assert height < 70, (language, height)
            page.locator(".more summary").focus()
            page.keyboard.press("Enter")
            page.keyboard.press("Tab")
            expect(page.get_by_role("link", name="Persetujuan 3")).to_be_focused()
            page.keyboard.press("Enter")
            page.wait_for_url("**/console/approvals")


def test_an_operator_retries_what_dunning_gave_up(
    engine: Engine, web: Web, chromium: Browser, budi: str
) -> None:
    """From the number on Now to the rows, the reason and the report; then from Lists to a file."""
    customer, subscription = given_up(engine)
    engine.put_cash(customer, 1_000_000)
    [invoice] = engine.invoices(subscription)
    with opened(chromium, web, budi) as page:
        row = page.get_by_role("row", name="invoice uncollectible")
        row.get_by_role("link", name="1", exact=True).click()
        page.get_by_role("link", name="Retry these…").click()
        expect(page.get_by_text("1 invoice becomes due at once")).to_be_visible()
        page.get_by_label("Reason").fill("the customer topped up")
        page.get_by_role("button", name="Retry them").dblclick()
        expect(page.get_by_text("1 of 1 invoice is due now")).to_be_visible()
        page.reload()
        expect(page.get_by_text("Reason: the customer topped up")).to_be_visible()
        assert len(engine.told("invoice.retry_requested")) == 1

        page.get_by_role("link", name="Lists").click()
        page.get_by_role("link", name="invoices", exact=True).click()
        page.get_by_label("Status").select_option("open")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.get_by_role("link", name=short(invoice["id"]))).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="All of these rows as a CSV file").click()
        assert str(invoice["id"]) in download.value.path().read_text()
    engine.run()
    assert [each["status"] for each in engine.invoices(subscription)] == ["paid"]


def test_the_keyboard_reaches_everything(web: Web, chromium: Browser, budi: str) -> None:
    """The first key leads past the header; every control shows that it has the focus."""
    with opened(chromium, web, budi) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        for _ in range(8):
            page.keyboard.press("Tab")
            shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert shown != "none"

"""The console in a real browser: a webhook is added and its delivery seen; a person is added."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from billing.domain.people import Role
from billing.sandbox.process import SandboxProcess
from billing.services.webhooks import endpoints
from tests.browser.test_console import opened
from tests.integration.console import person
from tests.integration.engine import Engine, running
from tests.integration.hooked import create, tick
from tests.integration.kept import Kept
from tests.integration.receiver import receiving, status
from tests.integration.web import Web, serving
from tests.servers import Servers


@pytest.fixture
def shop(emptied: Kept, gateway: SandboxProcess, shared_servers: Servers) -> Iterator[Web]:
    """The console of an engine that may send webhooks to this machine."""
    with (
        running(emptied, gateway, webhook_allowed_hosts="127.0.0.1") as engine,
        serving(engine, shared_servers.own_redis()) as made,
    ):
        yield made


def test_a_webhook_is_added_and_its_delivery_seen(shop: Web, chromium: Browser) -> None:
    """From the menu to the form; the secret once; then from Now to the delivery."""
    engine = shop.engine
    with receiving() as receiver, opened(chromium, shop, person(engine, Role.ADMIN, "Ani")) as page:
        page.get_by_text("More").click()
        page.get_by_role("link", name="Webhooks").click()
        page.get_by_role("link", name="Add an endpoint…").click()
        page.get_by_label("Address").fill(receiver.url)
        page.get_by_label("Event types").fill("invoice.paid")
        page.get_by_label("Reason").fill("the shop asked")
        page.get_by_role("button", name="Add it").dblclick()
        expect(page.get_by_text("it is not shown again")).to_be_visible()
        secret = page.locator("[data-secret]").inner_text()
        page.get_by_role("link", name="Done").click()
        expect(page.get_by_text("Nothing was sent to it yet.")).to_be_visible()
        assert len(endpoints.every(engine.context.database)) == 1

        engine.begun()
        engine.run()
        tick(engine)
        receiver.received[0].verify(secret)
        page.get_by_role("link", name="Now", exact=True).click()
        page.get_by_text("More").click()
        page.get_by_role("link", name="Webhooks", exact=True).click()
        page.get_by_role("link", name=receiver.url).click()
        expect(page.get_by_text("It hears us")).to_be_visible()
        page.get_by_role("link", name="invoice.paid").click()
        expect(page.get_by_text("The receiver accepted it at")).to_be_visible()
        expect(page.get_by_text('"type": "invoice.paid"')).to_be_visible()


def test_a_person_is_added_without_scripts(engine: Engine, web: Web, chromium: Browser) -> None:
    """From Access to the password, and to the page of the person."""
    name = person(engine, Role.ADMIN, "Ani")
    with opened(chromium, web, name, java_script_enabled=False) as page:
        page.get_by_text("More").click()
        page.get_by_role("link", name="Access").click()
        page.get_by_role("link", name="Add a person…").click()
        page.get_by_label("Name").fill("Budi")
        page.get_by_label("operator").check()
        page.get_by_label("Reason").fill("she joined")
        page.get_by_role("button", name="Add the person").click()
        expect(page.locator("[data-secret]")).to_be_visible()
        page.get_by_role("link", name="Done").click()
        expect(page.get_by_text("May log in, with the password only.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_access_is_wider_than_the_window(
    shop: Web, chromium: Browser, scheme: str
) -> None:
    """The longest names, an address without a place to break, and a payload fit into 360 px."""
    engine = shop.engine
    name = person(engine, Role.ADMIN, "W" * 50)
    with receiving() as receiver:
        receiver.answer = status(500)
        endpoint, _ = create(engine, f"{receiver.url}/{'w' * 300}")
        engine.plan("W" * 50)
        tick(engine)
    delivery = engine.one("SELECT id FROM webhook_deliveries LIMIT 1")
    person_id = engine.one("SELECT id FROM people")
    shop.client("admin", name="K" * 50)
    size = {"width": 360, "height": 800}
    with opened(chromium, shop, name, viewport=size, color_scheme=scheme) as page:
        for path in (
            "webhooks", "webhooks/new", f"webhooks/{endpoint}", f"webhooks/{endpoint}/replay",
            f"webhooks/{endpoint}/delete", f"webhooks/deliveries/{delivery}",
            f"webhooks/deliveries/{delivery}/resend", "access", "access/keys/new",
            f"access/people/{person_id}", f"access/people/{person_id}/role",
        ):  # fmt: skip
            page.goto(f"{shop.url}/console/{path}")
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, (path, over)

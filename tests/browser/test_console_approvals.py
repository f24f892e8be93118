"""The console in a real browser: a second person, and parts that are live."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.operating import api_keys, held_rows, kill_switch
from billing.services.webhooks import endpoints
from billing.store.queries.holding import Kind
from billing.web.console import streams
from billing.web.console.display import COOKIE, Display, Language
from tests.browser.test_console import WAIT, opened
from tests.integration.console import browsing, person
from tests.integration.engine import Engine
from tests.integration.test_web_console_approvals import LIMITS, asked
from tests.integration.test_web_console_invoice import paid
from tests.integration.web import Web, serving
from tests.servers import Servers


@pytest.fixture
def limited(engine: Engine, shared_servers: Servers) -> Iterator[Web]:
    """The console with limits."""
    with serving(engine, shared_servers.own_redis(), **LIMITS) as made:
        yield made


def test_a_refund_with_a_second_person(engine: Engine, limited: Web, chromium: Browser) -> None:
    """Ani asks with a preview; Budi, without scripts, finds it from Now and approves it."""
    customer, invoice = paid(engine)
    ani, budi = person(engine, Role.FINANCE, "Ani"), person(engine, Role.OPERATOR, "Budi")
    with opened(chromium, limited, ani) as page:
        page.goto(f"{limited.url}/console/invoices/{invoice['id']}/refund")
        page.get_by_label("Reason").fill("parcel lost")
        page.get_by_role("button", name="Show what it does").click()
        expect(page.get_by_text("another person must approve this")).to_be_visible()
        page.get_by_role("button", name="Ask for approval").click()
        expect(page.get_by_text("Nothing happens before another person")).to_be_visible()
        expect(page.get_by_role("button", name="Withdraw")).to_be_visible()
    assert engine.refunds(customer) == []
    with opened(chromium, limited, budi, java_script_enabled=False) as page:
        page.get_by_role("link", name="1 request waits for a second person.").click()
        page.get_by_role("link", name="Refund").click()
        expect(page.get_by_text("Rp 50,000").first).to_be_visible()
        page.get_by_label("Reason").fill("seen")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("It was approved and done.")).to_be_visible()
    assert [each["amount"] for each in engine.refunds(customer)] == [50_000]


def test_live_parts_come_by_a_stream(
    engine: Engine, web: Web, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and Attention show what another operator does, and nothing is polled."""
    monkeypatch.setattr(streams, "EVERY_SECONDS", 0.3)
    monkeypatch.setattr(streams, "SHARED_SECONDS", 0.1)
    with opened(chromium, web, person(engine)) as page:
        for path in ("now", "attention"):
            page.goto(f"{web.url}/console/{path}")
            expect(page.locator("[data-live][data-by=stream]")).to_be_visible(timeout=WAIT)
        kill_switch.stop_charging(engine.context, OPERATOR)
        expect(page.locator("[data-live]").get_by_text("stopped").first).to_be_visible(timeout=WAIT)


def test_a_proxy_that_keeps_events_back_makes_the_page_poll(
    engine: Engine, web: Web, chromium: Browser
) -> None:
    """The stream looks open and says nothing: the figures still come."""

    def held_back(route: Route) -> None:
        if "event-stream" not in route.request.headers.get("accept", ""):
            route.continue_()

    def faster(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('seconds="5"', 'seconds="0.3"'))

    with opened(chromium, web, person(engine)) as page:
        page.route("**/attention?part=counts", held_back)
        page.route("**/console/attention", faster)
        page.goto(f"{web.url}/console/attention")
        expect(page.locator("[data-live][data-by=poll]")).to_be_visible(timeout=WAIT)
        kill_switch.stop_charging(engine.context, OPERATOR)
        expect(page.locator("[data-live]").get_by_text("stopped").first).to_be_visible(timeout=WAIT)
        page.unroute_all(behavior="ignoreErrors")


CUT_OFF = """() => [...document.querySelectorAll('.scroll')]
    .filter(each => each.scrollWidth > each.clientWidth)
    .map(each => each.getAttribute('aria-label') || each.getAttribute('aria-labelledby'))"""
"""The tables that must be moved sideways to be read."""


def test_tables_of_requests_people_and_endpoints_are_cards(
    engine: Engine, limited: Web, chromium: Browser
) -> None:
    """At 360 px every column is there, without moving a table sideways."""
    _customer, invoice = paid(engine)
    one, other = person(engine, Role.FINANCE, "Ani"), person(engine, Role.ADMIN, "Budi")
    api_keys.create(engine.context, "shop", ["read"], OPERATOR)
    endpoints.create(engine.context, "https://shop.example/hook", OPERATOR)
    with browsing(limited, one) as [browser]:
        asked(browser, invoice, reason="the parcel was lost on its way to the customer")
    size = {"width": 360, "height": 800}
    with opened(chromium, limited, other, viewport=size) as page:
        for path, word in (
            ("approvals", "the parcel was lost"),
            ("access", "Revoke…"),
            ("webhooks", "https://shop.example/hook"),
        ):
            page.goto(f"{limited.url}/console/{path}")
            expect(page.get_by_text(word).first).to_be_visible()
            assert page.evaluate(CUT_OFF) == [], path


def test_tables_of_now_fit_in_indonesian(engine: Engine, limited: Web, chromium: Browser) -> None:
    """At 1280 px neither what needs attention nor the ticks are cut off."""
    _customer, invoice = paid(engine)
    engine.dead_ends.add("held")
    held_rows.set_aside(
        engine.context, Kind.SUBSCRIPTION, invoice["subscription_id"], ValueError("bad")
    )
    name = person(engine)
    with opened(chromium, limited, name, viewport={"width": 1280, "height": 900}) as page:
        value = Display(Language.ID, "Asia/Jakarta").cookie()
        page.context.add_cookies([{"name": COOKIE, "value": value, "url": limited.url}])
        page.goto(f"{limited.url}/console/now")
        expect(page.get_by_role("heading", name="Tick")).to_be_visible()
        assert page.evaluate(CUT_OFF) == []

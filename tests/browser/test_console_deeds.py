"""The console in a real browser: what a person does with an invoice and a subscription."""

from datetime import timedelta

from playwright.sync_api import Browser, expect

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.domain.subscription import RefundPolicy
from billing.services.money import refunding
from billing.services.subscriptions import previewing
from tests.browser.test_console import opened
from tests.integration.console import person
from tests.integration.engine import Engine
from tests.integration.web import Web


def test_a_refund_with_a_preview(engine: Engine, web: Web, chromium: Browser) -> None:
    """Search by the gateway number, refund a part, read the preview, confirm by the keyboard."""
    customer, subscription = engine.begun(amount=50_000)
    engine.run()
    [charge] = engine.charges(subscription)
    with opened(chromium, web, person(engine, Role.FINANCE, "Dewi")) as page:
        page.keyboard.press("/")
        page.keyboard.type(charge["gateway_number"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/invoices/**")
        page.get_by_role("link", name="Refund…").click()
        page.get_by_label("Amount in rupiah").fill("20.000")
        page.get_by_label("Reason").fill("late parcel")
        page.get_by_role("button", name="Show what it does").click()
        expect(page.get_by_text("Goes back to the wallet", exact=True)).to_be_visible()
        expect(page.get_by_text("Rp 30,000 afterwards")).to_be_visible()
        assert engine.refunds(customer) == []
        page.get_by_role("button", name="Refund").click()
        expect(page.get_by_text("The refund was requested")).to_be_visible()
        expect(page.get_by_role("cell", name="late parcel").first).to_be_visible()
    [refund] = engine.refunds(customer)
    assert refund["amount"] == 20_000


def test_a_cancellation_with_a_prorated_refund(
    engine: Engine, web: Web, chromium: Browser
) -> None:  # fmt: skip
    """Without scripts: from the customer to the subscription, preview and confirmation."""
    customer, subscription = engine.begun(amount=280_000)
    engine.run()
    engine.set_clock(engine.now + timedelta(days=7))
    wanted = previewing.cancel(
        engine.context, subscription, OPERATOR, refund=RefundPolicy.PRORATED
    ).amount_refunded
    name = person(engine, Role.OPERATOR, "Budi")
    with opened(chromium, web, name, java_script_enabled=False) as page:
        page.get_by_role("searchbox").fill(customer)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="P", exact=True).first.click()
        page.get_by_role("link", name="Cancel the subscription…").click()
        page.get_by_label("The unused days").check()
        page.get_by_label("Reason").fill("moved away")
        page.get_by_role("button", name="Show what it does").click()
        expect(page.get_by_text(f"Rp {wanted:,}")).to_be_visible()
        page.get_by_role("button", name="Cancel the subscription").click()
        expect(page.get_by_text("The cancellation was recorded.")).to_be_visible()
        expect(page.get_by_text("By Budi. Reason: moved away.")).to_be_visible()
    [refund] = engine.refunds(customer)
    assert refund["amount"] == wanted


def test_no_page_of_a_row_is_wider_than_the_window(
    engine: Engine, web: Web, chromium: Browser
) -> None:
    """The picture and tables scroll inside, with the largest amount, also at 360 px."""
    engine.plan("W" * 50, amount=9_999_999_999)
    subscription = engine.subscribe(engine.customer(cash=9_999_999_999), "W" * 50)
    engine.run()
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], 1_000, OPERATOR)
    size = {"width": 360, "height": 800}
    name = person(engine)
    with opened(chromium, web, name, viewport=size) as page:
        for path in (
            f"invoices/{invoice['id']}", f"invoices/{invoice['id']}/refund",
            f"subscriptions/{subscription}", f"subscriptions/{subscription}/change",
            f"subscriptions/{subscription}/cancel",
        ):  # fmt: skip
            page.goto(f"{web.url}/console/{path}")
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, (path, over)

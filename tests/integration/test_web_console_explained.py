"""The console explains itself: what a page answers, who may act, and what a word means."""

from datetime import timedelta

from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Role
from billing.domain.short_ids import short
from billing.services.money import coupons, refunding
from billing.services.operating import kill_switch, metrics
from tests.integration import hooked as webhooks
from tests.integration.console import browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.test_services_reopening import given_up
from tests.integration.web import Web

INDONESIAN = {"language": "id", "timezone": "Asia/Jakarta", "back": "/console/now"}


def test_support_is_led_to_a_page_and_a_viewer_to_the_roles(engine: Engine, web: Web) -> None:
    """Who has no command line is told no command; who may act is named, in both languages."""
    customer, subscription = given_up(engine)
    [invoice] = engine.invoices(subscription)
    retry = f'href="/console/invoices/{invoice["id"]}/retry"'
    names = [person(engine, role) for role in (Role.SUPPORT, Role.VIEWER, Role.ADMIN)]
    with browsing(web, *names) as [support, viewer, admin]:
        for path in ("/attention", f"/customers/{customer}", f"/invoices/{invoice['id']}"):
            assert "billing invoice" not in support.page(path)
            assert "billing invoice" not in viewer.page(path)
        assert retry in support.page("/attention")
        assert retry not in viewer.page("/attention")
        assert "These roles may do it: support, operator, admin" in text_of(
            viewer.page("/attention")
        )
        assert "Retry: These roles may do it: support, operator, admin" in text_of(
            viewer.page(f"/invoices/{invoice['id']}")
        )
        assert f"billing invoice retry {invoice['id']}" in admin.page("/attention")
        refused = viewer.open(f"/invoices/{invoice['id']}/retry")
        assert refused.status_code == 403
        assert "These roles may do it: support, operator, admin" in text_of(refused.text)
        assert "These roles may stop charging: operator, admin" in text_of(support.page("/now"))
        viewer.send("/display", INDONESIAN)
        said = text_of(viewer.page("/attention"))
        assert "Boleh dilakukan oleh peran: layanan pelanggan, operator, admin" in said


def test_each_page_begins_with_its_question_and_the_answer(engine: Engine, web: Web) -> None:
    """Now, Search and Attention as the others; Attention first says how many need an operator."""
    with browsing(web, person(engine)) as [browser]:
        for path, question in (
            ("/now", "Is the engine running, and is money moving?"),
            ("/search", "Who is this?"),
            ("/attention", "What needs an operator, and what helps?"),
        ):
            assert f"<h1>{question}</h1>" in browser.page(path)
        kill_switch.stop_charging(engine.context, Actor("budi", "a drill"))
        said = text_of(browser.page("/attention"))
        assert "1 row needs an operator." in said.partition("By kind and cause")[0]
        browser.send("/display", INDONESIAN)
        assert "1 baris membutuhkan operator." in text_of(browser.page("/attention"))


def test_the_hours_have_times_and_a_scale(engine: Engine, web: Web) -> None:
    """Each fourth hour of the day in the viewer's zone, and what the lines are in rupiah."""
    engine.begun(amount=50_000)
    engine.run()
    engine.set_clock(engine.now + timedelta(minutes=5))
    metrics.count(engine.context)
    with browsing(web, person(engine)) as [browser]:
        page = browser.page("/now")
        assert "top line: Rp 50,000; middle line: Rp 25,000" in text_of(page)
        assert _below(page) == ["00:00", "04:00", "08:00", "12:00", "16:00", "20:00"]
        browser.send("/display", INDONESIAN | {"timezone": "UTC"})
        assert _below(browser.page("/now"))[0] == "17:00"


def _below(page: str) -> list[str]:
    """The times below the picture of the hours."""
    return text_of(page.partition('<p class="hours">')[2].partition("</p>")[0]).split()


def test_unsent_is_explained_where_it_stands(engine: Engine, web: Web) -> None:
    """On Now, and at the attempt of an invoice."""
    _, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    with browsing(web, person(engine)) as [browser]:
        said = text_of(browser.page("/now"))
        assert "Unsent 0 charges that the gateway cannot have executed" in said
        engine.execute("UPDATE charges SET status = 'unsent', kept = 0")
        engine.audited = False  # the gateway has executed it
        said = text_of(browser.page(f"/invoices/{invoice['id']}"))
        assert "the gateway cannot have executed it" in said
        browser.send("/display", INDONESIAN)
        assert "tidak mungkin dijalankan gateway" in text_of(browser.page("/now"))


def test_activity_leads_to_each_row_that_has_a_page(engine: Engine, web: Web) -> None:
    """An endpoint, a coupon, a person and the engine; a viewer gets no link to Access."""
    endpoint, _ = webhooks.create(engine, "https://shop.example/hook")
    coupons.create(engine.context, "half", percent=50, by=OPERATOR)
    kill_switch.stop_charging(engine.context, OPERATOR)
    names = [person(engine), person(engine, Role.VIEWER)]
    with browsing(web, *names) as [admin, viewer]:
        page = admin.page("/activity")
        assert f'href="/console/webhooks/{endpoint}"' in page
        assert '<a href="/console/catalogue">half</a>' in page
        assert '<a href="/console/now">Now</a>' in page.partition("<tbody>")[2]
        assert 'href="/console/access/people/' in page
        assert "/console/access" not in viewer.page("/activity")


def test_an_id_in_the_details_leads_to_its_row(engine: Engine, web: Web) -> None:
    """A refund that is named in an event."""
    customer, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], 10_000, OPERATOR)
    [refund] = [row["id"] for row in engine.refunds(customer)]
    with browsing(web, person(engine)) as [browser]:
        page = browser.page("/activity")
        assert f'<a href="/console/refunds/{refund}">{short(refund)}</a>' in page


def test_a_list_explains_its_short_ids(engine: Engine, web: Web) -> None:
    """Once, below the rows; a list of customers has whole ids."""
    engine.begun()
    engine.run()
    with browsing(web, person(engine)) as [browser]:
        for kind in ("subscriptions", "invoices", "charges"):
            assert browser.page(f"/{kind}").count("An id is shown as its beginning") == 1
        assert "An id is shown as its beginning" not in browser.page("/customers")
        browser.send("/display", INDONESIAN)
        assert "ID ditampilkan awal dan akhirnya" in browser.page("/charges")

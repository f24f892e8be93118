"""The console: plans and coupons, and taking one out of the offer."""

import re
from html import unescape

import pytest

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.money import coupons
from billing.services.reading import catalogue_page
from billing.services.subscriptions import canceling, subscribing
from billing.web.console.pages import catalogue as page_of
from tests.integration.console import Browser, browsing, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.test_services_console_plans import plans, scanned
from tests.integration.test_web_console_numbers import listed
from tests.integration.web import Web

ODD = "a/b ?&<script>"
LONG = "😀" * 50


@pytest.fixture
def offered(engine: Engine) -> Engine:
    """Three plans with two, one and no running subscriptions, and coupons."""
    engine.plan("P", amount=50_000, trial="7 days", retries="2d 5d", on_exhausted="pause")
    engine.plan("Q", amount=70_000, cron="0 9 1 * *", retries_for={"limit": "1d 1d"}, days_max=30)
    engine.plan(ODD, name=LONG)
    for code in ("P", "P", "P", "Q"):
        last = engine.subscribe(engine.customer(linked=False), code)
    canceling.cancel(engine.context, last, OPERATOR)
    engine.subscribe(engine.customer(linked=False), "Q")
    coupons.create(engine.context, "TEN", OPERATOR, percent=10, cycles=3, redeemed_max=5)
    coupons.create(engine.context, "OFF", OPERATOR, rupiah_off=5_000)
    return engine


def archiving(browser: Browser, what: str, code: str, **written: str) -> tuple[int, str]:
    """Open the preview, and send its form; return the answer's status and words."""
    preview = browser.session.get(
        f"{browser.url}/console/catalogue/archive", params={"what": what, "code": code}, timeout=20
    )
    assert preview.status_code == 200
    form = {name: unescape(value) for name, value in hidden(preview.text).items()}
    answer = browser.send("/catalogue/archive", form | {"reason": "a new price"} | written)
    return answer.status_code, answer.headers.get("Location", text_of(answer.text))


def test_the_catalogue_counts_exactly_the_running_subscriptions(offered: Engine, web: Web) -> None:
    """And each number leads to as many rows; prices, calendars, trials and coupons are shown."""
    with browsing(web, person(offered, Role.VIEWER)) as [browser]:
        page = browser.page("/catalogue")
        found = re.findall(r'href="/console(/subscriptions\?[^"]*)">(\d+)</a>', page)
        assert sorted(int(number) for _, number in found) == [0, 1, 3]
        for path, number in found:
            assert listed(browser, unescape(path)) == int(number)
        said = text_of(page)
        for each in ("P Rp 50,000 every 1 month 7 days 2d 5d", "Q Rp 70,000 0 9 1 * *",
                     "TEN 10 % 3 invoices 0 5", "OFF Rp 5,000 every invoice 0 no limit",
                     ODD, LONG):  # fmt: skip
            assert each in said
        assert "<script>" not in page.partition("<main")[2]
        assert "Archive…" not in said
        assert browser.open("/catalogue?plans=x").status_code == 422
        assert text_of(browser.page("/catalogue?status=archived")).count("None.") == 2


def test_a_plan_has_a_page_with_its_policy(offered: Engine, web: Web) -> None:
    """The steps by cause, the limits and the end; under any code, also a hostile one."""
    with browsing(web, person(offered)) as [browser]:
        said = text_of(browser.page("/catalogue/plan?code=Q"))
        assert "1 subscription runs on it." in said
        assert "… for “limit” 1d 1d" in said
        assert "At most days 30" in said
        assert "If it is still not paid the subscription is canceled" in said
        assert "A plan was created" in said
        address = page_of.plan_address(ODD).removeprefix("/console")
        assert LONG in text_of(browser.page(address))
        assert browser.open("/catalogue/plan?code=none").status_code == 404
        assert browser.open(f"/catalogue/plan?code={'x' * 101}").status_code == 404
        assert browser.open("/catalogue/plan").headers["Location"] == "/console/catalogue"


def test_archiving_has_a_preview_and_acts_once(offered: Engine, web: Web) -> None:
    """With the person's name and reason; a second click does nothing, running ones continue."""
    name = person(offered, Role.OPERATOR)
    with browsing(web, name) as [browser]:
        for number, (what, code) in enumerate((("plan", "P"), ("plan", ODD), ("coupon", "TEN"))):
            key = str(number) * 36
            assert archiving(browser, what, code, reason=" ")[0] == 422
            status, to = archiving(browser, what, code, key=key)
            assert status == 303
            assert "nothing new can use it" in text_of(browser.page(to.removeprefix("/console")))
            form = {"what": what, "code": code, "key": key, "reason": "a new price"}
            assert browser.send("/catalogue/archive", form).status_code == 303
            told = offered.told(f"{what}.archived")[-1]
            assert (told["actor"], told["reason"]) == (name, "a new price")
    assert len(offered.told("plan.archived") + offered.told("coupon.archived")) == 3
    assert offered.one("SELECT count(*) FROM subscriptions WHERE ended_at IS NULL") == 4


def test_an_archived_plan_is_refused_with_the_state_of_now(offered: Engine, web: Web) -> None:
    """409, nothing is written a second time; a form of nobody's does nothing either."""
    with browsing(web, person(offered), person(offered, Role.FINANCE)) as [browser, other]:
        answer = browser.open("/catalogue/archive?what=plan&code=P")
        form = hidden(answer.text) | {"reason": "a new price"}
        assert "Running subscriptions, which continue 3" in text_of(answer.text)
        subscribing.archive_plan(offered.context, "P", OPERATOR)
        refused = browser.send("/catalogue/archive", form)
        assert refused.status_code == 409
        assert "is archived already" in text_of(refused.text)
        assert browser.open("/catalogue/archive?what=plan&code=P").status_code == 409
        assert browser.send("/catalogue/archive", form | {"key": "x"}).status_code == 422
        assert other.open("/catalogue/archive?what=plan&code=Q").status_code == 403
    assert len(offered.told("plan.archived")) == 1


def test_the_catalogue_scans_no_table_that_grows(offered: Engine) -> None:
    """Subscriptions are counted by an index, up to a limit."""
    found = plans(
        offered,
        lambda context: catalogue_page.read(
            context, None, page_of.Page(page_of.PAGE), page_of.Page(page_of.PAGE)
        ),
    )
    found += plans(offered, lambda context: catalogue_page.plan(context, "P"))
    assert 1 <= len(found) <= 9
    assert scanned(found) == []


def test_a_count_stops_at_its_limit(
    offered: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan with very many subscriptions is said to have more than the limit."""
    monkeypatch.setattr(catalogue_page, "COUNT_MAX", 2)
    monkeypatch.setattr(page_of, "COUNT_MAX", 2)
    with browsing(web, person(offered)) as [browser]:
        assert "more than 2" in text_of(browser.page("/catalogue"))
        assert "more than 2 subscriptions run on it." in text_of(
            browser.page("/catalogue/plan?code=P")
        )

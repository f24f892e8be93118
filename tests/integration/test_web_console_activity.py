"""The console: who did what, when and why; the same words on the pages of rows."""

import re
from datetime import timedelta
from html import unescape

import pytest

from billing.domain.event_kinds import KINDS
from billing.domain.events import GATEWAY, OPERATOR, SCHEDULER, Actor, event
from billing.domain.people import Role
from billing.domain.short_ids import short
from billing.services.money import refunding
from billing.services.operating import kill_switch
from billing.services.reading import activity
from billing.services.subscriptions import canceling, subscribing
from billing.store.queries import events
from billing.web.console.pages import activity as page_of
from tests.integration.console import browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.test_services_console_plans import plans, scanned
from tests.integration.web import Web

BUDI = Actor("budi", "moved abroad")
HOSTILE = Actor("<script>x</script>", "\u202eevil <b>")


@pytest.fixture
def lived(engine: Engine) -> tuple[Engine, str, str]:
    """A customer whose charge was refunded by Budi, who canceled; and a stop with odd words."""
    customer, subscription = engine.begun(amount=50_000)
    engine.run()
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], 10_000, BUDI)
    engine.run()
    canceling.cancel(engine.context, subscription, BUDI)
    kill_switch.stop_charging(engine.context, HOSTILE)
    return engine, customer, str(subscription)


def rows(page: str) -> list[str]:
    """What each row of the list of events says."""
    body = page.rpartition("<tbody>")[2].partition("</tbody>")[0]
    return [text_of(row) for row in body.split("<tr>")[1:]]


def test_activity_says_who_did_what_to_whom_and_why(
    lived: tuple[Engine, str, str], web: Web
) -> None:
    """In words, with amounts in rupiah, links and the reason; what is odd harms nothing."""
    engine, customer, subscription = lived
    with browsing(web, person(engine, Role.VIEWER)) as [browser]:
        page = browser.page("/activity")
        found = rows(page)
        refund = next(each for each in found if "A refund was requested" in each)
        assert "budi" in refund
        assert "amount: Rp 10,000" in refund
        assert customer in refund
        assert refund.endswith("moved abroad")
        assert f"refund: {short(engine.refunds(customer)[0]['id'])}" in refund
        assert f'href="/console/subscriptions/{subscription}"' in page
        assert "<script>x" not in page
        assert "\u202e" not in page
        whole = text_of(page)
        assert "Charging was stopped" in whole
        assert "the scheduler" not in " ".join(found)

        wide = rows(browser.page("/activity?machines=yes"))
        assert len(wide) == min(engine.one("SELECT count(*) FROM events"), page_of.PAGE)
        assert any("the scheduler" in each for each in wide)


def test_each_filter_of_activity_finds_exactly_its_events(
    lived: tuple[Engine, str, str], web: Web
) -> None:
    """By actor, group and day, with and without the scheduler; as many as SQL finds."""
    engine = lived[0]
    today = engine.now.astimezone().date()
    people = "actor NOT IN ('scheduler', 'gateway')"
    asked = {
        "": people,
        "actor=budi": "actor = 'budi'",
        "kind=refunds": f"kind ~ '^(refund|credit)' AND {people}",
        "actor=budi&kind=refunds": "actor = 'budi' AND kind ~ '^(refund|credit)'",
        f"day={today}": people,
        f"day={today - timedelta(days=40)}": "false",
        "machines=yes&kind=charges": "kind ~ '^charge'",
        "actor=scheduler": "actor = 'scheduler'",
        "actor=nobody": "false",
    }
    with browsing(web, person(engine)) as [browser]:
        for query, condition in asked.items():
            wanted = engine.one(f"SELECT count(*) FROM events WHERE {condition}")
            assert len(rows(browser.page(f"/activity?{query}"))) == wanted, query
        for query, field in (("day=yesterday", "day"), ("kind=x", "kind"),
                             ("day=0001-01-01", "day"), (f"actor={'x' * 101}", "actor"),
                             ("after=x", "after")):  # fmt: skip
            answer = browser.open(f"/activity?{query}")
            assert answer.status_code == 422
            assert field == "after" or f'id="wrong-{field}"' in answer.text


def test_pages_of_activity_follow_each_other(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a gap or a repeat, also for events of one instant; another filter is refused."""
    monkeypatch.setattr(page_of, "PAGE", 2)
    for number in range(5):
        subscribing.create_customer(engine.context, f"c{number}", name="Ani", by=BUDI)
    with browsing(web, person(engine)) as [browser]:
        seen: list[str] = []
        path = "/activity?actor=budi&kind=customers"
        while path:
            page = browser.page(path)
            seen += re.findall(r'/console/customers/(c\d)"', page)
            following = re.search(r'rel="next" href="/console([^"]*)"', page)
            last, path = path, unescape(following[1]) if following else ""
        assert seen == ["c4", "c3", "c2", "c1", "c0"]
        assert browser.open(last.replace("budi", "ani")).status_code == 422


def test_the_pages_of_rows_show_the_same_words_and_details(
    lived: tuple[Engine, str, str], web: Web
) -> None:
    """Customer, subscription and invoice; in Indonesian too, with its way to write rupiah."""
    engine, customer, subscription = lived
    [invoice] = engine.invoices(subscription)
    with browsing(web, person(engine)) as [browser]:
        for path in (f"/customers/{customer}", f"/subscriptions/{subscription}",
                     f"/invoices/{invoice['id']}"):  # fmt: skip
            said = text_of(browser.page(path))
            assert "A refund was requested amount: Rp 10,000" in said
        assert "Canceled by budi. Reason: moved abroad." in text_of(
            browser.page(f"/subscriptions/{subscription}")
        )
        browser.send("/display", {"language": "id", "timezone": "Asia/Jakarta", "back": ""})
        said = text_of(browser.page(f"/invoices/{invoice['id']}"))
        assert "Pengembalian dana diminta jumlah: Rp10.000" in said


def test_a_cancellation_says_its_cause(engine: Engine, web: Web) -> None:
    """For how long it was not paid; or who planned it, although the scheduler carried it out."""
    engine.plan("P", amount=50_000, retries="5d")
    engine.plan("W", every="1 week")
    poor = engine.subscribe(engine.customer(cash=0), "P")
    planned = engine.subscribe(engine.customer(), "W")
    engine.run()
    canceling.cancel(engine.context, planned, BUDI, at=canceling.PERIOD_END)
    engine.advance(timedelta(days=8))
    with browsing(web, person(engine)) as [browser]:
        said = text_of(browser.page(f"/subscriptions/{poor}"))
        assert re.search(r"Canceled by the scheduler\. Reason: not paid for \d days: ", said)
        said = text_of(browser.page(f"/subscriptions/{planned}"))
        assert re.search(r"As budi planned on [^.]+\. Reason: moved abroad\.", said)


def test_activity_reads_no_table_that_grows(lived: tuple[Engine, str, str]) -> None:
    """Each filter reads by an index; with the scheduler, kind and actor are those of one day."""
    engine = lived[0]
    asked = [
        activity.Asked(None, None, None, machines=False, timezone="Asia/Jakarta"),
        activity.Asked("budi", None, None, machines=False, timezone="Asia/Jakarta"),
        activity.Asked("budi", activity.Group.REFUNDS, None, machines=False, timezone="UTC"),
        activity.Asked(None, activity.Group.REFUNDS, None, machines=False, timezone="UTC"),
        activity.Asked(None, None, None, machines=True, timezone="UTC"),
        activity.Asked("scheduler", activity.Group.CHARGES, None, machines=False, timezone="UTC"),
    ]
    for each in asked:
        found = plans(engine, lambda context, each=each: activity.read(context, each, PAGE))
        assert 1 <= len(found) <= 9
        assert scanned(found) == []
        if each.machines or each.actor == "scheduler":
            assert "events_at" in found[0]
        else:
            assert "events_of_actor" in found[0] or "events_of_people" in found[0]


PAGE = page_of.Page(page_of.PAGE)


def test_every_event_of_a_request_for_approval_is_in_one_group() -> None:
    """It is not among the events of the engine."""
    kinds = [each for each in KINDS if activity.group_of(each) is activity.Group.APPROVALS]
    assert kinds
    assert kinds == [each for each in KINDS if each.startswith("approval.")]


def test_no_name_of_the_machines_is_counted_as_a_person(engine: Engine) -> None:
    """The index and the page leave out the same actors."""
    now = engine.now
    with engine.context.database.transaction() as connection:
        events.record(connection, [
            event("engine.charging_started", at=now, by=by) for by in (SCHEDULER, GATEWAY, OPERATOR)
        ])  # fmt: skip
    asked = activity.Asked(None, activity.Group.ENGINE, None, machines=False, timezone="UTC")
    found = activity.read(engine.context, asked, PAGE)
    assert {each.actor for each in found.events} == {"operator"}
    assert [each.type for each in found.events].count("engine.charging_started") == 1

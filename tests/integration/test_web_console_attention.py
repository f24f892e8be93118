"""The console: what will not move by itself, and an action on many chosen rows."""

import re
from html import unescape
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Role
from billing.services.operating import held_rows, invoice_actions, kill_switch
from billing.services.operating.held_rows import Kind
from billing.services.reading import attention
from billing.store.queries.attention import Count
from billing.web.console.pages import attention as pages
from tests.integration.console import Browser, browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.test_services_reopening import given_up
from tests.integration.web import Web

UNCOLLECTIBLE = "/attention?kind=invoice&cause=uncollectible&alarm=no"


def ids(page: str) -> list[str]:
    """The ids of the rows of a table, in their order."""
    return re.findall(r'(?:#row-|/console/[a-z]+/)([0-9a-f-]{36})"', page)


def field(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return unescape(found[1])


def form_of(page: str, reason: str = "wallets were topped up") -> dict[str, str]:
    """What a browser sends from the page that asks before an action."""
    names = ("key", "kind", "cause", "ids")
    return {name: field(page, name) for name in names} | {"reason": reason}


def within(answer_location: str) -> str:
    """A path within the console."""
    return answer_location.removeprefix("/console")


def held(engine: Engine, kind: Kind, row_id: UUID) -> None:
    """Hold a row."""
    held_rows.set_aside(engine.context, kind, row_id, ValueError("a bad value"))
    engine.dead_ends = {"held"}


def counts(engine: Engine) -> list[Count]:
    """What is counted."""
    context = engine.context
    return attention.counted(context.database, engine.now, context.settings.tick_seconds)


def test_a_healthy_engine_says_that_nothing_needs_attention(engine: Engine, web: Web) -> None:
    """And whether an audit ran, with what it found."""
    with browsing(web, person(engine, Role.VIEWER)) as [browser]:
        said = text_of(browser.page("/attention"))
        assert "Nothing needs attention." in said
        assert "No audit has run yet" in said
        engine.execute("INSERT INTO metric_gauges (name, value, at)"
                       " VALUES ('audit_findings', 2, now())")  # fmt: skip
        assert "The audit found 2 broken invariants" in text_of(browser.page("/attention"))
        engine.execute("UPDATE metric_gauges SET value = 0")
        assert "found nothing." in text_of(browser.page("/attention"))


def test_each_count_leads_to_exactly_its_rows(engine: Engine, web: Web) -> None:
    """By kind, cause and alarm; with amount, customer and the command; the same from Now."""
    customer, subscription = given_up(engine)
    held(engine, Kind.SUBSCRIPTION, engine.subscribe(engine.customer(linked=False)))
    engine.tick(["open_periods"])
    kill_switch.stop_charging(engine.context, OPERATOR)
    with browsing(web, person(engine)) as [browser]:
        page = browser.page("/attention")
        found = counts(engine)
        assert len(found) >= 3
        for each in found:
            link = pages.address_of(each.kind, each.cause, each.alarm)
            for place in (page, browser.page("/now")):
                assert f'href="{link.replace("&", "&amp;")}">{each.rows}<' in place, link
            shown = browser.page(within(link))
            table = shown.partition('aria-labelledby="rows"')[2]
            assert table.count("<tr><td>") == each.rows, each
        said = text_of(browser.page(UNCOLLECTIBLE))
        [invoice] = engine.invoices(subscription)
        assert ids(browser.page(UNCOLLECTIBLE)) == [str(invoice["id"])]
        assert f"Rp {invoice['amount']:,} {customer}" in said
        assert f"billing invoice retry {invoice['id']}" in said
        assert "Start charging, on Now" in text_of(page)


def test_pages_of_attention_follow_each_other(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is left out or repeated; a damaged cursor is refused in one line."""
    monkeypatch.setattr(pages, "PAGE", 1)
    engine.plan()
    made = [engine.subscribe(engine.customer(linked=False)) for _ in range(3)]
    for each in made:
        held(engine, Kind.SUBSCRIPTION, each)
    with browsing(web, person(engine)) as [browser]:
        page, seen = browser.page("/attention?kind=subscription"), []
        for _ in made:
            seen += ids(page)
            following = re.search(r'rel="next" href="/console([^"]*)"', page)
            page = browser.page(unescape(following[1])) if following else page
        assert sorted(seen) == sorted(map(str, made))
        answer = browser.open("/attention?after=x")
        assert answer.status_code == 422
        assert "the cursor is damaged" in text_of(answer.text)


class TestBulk:
    """Many rows at once, with a reason."""

    def test_a_retry_says_what_will_happen_and_what_was_done(
        self, engine: Engine, web: Web
    ) -> None:
        """Rows and rupiah before the button; each row's result after it; the events have names."""
        able, subscription = given_up(engine)
        [invoice] = engine.invoices(subscription)
        engine.put_cash(able, 1_000_000)
        with browsing(web, person(engine, Role.OPERATOR, "Budi")) as [browser]:
            assert "Retry these…" in text_of(browser.page(UNCOLLECTIBLE))
            page = browser.page("/attention/bulk?kind=invoice&cause=uncollectible&alarm=no")
            said = text_of(page)
            assert f"1 invoice becomes due at once: Rp {invoice['amount']:,}." in said
            assert ids(page) == [str(invoice["id"])]
            form = form_of(page)
            answers = [browser.send("/attention/bulk", form) for _ in range(2)]
            [place] = {answer.headers["Location"] for answer in answers}
            for _ in range(2):
                said = text_of(browser.page(within(place)))
                assert "1 of 1 invoice is due now" in said
                assert "By Budi. Reason: wallets were topped up" in said
        [event] = engine.told("invoice.retry_requested")
        assert (event["actor"], event["reason"]) == ("Budi", "wallets were topped up")
        engine.run()
        assert [row["status"] for row in engine.invoices(subscription)] == ["paid"]

    def test_a_retry_promises_nothing_while_charging_is_stopped(
        self, engine: Engine, web: Web
    ) -> None:
        """Neither the forms nor the reports say that it is charged with the next tick."""
        able, subscription = given_up(engine)
        [invoice] = engine.invoices(subscription)
        engine.put_cash(able, 1_000_000)
        with browsing(web, person(engine)) as [browser]:
            path = f"/invoices/{invoice['id']}/retry"
            assert "It is charged with the next tick." in text_of(browser.page(path))
            kill_switch.stop_charging(engine.context, Actor("Sari", "a drill"))
            stopped = "Charging is stopped: nothing is charged until it is started again."
            said = text_of(browser.page(path))
            assert stopped in said
            assert "with the next tick" not in said
            page = browser.page("/attention/bulk?kind=invoice&cause=uncollectible&alarm=no")
            assert stopped in text_of(page)
            place = browser.send("/attention/bulk", form_of(page)).headers["Location"]
            assert stopped in text_of(browser.page(within(place)))
            waits = "Waits for charging, which is stopped (a drill)."
            assert waits in text_of(browser.page(f"/invoices/{invoice['id']}"))
            said = text_of(browser.page("/attention"))
            assert "engine stopped alarm" in said.replace("\n", " ")
        kill_switch.start_charging(engine.context, OPERATOR)
        engine.run()

    def test_a_row_that_is_refused_stops_no_other(self, engine: Engine, web: Web) -> None:
        """The page says so before, and the report says why; the set is that of the page."""
        customer, subscription = given_up(engine, periods=2)
        older, newer = (row["id"] for row in engine.invoices(subscription))
        engine.put_cash(customer, 1_000_000)
        with browsing(web, person(engine)) as [browser]:
            page = browser.page("/attention/bulk?kind=invoice&cause=uncollectible")
            assert "1 row is refused as things are now" in text_of(page)
            assert "an older invoice has to be paid first" in text_of(page)
            form = form_of(page)
            assert set(form["ids"].split(",")) == {str(older), str(newer)}
            invoice_actions.void_invoice(engine.context, older, OPERATOR)
            place = browser.send("/attention/bulk", form).headers["Location"]
            said = text_of(browser.page(within(place)))
            assert "1 of 2 invoices are due now" in said
            assert "nothing there is nothing to do any more" in said
        assert [row["status"] for row in engine.invoices(subscription)] == ["void", "open"]
        engine.run()

    def test_held_rows_are_released_together(self, engine: Engine, web: Web) -> None:
        """One event for each, with the reason."""
        engine.plan()
        made = [engine.subscribe(engine.customer(linked=False)) for _ in range(2)]
        for each in made:
            held(engine, Kind.SUBSCRIPTION, each)
        with browsing(web, person(engine)) as [browser]:
            page = browser.page("/attention/bulk?kind=subscription&cause=held")
            assert "2 rows are released." in text_of(page)
            answer = browser.send("/attention/bulk", form_of(page, "price corrected"))
            said = text_of(browser.page(within(answer.headers["Location"])))
            assert "2 of 2 rows were released" in said
        told = engine.told("subscription.released")
        assert {each["reason"] for each in told} == {"price corrected"}
        assert len(told) == 2
        engine.dead_ends = set()

    def test_a_form_without_a_reason_keeps_its_rows(self, engine: Engine, web: Web) -> None:
        """422, one line at the field, and nothing is written."""
        given_up(engine)
        with browsing(web, person(engine)) as [browser]:
            form = form_of(browser.page("/attention/bulk?kind=invoice&cause=uncollectible"))
            for reason in ("", " ", "x" * 256, "a\u202eb"):
                answer = browser.send("/attention/bulk", form | {"reason": reason})
                assert answer.status_code == 422
                assert 'id="wrong-reason"' in answer.text
                assert form_of(answer.text)["ids"] == form["ids"]
                assert form_of(answer.text)["key"] == form["key"]
        assert engine.told("invoice.retry_requested") == []

    def test_an_invented_form_does_nothing(self, engine: Engine, web: Web) -> None:
        """422 with one line."""
        given_up(engine)
        invented: list[dict[str, str]] = [
            {"ids": "x"}, {"ids": ""}, {"key": "short"}, {"kind": "engine"}, {"cause": "parked"},
            {"kind": "customer", "cause": "held"},
            {"ids": ",".join(f"{n:032x}" for n in range(201))},
        ]  # fmt: skip
        with browsing(web, person(engine)) as [browser]:
            form = form_of(browser.page("/attention/bulk?kind=invoice&cause=uncollectible"))
            for wrong in invented:
                answer = browser.send("/attention/bulk", form | wrong)
                assert answer.status_code == 422, wrong
        assert engine.told("invoice.retry_requested") == []

    def test_a_report_is_found_by_its_key_only(self, engine: Engine, web: Web) -> None:
        """404 for another key, also for one of the HTTP interface."""
        engine.execute("INSERT INTO commands (key, task, arguments, created_at, result) VALUES"
                       " ('api:console/abc', 'other', '{}', now(), '{}')")  # fmt: skip
        with browsing(web, person(engine)) as [browser]:
            for key in ("abc", "x" * 32):
                assert browser.open(f"/attention/done/{key}").status_code == 404

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT, Role.FINANCE])
    def test_a_role_that_may_not_has_no_link(self, engine: Engine, web: Web, role: Role) -> None:
        """It sees the rows, and nothing that would be refused."""
        given_up(engine)
        with browsing(web, person(engine, role)) as [browser]:
            page = browser.page(UNCOLLECTIBLE)
            assert "/attention/bulk" not in page
            assert len(ids(page)) == 1


def test_many_rows_fit_into_the_form(engine: Engine, web: Web) -> None:
    """Two hundred rows are listed and sent; the page says that there are more."""
    engine.plan()
    subscription = engine.subscribe(engine.customer(linked=False))
    engine.execute(
        "INSERT INTO subscriptions SELECT (jsonb_populate_record(s, jsonb_build_object("
        "'id', gen_random_uuid(), 'held_at', now(), 'held_why', 'test'))).*"
        " FROM subscriptions s, generate_series(1, 201) WHERE s.id = :id",
        id=subscription,
    )
    engine.audited = False
    with browsing(web, person(engine)) as [browser]:
        page = browser.page("/attention/bulk?kind=subscription&cause=held")
        assert "only the oldest 200 are done at once" in text_of(page)
        assert len(ids(page)) == 200
        _released(browser, page)
    assert engine.one("SELECT count(*) FROM subscriptions WHERE held_at IS NOT NULL") == 1


def _released(browser: Browser, page: str) -> None:
    place = browser.send("/attention/bulk", form_of(page)).headers["Location"]
    assert "200 of 200 rows were released" in text_of(browser.page(within(place)))

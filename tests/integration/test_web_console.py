"""The console: what its pages say."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Role
from billing.services.operating import kill_switch, sessions
from billing.services.subscriptions import subscribing
from billing.web.console import labels
from schedules import beat
from tests.integration.console import Browser, browsing, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

HOSTILE = "<script>alert(1)</script>"


def shown(answer: requests.Response) -> str:
    """The words of a page."""
    return text_of(answer.text)


class TestKillSwitch:
    """Stop and start charging in a person's name."""

    def test_stopping_and_starting_carry_name_and_reason(self, engine: Engine, web: Web) -> None:
        """The events have both, and *Now* shows them."""
        with browsing(web, person(engine, Role.OPERATOR, "Budi")) as [browser]:
            answer = browser.send("/charging/stop", {"reason": "double charges reported"})
            page = browser.page(answer.headers["Location"].removeprefix("/console"))
            said = text_of(page)
            assert "Charging is stopped. Since" in said
            assert "by Budi. Reason: double charges reported" in said
            assert "No new charge is sent" in said
            [event] = engine.told("engine.charging_stopped")
            assert (event["actor"], event["reason"]) == ("Budi", "double charges reported")

            late = browser.send("/charging/start", {"reason": "all clear"})
            assert late.status_code == 409, "a form of before this stop does not end it"
            form = {"reason": "all clear", "stopped_at": hidden(page)["stopped_at"]}
            answer = browser.send("/charging/start", form)
            said = text_of(browser.page(answer.headers["Location"].removeprefix("/console")))
            assert "Charging is started" in said
            [event] = engine.told("engine.charging_started")
            assert (event["actor"], event["reason"]) == ("Budi", "all clear")

    def test_a_second_stop_does_not_pretend(self, engine: Engine, web: Web) -> None:
        """It says that nothing was changed, and the first reason stays."""
        with browsing(web, person(engine)) as [browser]:
            browser.page("/now")
            kill_switch.stop_charging(engine.context, Actor("budi", "first"))
            answer = browser.send("/charging/stop", {"reason": "second"})
            said = text_of(browser.page(answer.headers["Location"].removeprefix("/console")))
            assert "nothing was changed" in said
            assert "by budi. Reason: first" in said

    def test_an_old_message_is_not_repeated_when_it_is_false(
        self, engine: Engine, web: Web
    ) -> None:
        """An address with `done` that was kept, or invented, claims nothing."""
        with browsing(web, person(engine)) as [browser]:
            for done in ("stopped", "stopped-before", HOSTILE):
                page = browser.page(f"/now?done={done}")
                assert "Charging is stopped" not in text_of(page)
                assert HOSTILE not in page

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT, Role.FINANCE])
    def test_a_role_that_may_not_stop_has_no_button(
        self, engine: Engine, web: Web, role: Role
    ) -> None:
        """And no form that would be refused."""
        with browsing(web, person(engine, role)) as [browser]:
            assert "/charging/" not in browser.page("/now")


class TestNow:
    """*Now* says what the rows say."""

    def test_figures_are_those_of_the_rows(self, engine: Engine, web: Web) -> None:
        """Charged today, due and uncharged, unresolved, in both languages."""
        engine.begun(amount=1_250_000)
        engine.run()
        engine.subscribe(engine.customer())
        engine.tick(["open_periods"])
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page("/now?part=live"))
            assert "Charged Rp 1,250,000 1 charge " in said
            assert "Due and uncharged Rp 1,250,000 1 invoice " in said
            assert "Unresolved charges 0 " in said
            browser.send("/display", {"language": "id", "timezone": "UTC", "back": "/console/now"})
            said = text_of(browser.page("/now"))
            assert "Ditagih Rp1.250.000 1 penagihan " in said
            assert "2026-01-30 17:00 UTC" in said  # midnight in Jakarta

    def test_each_tick_stands_with_its_name(self, engine: Engine, web: Web) -> None:
        """Of one that skips its work the last count is shown, and that it ran since."""
        engine.execute(
            "INSERT INTO heartbeats (tick, at, succeeded_at)"
            " VALUES ('count_ahead', now(), now() - interval '5 minutes')"
        )
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page("/now"))
            for tick in beat.schedule(Decimal(10)):
                name = tick.removeprefix("ticks.")
                assert f"{labels.LABELS[name]} {name} " in said
            assert "count what is ahead count_ahead 5 min ago ran " in said
            browser.send("/display", {"language": "id", "timezone": "UTC", "back": "/console/now"})
            assert "count_ahead 5 menit lalu berjalan " in text_of(browser.page("/now"))

    def test_everything_wrong_is_said_first(self, engine: Engine, web: Web) -> None:
        """Ticks that never ran, a pause, the breaker, and another gateway."""
        engine.begun()
        engine.run()
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page("/now"))
            ticks = [each for each in beat.schedule(Decimal(10)) if each != beat.AUDIT]
            assert f"The engine is not running. {len(ticks)} ticks had no success lately." in said
            assert "Running." not in said
            for tick in ticks:
                engine.execute(
                    "INSERT INTO heartbeats (tick, at, succeeded_at) VALUES (:tick, now(), now())",
                    tick=tick.removeprefix("ticks."),
                )
            assert "Running. Charging is on; nothing is due." in text_of(browser.page("/now"))
            engine.execute("UPDATE heartbeats SET succeeded_at = now() - interval '1 h'"
                           " WHERE tick = 'reconcile'")  # fmt: skip
            said = text_of(browser.page("/now"))
            assert "Not every tick runs. 1 tick had no success lately." in said
            engine.execute("UPDATE engine SET resting_until = now() + interval '1 min',"
                           " troubles = 3, tripped_at = now()")  # fmt: skip
            said = text_of(browser.page("/now"))
            assert "The gateway is paused." in said
            assert "The breaker stopped charging." in said
            engine.execute("UPDATE engine SET gateway_host = 'other.example', tripped_at = NULL,"
                           " resting_until = NULL, troubles = 0")  # fmt: skip
            said = text_of(browser.page("/now"))
            assert "the database belongs to another gateway" in said
            assert "Start charging" in said
            [host] = {engine.context.settings.gateway_host}
            engine.execute("UPDATE engine SET gateway_host = :host", host=host)


class TestCustomer:
    """*Customer* answers in words."""

    def test_the_verdict_comes_first(self, engine: Engine, web: Web) -> None:
        """Charged twice, why not charged, what comes next; then every movement of money."""
        customer, subscription = engine.begun(amount=50_000, cash=60_000)
        engine.run()
        engine.advance(timedelta(days=28))
        [_, charge] = engine.charges(subscription)
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page(f"/customers/{customer}"))
            assert "Charged twice: no." in said
            assert "P past due Rp 50,000 is owed." in said
            assert "was declined: insufficient funds." in said
            assert "Next attempt: 2026-03-" in said
            assert str(charge["id"]) in said
            assert charge["gateway_number"] in said
            kill_switch.stop_charging(engine.context, OPERATOR)
            said = text_of(browser.page(f"/customers/{customer}"))
            assert "No customer is charged: charging is stopped since" in said

    def test_a_customer_without_a_wallet_waits_for_one(self, engine: Engine, web: Web) -> None:
        """The page says what it waits for, and the command."""
        engine.plan()
        customer = engine.customer(linked=False)
        engine.subscribe(customer)
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page(f"/customers/{customer}"))
            assert "Waits for" in said
            assert f"billing wallet link {customer}" in said

    @pytest.mark.parametrize(
        "name", [HOSTILE, '"><img src=x onerror=alert(1)>', "Ani {{ 7*7 }} {% raw %}", "😀" * 50,
                 "李小龍", "' OR 1=1 --", "&lt;b&gt;"],
    )  # fmt: skip
    def test_a_hostile_name_is_only_text(self, engine: Engine, web: Web, name: str) -> None:
        """On the page, in the search and in the title; nothing of it becomes markup."""
        subscribing.create_customer(engine.context, "c1", name=name, by=OPERATOR)
        subscribing.create_customer(engine.context, "c2", name=name, by=OPERATOR)
        with browsing(web, person(engine)) as [browser]:
            for path in ("/customers/c1", f"/search?q={name[:8]}"):
                page = browser.page(path) if path == "/customers/c1" else browser.open(path).text
                assert "<script>alert" not in page
                assert "<img" not in page
                assert "{{ 7" in page or "49" not in text_of(page) or "Ani" not in name
            assert name in text_of(browser.page("/customers/c1")) or "&lt;" in name or "<" in name

    def test_marks_that_turn_text_around_are_shown_as_codes(self, engine: Engine, web: Web) -> None:
        """A stored name with an override of direction cannot turn the page around."""
        subscribing.create_customer(engine.context, "c1", name="Ani", by=OPERATOR)
        engine.execute("UPDATE customers SET name = :name", name="Ani\u202e0001 pR")
        with browsing(web, person(engine)) as [browser]:
            page = browser.page("/customers/c1")
            assert "\u202e" not in page
            assert "\\u202e" in page

    def test_full_phones_and_addresses_are_nowhere(self, engine: Engine, web: Web) -> None:
        """Masked on every page, for every role."""
        subscribing.create_customer(
            engine.context, "c1", name="Ani", by=OPERATOR, phone="081234567890",
            email="ani.long@example.com",
        )  # fmt: skip
        with browsing(web, person(engine)) as [browser]:
            for path in ("/customers/c1", "/search?q=7890", "/search?q=ani"):
                text = requests.Response.text.fget(browser.open(path))  # type: ignore[attr-defined]
                assert "81234567890" not in text
                assert "ani.long@" not in text
            assert "****7890" in browser.page("/customers/c1")

    def test_two_customers_are_kept_apart(self, engine: Engine, web: Web) -> None:
        """Nothing of one is on the page of the other."""
        mine, subscription = engine.begun()
        other = engine.customer()
        engine.run()
        [charge] = engine.charges(subscription)
        with browsing(web, person(engine)) as [browser]:
            page = browser.page(f"/customers/{other}")
            for foreign in (mine, str(subscription), str(charge["id"]), charge["gateway_number"]):
                assert foreign not in page

    def test_an_unknown_customer_is_a_page_that_says_so(self, engine: Engine, web: Web) -> None:
        """404, without the stack of an error."""
        with browsing(web, person(engine)) as [browser]:
            for unknown in ("nobody", "%00", "a%0ab", "x" * 300, HOSTILE):
                answer = browser.open(f"/customers/{unknown}")
                assert answer.status_code in {400, 404}
                assert HOSTILE not in answer.text


class TestSearch:
    """One box that leads to a customer."""

    def test_a_single_hit_is_opened_at_once(self, engine: Engine, web: Web) -> None:
        """At the row that was searched for."""
        customer, subscription = engine.begun()
        engine.run()
        [charge] = engine.charges(subscription)
        with browsing(web, person(engine)) as [browser]:
            for wanted in (charge["gateway_number"], str(charge["id"])):
                answer = browser.open(f"/search?q={wanted}")
                assert answer.headers["Location"] == f"/console/charges/{charge['id']}"
            answer = browser.open(f"/charges/{charge['id']}")
            place = f"/invoices/{charge['invoice_id']}"
            assert answer.headers["Location"] == f"/console{place}#row-{charge['id']}"
            assert f'id="row-{charge["id"]}"' in browser.page(place)
            for row_id, wanted in (
                (subscription, f"/console/subscriptions/{subscription}"),
                (charge["invoice_id"], f"/console{place}"),
                (engine.wallets(customer)[0]["id"], f"/console/customers/{customer}"),
            ):
                found = browser.open(f"/search?q={row_id}").headers["Location"]
                assert found.partition("#")[0] == wanted

    def test_a_search_without_hits_says_so(self, engine: Engine, web: Web) -> None:
        """With what can be found; also for what no text can mean."""
        with browsing(web, person(engine)) as [browser]:
            assert "Nothing was found for “nobody”" in text_of(browser.page("/search?q=nobody"))
            assert "at most 200" in text_of(browser.page(f"/search?q={'x' * 201}"))
            assert "What can be found" in text_of(browser.page("/search"))
            assert browser.open("/search?q=%00").status_code == 400
            assert browser.open("/search?q=%ff%fe").status_code == 200


class TestDisplay:
    """Language and time zone are the viewer's choice."""

    def test_a_browser_s_language_is_used_until_one_is_chosen(self, web: Web) -> None:
        """Indonesian or English; another language is English."""
        with browsing(web, "") as [browser]:
            for accepted, word in (("id-ID,id;q=0.9", "Masuk"), ("de", "Log in"), ("", "Log in")):
                answer = browser.open("/login", **{"Accept-Language": accepted})
                assert f"<h1>{word}</h1>" in answer.text
            browser.send("/display", {"language": "en", "timezone": "Europe/Berlin"})
            assert "<h1>Log in</h1>" in browser.open("/login", **{"Accept-Language": "id"}).text

    def test_a_broken_choice_is_the_default(self, engine: Engine, web: Web) -> None:
        """An invented cookie or form does no harm."""
        with browsing(web, person(engine)) as [browser]:
            for value in ("xx:Mars/Base", ":", "en:../../etc", "a" * 3000):
                browser.session.cookies.set("billing_display", value)
                assert "Asia/Jakarta" in browser.page("/now")
            browser.session.cookies.clear(domain="", path="/", name="billing_display")
            answer = browser.send(
                "/display", {"language": "xx", "timezone": "x", "back": "//evil.example"}
            )
            assert answer.headers["Location"] == "/console/now"
            assert "en:Asia/Jakarta" in answer.headers["Set-Cookie"]


def test_an_error_is_a_page_with_the_request_id(engine: Engine, web: Web, monkeypatch: Any) -> None:
    """No trace of the error is shown; the id leads to the log."""

    def broken(*_: Any) -> None:
        raise RuntimeError("a secret of the engine")

    with browsing(web, person(engine)) as [browser]:
        monkeypatch.setattr("billing.services.reading.now.read", broken)
        answer = browser.open("/now")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.headers["X-Request-Id"] in answer.text


def test_a_person_s_session_survives_a_second_process(engine: Engine, web: Web) -> None:
    """Sessions are rows: every web process knows them."""
    name = person(engine)
    with browsing(web, name) as [browser]:
        session_id = browser.session.cookies["billing_session"]
        assert sessions.form_token(session_id) == browser.token
        assert isinstance(browser, Browser)

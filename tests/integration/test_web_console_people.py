"""The console: who can get in and with what, and that nobody locks the last admin out."""

import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from uuid import UUID, uuid4

import pytest

from billing.clock import real_now
from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.context import Request
from billing.services.operating import access, api_keys, people, sessions
from billing.services.operating.confirming import Changed
from billing.services.reading import access_page
from tests.integration.console import PASSWORD, Browser, browsing, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.test_services_second_factor import code
from tests.integration.web import Web

REASON = {"reason": "she left"}


def id_of(engine: Engine, name: str) -> UUID:
    """The id of a person."""
    return UUID(str(engine.one("SELECT id FROM people WHERE name = :name", name=name)))


def sent(browser: Browser, path: str, **written: str) -> tuple[int, str]:
    """Send the form of an order; the status, and the page or the address of the answer."""
    answer = browser.send(path, hidden(browser.page(path)) | REASON | written)
    return answer.status_code, answer.headers.get("Location") or answer.text


def secret(page: str) -> str:
    """The secret that a page shows once."""
    found = re.search(r"<code data-secret>([^<]+)</code>", page)
    assert found
    return unescape(found[1])


def test_an_added_person_logs_in_with_the_shown_password(engine: Engine, web: Web) -> None:
    """It is shown once; the form acts once; a name that is taken is said at its field."""
    with browsing(web, person(engine, Role.ADMIN, "Ani"), "") as [browser, new]:
        form = hidden(browser.page("/access/people/new")) | REASON
        form |= {"name": "Citra <b>", "role": "support"}
        made = browser.send("/access/people/new", form)
        assert new.log_in("Citra <b>", secret(made.text)).status_code == 303
        again = browser.send("/access/people/new", form)
        assert "was sent before" in text_of(again.text)
        assert "data-secret" not in again.text
        for written in ({"name": "citra <B>", "role": "viewer"}, {"name": "x", "role": "king"},
                        {"name": "operator", "role": "viewer"}, {"role": "viewer"}):  # fmt: skip
            status, page = sent(browser, "/access/people/new", **written)
            assert (status, page.count('role="alert"')) == (422, 1), written
        page = browser.page("/access")
        assert "Citra &lt;b&gt;" in page
        assert "2 people may log in." in text_of(page)
        assert 'href="/console/access"' not in new.page("/now")
        people.set_role(engine.context, "Citra <b>", "finance", OPERATOR)
        new.log_in("Citra <b>", secret(made.text))
        for path in ("/access", f"/access/people/{id_of(engine, 'Ani')}"):
            seen = new.page(path)
            assert "Ani" in seen
            assert not re.search(r'href="/console/access/\w+/[^"]*(new|revoke|role)"', seen)
    [_, event] = engine.told("person.created")
    assert (event["actor"], event["reason"]) == ("Ani", REASON["reason"])


def test_a_key_is_shown_once_and_revoked(engine: Engine, web: Web) -> None:
    """It opens the HTTP interface until it is revoked; who revokes it twice sees the state."""
    with browsing(web, person(engine)) as [browser]:
        for wrong in ({"name": "shop"}, {"name": "shop", "read": "yes", "days": "0"},
                      {"name": "shop", "read": "yes", "days": "99999"},
                      {"name": "operator", "read": "yes"}):  # fmt: skip
            status, page = sent(browser, "/access/keys/new", **wrong)
            assert (status, page.count('role="alert"')) == (422, 1), wrong
        form = hidden(browser.page("/access/keys/new")) | REASON
        form |= {"name": "shop", "read": "yes", "refund": "yes", "days": "90"}
        key = secret(browser.send("/access/keys/new", form).text)
        assert "data-secret" not in browser.send("/access/keys/new", form).text
        [row] = api_keys.listed(engine.context)
        assert row.scopes == ["read", "refund"]
        assert row.expires_at is not None
        assert (row.expires_at - row.created_at).days in {89, 90}
        assert web.stranger(key).send("GET", "/v1/me").status_code == 200
        page = browser.page("/access")
        assert row.prefix in page
        assert key not in page
        assert "1 API key is valid." in text_of(page)

        path = f"/access/keys/{row.id}/revoke"
        stale = hidden(browser.page(path)) | REASON
        assert sent(browser, path) == (303, "/console/access?done=revoke")
        assert web.stranger(key).send("GET", "/v1/me").status_code == 401
        refused = browser.send(path, stale)
        assert refused.status_code == 409
        assert "no valid key" in text_of(refused.text)
    assert len(engine.told("key.created")) == len(engine.told("key.revoked")) == 1


def test_the_last_admin_is_never_locked_out(engine: Engine, web: Web) -> None:
    """Neither disabled nor given another role; with a second admin both are possible."""
    name = person(engine, Role.ADMIN, "Ani")
    path = f"/access/people/{id_of(engine, name)}"
    with browsing(web, name) as [browser]:
        for way, written in (("disable", {}), ("role", {"role": "viewer"})):
            status, page = sent(browser, f"{path}/{way}", **written)
            assert status == 409
            assert "the last admin" in text_of(page)
        people.create(engine.context, "Budi", "admin", PASSWORD, OPERATOR)
        assert sent(browser, f"{path}/role", role="viewer")[0] == 303
        assert browser.open("/access").status_code == 303
    assert len(engine.told("person.role_changed")) == 1


def test_two_admins_cannot_disable_each_other(engine: Engine) -> None:
    """At the same moment one of them wins, and stays an admin."""
    names = [person(engine, Role.ADMIN, each) for each in ("Ani", "Budi")]
    marks = {name: access.mark_of(each.person) for each in access_page.read(engine.context).people
             for name in [each.person.name]}  # fmt: skip

    def disable(name: str) -> bool:
        request = Request(f"api:console:{uuid4()}", "console.disable_person", {})
        try:
            access.change(
                engine.context, id_of(engine, name), marks[name], request,
                lambda inside, who: people.disable(inside, who, OPERATOR), takes_admin=True,
            )  # fmt: skip
        except BillingError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(disable, names)) == [False, True]
    assert engine.one("SELECT count(*) FROM people WHERE disabled_at IS NULL") == 1


def test_sessions_and_failed_log_ins_are_those_of_the_rows(engine: Engine, web: Web) -> None:
    """Where a person is logged in, how many log-ins failed, and when too many did; then an end."""
    admin, budi = person(engine, Role.ADMIN, "Ani"), person(engine, Role.OPERATOR, "Budi")
    path = f"/access/people/{id_of(engine, budi)}"
    with browsing(web, admin, budi, budi, "") as [browser, one, other, guesser]:
        for _ in range(3):
            guesser.log_in(budi, "wrong password 1")
        old = real_now().replace(year=2020)
        engine.execute("INSERT INTO console_sessions VALUES ('\\x00', :id, :old, :old)",
                       id=id_of(engine, budi), old=old)  # fmt: skip
        page = browser.page("/access")
        row = text_of(page.partition(path)[2].partition("</tr>")[0])
        assert re.search(r"operator active no \S+ \S+ WIB 2 3, counted until", row)
        own = f"/access/people/{id_of(engine, admin)}"
        assert browser.page(own).count("this one") == 1
        page = browser.page(path)
        assert page.count("</td></tr>") == 2
        assert "this one" not in page
        engine.execute("UPDATE failed_logins SET failed = 20 WHERE failed > 0")
        assert "Cannot log in before" in text_of(browser.page(path))
        assert "1 person cannot log in" in text_of(browser.page("/access"))

        assert sent(browser, f"{path}/end-sessions") == (303, f"/console{path}?done=end-sessions")
        assert {each.open("/now").status_code for each in (one, other)} == {303}
        assert "Logged in nowhere." in text_of(browser.page(path))
    [event] = engine.told("person.sessions_ended")
    assert (event["actor"], event["reason"]) == ("Ani", REASON["reason"])


def test_a_new_password_and_a_second_factor_are_shown_once(engine: Engine, web: Web) -> None:
    """The next log-in needs both; the factor is removed; a disabled person may return."""
    budi = person(engine, Role.OPERATOR, "Budi")
    path = f"/access/people/{id_of(engine, budi)}"
    with browsing(web, person(engine), "") as [browser, other]:
        form = hidden(browser.page(f"{path}/password")) | REASON
        password = secret(browser.send(f"{path}/password", form).text)
        assert "data-secret" not in browser.send(f"{path}/password", form).text
        assert other.log_in(budi).status_code == 401
        _, page = sent(browser, f"{path}/second-factor")
        assert f"secret={secret(page)}" in page
        given = code(secret(page), real_now())
        answer = other.send("/login", {"name": budi, "password": password, "code": given})
        assert answer.status_code == 303
        assert "May log in, with a password and the code" in text_of(browser.page(path))
        for way in ("no-second-factor", "disable", "enable"):
            assert sent(browser, f"{path}/{way}")[0] == 303, way
        assert other.log_in(budi, password).status_code == 303


def test_a_person_whom_another_admin_changed_is_not_acted_on(engine: Engine, web: Web) -> None:
    """The answer is 409 with the form of now; nothing is done."""
    budi = person(engine, Role.OPERATOR, "Budi")
    path = f"/access/people/{id_of(engine, budi)}"
    ways = ("role", "password", "second-factor", "disable", "end-sessions")
    with browsing(web, person(engine)) as [browser]:
        forms = {way: hidden(browser.page(f"{path}/{way}")) | REASON for way in ways}
        people.set_role(engine.context, budi, "support", OPERATOR)
        before = engine.one("SELECT count(*) FROM events")
        for way, form in forms.items():
            answer = browser.send(f"{path}/{way}", form | {"role": "finance"})
            assert answer.status_code == 409, way
            assert "Something has changed" in text_of(answer.text)
        assert engine.one("SELECT count(*) FROM events") == before


def test_a_log_in_between_changes_nothing_for_an_admin(engine: Engine) -> None:
    """The mark of a person is about what admins decide."""
    budi = person(engine, Role.OPERATOR, "Budi")
    [before] = access_page.read(engine.context).people
    sessions.log_in(engine.context, budi, PASSWORD, "203.0.113.7", real_now())
    [after] = access_page.read(engine.context).people
    assert access.mark_of(before.person) == access.mark_of(after.person)
    request = Request("api:console:k", "console.x", {})
    with pytest.raises(Changed):
        access.change(engine.context, before.person.id, "other", request, lambda _in, _who: None)

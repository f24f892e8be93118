"""The console behind a proxy that knows who people are: its header, and every other one."""

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
import requests

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.operating import people
from billing.web.console import single_sign_on
from tests.integration.console import PASSWORD, Browser, browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web, serving
from tests.servers import Servers

HEADER = "X-Remote-User"
HERE, ELSEWHERE = "127.0.0.1", "10.9.9.9"


@pytest.fixture
def proxied(engine: Engine, shared_servers: Servers) -> Iterator[Web]:
    """A console that believes this machine."""
    redis = shared_servers.own_redis()
    with serving(engine, redis, sso_header=HEADER, sso_proxies=f"{HERE},10.1.0.0/16") as made:
        yield made


def opened(browser: Browser, name: str | bytes, path: str = "/now") -> requests.Response:
    """Open a page with the header, and follow the way through the log-in."""
    browser.session.headers[HEADER] = name
    answer = browser.open(path)
    for _ in range(3):
        if answer.status_code != 303:
            break
        answer = browser.open(answer.headers["Location"].removeprefix("/console"))
    return answer


def sent_raw(web: Web, *headers: tuple[str, str], path: str = "/console/now") -> bytes:
    """Send a GET with exactly these headers, also the same one twice; return the first line."""
    connection = HTTPConnection(web.url.removeprefix("http://"), timeout=20)
    connection.putrequest("GET", path)
    for name, value in headers:
        connection.putheader(name, value.encode())
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return b"%d %s %s" % (answer.status, (answer.headers["Location"] or "").encode(), text)


def test_the_header_of_the_proxy_is_a_log_in(engine: Engine, proxied: Web) -> None:
    """No password and no code; the event says so; the role is the person's; forms work."""
    name = person(engine, Role.OPERATOR, "Budi")
    people.set_second_factor(engine.context, name, OPERATOR)
    with browsing(proxied, "") as [browser]:
        answer = opened(browser, "Budi", "/search?q=x")
        assert answer.status_code == 200
        assert "Search" in text_of(answer.text)
        answer = browser.send("/charging/stop", {"reason": "a test"})
        assert answer.headers["Location"] == "/console/now?done=stopped"
        assert browser.open("/now").status_code == 200
    [told] = engine.told("person.logged_in")
    assert (told["actor"], told["data"]["recognized_by"]) == ("Budi", "proxy")
    assert engine.told("engine.charging_stopped")[0]["actor"] == "Budi"


def test_without_the_header_no_session_and_no_password_opens_a_page(
    engine: Engine, proxied: Web
) -> None:
    """Also a session that was valid: who reaches the process past the proxy gets nothing."""
    name = person(engine, Role.ADMIN, "Ani")
    with browsing(proxied, "") as [browser]:
        assert opened(browser, "Ani").status_code == 200
        del browser.session.headers[HEADER]
        assert browser.open("/now").status_code == 303
        assert browser.open("/now?part=live").status_code == 401
        answer = browser.open("/login")
        assert answer.status_code == 403
        assert "People log in at the proxy" in text_of(answer.text)
        assert 'name="password"' not in answer.text
        answer = browser.send("/login", {"name": name, "password": PASSWORD})
        assert answer.status_code == 403
        assert "A password opens nothing here" in text_of(answer.text)
    assert len(engine.told("person.logged_in")) == 1


def test_the_header_from_another_machine_is_refused(
    engine: Engine, shared_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever X-Forwarded-For says; the log says from where, and not what was in it."""
    person(engine, Role.ADMIN, "Ani")
    redis = shared_servers.own_redis()
    logged: list[tuple[str, dict[str, object]]] = []

    class Log:
        def warning(self, event: str, **values: object) -> None:
            logged.append((event, values))

    monkeypatch.setattr(single_sign_on, "log", Log())
    with (
        serving(
            engine, redis, sso_header=HEADER, sso_proxies=ELSEWHERE, trusted_proxies=HERE
        ) as web,
        browsing(web, "") as [browser],
    ):
        browser.session.headers["X-Forwarded-For"] = ELSEWHERE
        for path in ("/now", "/login", "/nothing"):
            answer = opened(browser, "Ani", path)
            assert answer.status_code in {403, 404}
            assert "Log out" not in answer.text
        answer = browser.open("/now")
        assert "The log-in of the proxy was refused" in text_of(answer.text)
        assert "Ani" not in answer.text
    assert {(event, *values.values()) for event, values in logged} == {
        ("sign_on.refused", "peer", HERE)
    }
    assert engine.told("person.logged_in") == []


def test_the_header_means_nothing_when_it_is_off(engine: Engine, web: Web) -> None:
    """It is neither believed nor refused, and people log in with their passwords."""
    name = person(engine, Role.ADMIN, "Ani")
    with browsing(web, "") as [browser]:
        browser.session.headers[HEADER] = "Ani"
        assert browser.open("/now").status_code == 303
        assert browser.log_in(name).status_code == 303


def test_a_session_of_the_proxy_ends_with_single_sign_on(
    engine: Engine, shared_servers: Servers
) -> None:
    """It began without a password and a code; turned on again, it is valid as before."""
    person(engine, Role.ADMIN, "Budi")
    settings = {"sso_header": HEADER, "sso_proxies": "127.0.0.1"}
    with serving(engine, shared_servers.own_redis(), **settings) as proxied:
        browser = Browser(proxied.url)
        opened(browser, "Budi", "/login")
        assert opened(browser, "Budi").status_code == 200
        cookies = dict(browser.session.cookies)
        browser.close()
    for on, status in ({}, 303), (settings, 200):
        with serving(engine, shared_servers.own_redis(), **on) as web:
            again = Browser(web.url)
            again.session.cookies.update(cookies)
            again.session.headers[HEADER] = "Budi"
            assert again.open("/now").status_code == status
            again.close()


def test_a_name_that_is_not_exactly_a_person_is_refused(engine: Engine, proxied: Web) -> None:
    """Other capitals, look-alikes, two names, a person who is disabled: 403, and no session."""
    person(engine, Role.ADMIN, "Ani")
    people.disable(engine.context, person(engine, Role.ADMIN, "Budi"), OPERATOR)
    wrong = (
        "ani", "ANI", "Ani,Ani", "Ani, Budi", "An\u0131", "A\u0301ni", "Ani\u200b", "Ani\u202e",
        "nobody", "Budi", "A" * 51, "%41ni", '"Ani"',
    )  # fmt: skip
    with browsing(proxied, "") as [browser]:
        for name in wrong:
            answer = opened(browser, name.encode())
            assert answer.status_code == 403, name
            assert "Set-Cookie" not in answer.headers
    assert engine.one("SELECT count(*) FROM console_sessions") == 0


def test_a_name_in_another_script_is_read_as_utf_8(engine: Engine, proxied: Web) -> None:
    """And bytes that are no UTF-8 are refused."""
    person(engine, Role.VIEWER, "Zoë 亜")
    with browsing(proxied, "") as [browser]:
        assert opened(browser, "Zoë 亜".encode()).status_code == 200
    with browsing(proxied, "") as [browser]:
        assert opened(browser, b"Zo\xeb").status_code == 403


def test_a_header_given_twice_or_spelled_otherwise_is_refused(engine: Engine, proxied: Web) -> None:
    """Two that agree too; underscores are never taken for it; capitals of the header are free."""
    person(engine, Role.ADMIN, "Ani")
    refused = (
        ((HEADER, "Ani"), (HEADER, "Ani")),
        ((HEADER, "Ani"), (HEADER.lower(), "Budi")),
        (("X_Remote_User", "Ani"),),
        ((HEADER, "Ani"), ("x_remote-user", "Budi")),
        ((HEADER, ""),),
    )
    for headers in refused:
        assert sent_raw(proxied, *headers).startswith(b"403 "), headers
    for name in (HEADER, HEADER.lower(), HEADER.upper()):
        found = sent_raw(proxied, (name, "Ani"))
        assert found.startswith(b"303 /console/login?next="), name
    assert engine.told("person.logged_in") == []


def test_a_planted_session_is_not_used(engine: Engine, proxied: Web) -> None:
    """Neither an attacker's own, nor one that was invented: the proxy's name gets a new one."""
    person(engine, Role.ADMIN, "Ani")
    person(engine, Role.VIEWER, "Eve")
    with browsing(proxied, "", "") as [attacker, victim]:
        assert opened(attacker, "Eve").status_code == 200
        planted = attacker.session.cookies["billing_session"]
        for cookie in (planted, "x" * 43):
            victim.session.cookies.clear()
            victim.session.cookies.set("billing_session", cookie)
            page = opened(victim, "Ani")
            assert "Ani" in text_of(page.text)
            assert "Eve" not in text_of(page.text)
            own = [each.value for each in victim.session.cookies if each.domain]
            assert cookie not in own[-1:]
        assert attacker.open("/now").status_code == 303


def test_another_person_at_the_same_browser_is_another_session(
    engine: Engine, proxied: Web
) -> None:
    """The proxy names somebody else: the earlier session ends, and its forms are out of date."""
    person(engine, Role.ADMIN, "Ani")
    person(engine, Role.VIEWER, "Eve")
    with browsing(proxied, "") as [browser]:
        opened(browser, "Ani")
        token = browser.token
        assert "viewer" in text_of(opened(browser, "Eve").text)
        answer = browser.send("/display", {"token": token, "language": "en"})
        assert answer.status_code == 403
    assert engine.one("SELECT count(*) FROM console_sessions") == 1


def test_a_log_out_says_that_the_proxy_still_knows_the_person(engine: Engine, proxied: Web) -> None:
    """The session has ended; a page that opened the next one at once would be no log-out."""
    person(engine, Role.ADMIN, "Ani")
    with browsing(proxied, "") as [browser]:
        opened(browser, "Ani")
        kept = browser.session.cookies["billing_session"]
        answer = browser.send("/logout", {})
        assert answer.status_code == 200
        assert "The proxy in front of it still knows you" in text_of(answer.text)
        assert "Log out" not in answer.text
        assert engine.one("SELECT count(*) FROM console_sessions") == 0
        browser.session.cookies.set("billing_session", kept)
        assert browser.open("/now").status_code == 303
        browser.session.cookies.clear()
        assert opened(browser, "Ani").status_code == 200


def test_a_person_who_is_disabled_is_out_at_once(engine: Engine, proxied: Web) -> None:
    """Although the proxy still sends the name."""
    name = person(engine, Role.ADMIN, "Ani")
    with browsing(proxied, "") as [browser]:
        assert opened(browser, "Ani").status_code == 200
        people.disable(engine.context, name, OPERATOR)
        answer = opened(browser, "Ani")
        assert answer.status_code == 403
        assert "You may not use this console" in text_of(answer.text)

"""The console: who may open what, and what an attacker can try."""

import re

import pytest
import requests

from billing.domain.events import OPERATOR
from billing.domain.people import ALLOWED, Role
from billing.services.operating import people
from billing.services.subscriptions import subscribing
from billing.web.console.app import HEADERS
from billing.web.console.routes import PAGES
from billing.web.console.static_files import NAMES
from tests.integration.console import PASSWORD, browsing, ids_of_rows, path_of, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web, serving

HOSTILE = "<script>alert(1)</script>"


def shown(answer: requests.Response) -> str:
    """The words of a page."""
    return text_of(answer.text)


def read(engine: Engine) -> dict[str, str]:
    """What the form of *Now* knows: since when charging is stopped."""
    at = engine.one("SELECT stopped_at FROM engine")
    return {"stopped_at": at.isoformat() if at else ""}


class TestAccess:
    """The matrix of roles and actions, over every route."""

    @pytest.mark.parametrize("role", Role)
    def test_every_route_obeys_the_matrix(self, engine: Engine, web: Web, role: Role) -> None:
        """A role that may not gets 403 and nothing is written; one that may gets an answer."""
        ids = ids_of_rows(engine)
        with browsing(web, person(engine, role)) as [browser]:
            for page in PAGES:
                if page.action is None:
                    continue
                before = engine.one("SELECT count(*) FROM events")
                token = browser.token
                if page.method == "GET":
                    answer = browser.open(path_of(page, ids))
                else:
                    answer = browser.send(path_of(page, ids), {"reason": "a test"} | read(engine))
                if role in ALLOWED[page.action]:
                    # A form without its other fields, a row that does not exist, or a refusal by
                    # the state, is no matter of access; a page without an id always answers.
                    plain = "{" not in page.path and "bulk" not in page.path
                    plain = plain and not page.path.endswith("/new")
                    answers = {200, 303} if plain else {200, 303, 404, 409, 422}
                    assert answer.status_code in answers, (page.path, answer.text)
                    assert "/login" not in answer.headers.get("Location", "")
                else:
                    assert answer.status_code == 403, page.path
                    assert "does not allow" in shown(answer)
                    assert engine.one("SELECT count(*) FROM events") == before
                browser.token = token

    def test_no_route_with_an_action_opens_without_a_session(
        self, engine: Engine, web: Web
    ) -> None:
        """A stranger, and who has an invented cookie, is led to the log-in; nothing is written."""
        for cookie in (None, "x" * 43):
            with browsing(web, "") as [browser]:
                if cookie:
                    browser.session.cookies.set("billing_session", cookie)
                for page in PAGES:
                    if page.action is None:
                        continue
                    answer = (
                        browser.open(path_of(page, {}))
                        if page.method == "GET"
                        else browser.send(path_of(page, {}), {"reason": "a test"})
                    )
                    assert answer.status_code == 303, page.path
                    assert answer.headers["Location"].startswith("/console/login?next=")
        assert engine.one("SELECT count(*) FROM events WHERE kind LIKE 'engine.charging%'") == 0

    @pytest.mark.parametrize(
        "path", ["//console/now", "/console//now", "/console/%6eow", "/console/./now",
                 "/Console/now", "/console/now/", "/console/x/../now", "/console/now;a"],
    )  # fmt: skip
    def test_no_way_of_writing_a_path_opens_a_page(self, web: Web, path: str) -> None:
        """Access belongs to the handler; a stranger sees neither a page nor an error."""
        request = requests.Request("GET", web.url).prepare()
        request.url = web.url + path
        with requests.Session() as session:
            answer = session.send(request, allow_redirects=False, timeout=20)
        assert answer.status_code in {303, 404}
        assert "data-stopped" not in answer.text

    def test_keys_and_sessions_open_only_their_own_door(self, engine: Engine, web: Web) -> None:
        """An API key is no person, and a session is no key."""
        client = web.client("admin")
        answer = client.send("GET", "/console/now", Accept="text/html")
        assert "/login" in answer.url
        with browsing(web, person(engine)) as [browser]:
            cookie = browser.session.cookies["billing_session"]
            answer = browser.session.get(f"{web.url}/v1/me", timeout=20)
            assert answer.status_code == 401
            assert web.stranger(cookie).send("GET", "/v1/me").status_code == 401

    def test_a_change_of_a_person_ends_the_visit(self, engine: Engine, web: Web) -> None:
        """The next page is the log-in, and the live part says 401."""
        name = person(engine)
        with browsing(web, name) as [browser]:
            people.disable(engine.context, name, OPERATOR)
            assert browser.open("/now").status_code == 303
            assert browser.open("/now?part=live").status_code == 401

    def test_the_first_address_leads_browsers_only(self, web: Web) -> None:
        """`/` is the console for a browser, and not there for a program with a key."""
        answer = requests.get(web.url + "/", headers={"Accept": "text/html"}, timeout=20)
        assert answer.url == f"{web.url}/console/login"
        assert "Log in" in answer.text
        as_program = requests.get(web.url + "/", headers={"Accept": "application/json"}, timeout=20)
        assert as_program.status_code == 404
        assert as_program.headers["Content-Type"] == "application/problem+json"


class TestLogin:
    """Beginning and ending a session."""

    def test_the_cookie_cannot_be_read_or_sent_by_others(self, engine: Engine, web: Web) -> None:
        """HttpOnly and SameSite; over https Secure and with the prefix __Host-."""
        name = person(engine)
        with browsing(web, "") as [browser]:
            plain = browser.log_in(name).headers["Set-Cookie"]
            assert plain.startswith("billing_session=")
            assert {"httponly", "samesite=lax", "path=/"} <= {
                each.strip().lower() for each in plain.split(";")
            }
            assert "domain" not in plain.lower()

    def test_a_log_in_gives_a_new_session_and_ends_the_old(self, engine: Engine, web: Web) -> None:
        """Nobody can choose the id with which another person works."""
        name = person(engine)
        with browsing(web, name, "") as [attacker, victim]:
            planted = attacker.session.cookies["billing_session"]
            victim.session.cookies.set("billing_session", planted)
            assert victim.log_in(name).status_code == 303
            own = [each.value for each in victim.session.cookies if each.domain]
            assert planted not in own[-1:]
            assert attacker.open("/now").status_code == 303

    def test_a_wrong_password_says_nothing_more(self, engine: Engine, web: Web) -> None:
        """The same page for a wrong name; the password is not repeated; then it is limited."""
        name = person(engine)
        with browsing(web, "") as [browser]:
            wrong = browser.log_in(name, "wrong password 1")
            unknown = browser.log_in("nobody", "wrong password 1")
            assert (wrong.status_code, unknown.status_code) == (401, 401)
            assert shown(wrong) == shown(unknown)
            assert "wrong password 1" not in wrong.text
            for _ in range(5):
                last = browser.log_in(name, "wrong password 1")
            assert (last.status_code, last.headers["Retry-After"]) == (429, "900")
            assert browser.log_in(name).status_code == 429

    def test_a_log_out_ends_the_session_for_good(self, engine: Engine, web: Web) -> None:
        """Also for who kept the cookie."""
        with browsing(web, person(engine)) as [browser]:
            kept = browser.session.cookies["billing_session"]
            assert browser.send("/logout", {}).headers["Location"] == "/console/login"
            browser.session.cookies.set("billing_session", kept)
            assert browser.open("/now").status_code == 303

    @pytest.mark.parametrize(
        "following", ["https://evil.example/", "//evil.example", "/\\evil.example", "/v1/me",
                      "/console/..//evil", "javascript:alert(1)", "/console/\r\nSet-Cookie: a=b"],
    )  # fmt: skip
    def test_a_log_in_leads_nowhere_else(self, engine: Engine, web: Web, following: str) -> None:
        """A link to the log-in cannot send a person to another site."""
        name = person(engine)
        with browsing(web, "") as [browser]:
            answer = browser.send("/login", {"name": name, "password": PASSWORD, "next": following})
            assert answer.headers["Location"] == "/console/now"

    def test_a_shared_link_opens_after_the_log_in(self, engine: Engine, web: Web) -> None:
        """The page that was asked for, with its parameters."""
        subscribing.create_customer(engine.context, "a/b c?d", name="Ani", by=OPERATOR)
        name = person(engine)
        with browsing(web, "") as [browser]:
            asked = browser.open("/customers/a%2Fb%20c%3Fd?x=1").headers["Location"]
            page = requests.Request("GET", web.url + asked).prepare().path_url
            form = browser.page(page.removeprefix("/console"))
            following = re.search(r'name="next" value="([^"]*)"', form)
            assert following
            answer = browser.send(
                "/login", {"name": name, "password": PASSWORD, "next": following[1]}
            )
            assert answer.headers["Location"] == "/console/customers/a%2Fb%20c%3Fd?x=1"
            assert browser.open(answer.headers["Location"].removeprefix("/console")).ok

    def test_only_a_trusted_proxy_says_where_a_person_comes_from(
        self, engine: Engine, redis_url: str
    ) -> None:
        """With its word the cookie is for https only, and failures are counted by address."""
        name = person(engine)
        told = {"X_Forwarded_Proto": "https", "X_Forwarded_For": "203.0.113.9"}
        form = {"name": name, "password": PASSWORD}
        with (
            serving(engine, redis_url) as plain,
            serving(engine, redis_url, trusted_proxies="127.0.0.1") as behind,
            browsing(plain, "") as [stranger],
            browsing(behind, "") as [browser],
        ):
            assert "Secure" not in stranger.send("/login", form, **told).headers["Set-Cookie"]
            cookie = browser.send("/login", form, **told).headers["Set-Cookie"]
            assert cookie.startswith("__Host-billing_session=")
            assert "Secure" in cookie
            value = cookie.partition(";")[0]
            opened = browser.open("/now", Cookie=value, **{"X-Forwarded-Proto": "https"})
            assert opened.status_code == 200
            assert browser.open("/now", Cookie=value).status_code == 303
            for _ in range(6):
                last = browser.send("/login", form | {"password": "wrong password"}, **told)
            assert last.status_code == 429
            told["X_Forwarded_For"] = "203.0.113.10"
            assert browser.send("/login", form, **told).status_code == 303


class TestForms:
    """Only a page of this console can send a form."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
            {"Sec_Fetch_Site": "none"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
            {"Origin": "", "Sec_Fetch_Site": ""}, {"Origin": "http://127.0.0.1:1"},
        ],
    )  # fmt: skip
    def test_a_form_of_another_site_does_nothing(
        self, engine: Engine, web: Web, headers: dict[str, str]
    ) -> None:
        """Even with the session's cookie and the right token."""
        with browsing(web, person(engine)) as [browser]:
            answer = browser.send("/charging/stop", {"reason": "csrf"}, **headers)
            assert answer.status_code == 403
            assert "did not come from this console" in shown(answer)
        assert engine.told("engine.charging_stopped") == []

    def test_a_log_in_from_another_site_does_nothing(self, engine: Engine, web: Web) -> None:
        """Nobody can log a person in as somebody else."""
        name = person(engine)
        with browsing(web, "") as [browser]:
            answer = browser.send(
                "/login", {"name": name, "password": PASSWORD}, Origin="https://evil.example"
            )
            assert answer.status_code == 403
        assert engine.told("person.logged_in") == []

    def test_a_token_belongs_to_one_session(self, engine: Engine, web: Web) -> None:
        """Without it, with an invented one, and with that of another session nothing happens."""
        with browsing(web, person(engine), person(engine, Role.OPERATOR)) as [mine, theirs]:
            for token in ("", "0" * 64, theirs.token, "\u00e9", mine.token[:-1]):
                answer = mine.send("/charging/stop", {"reason": "a test", "token": token})
                assert answer.status_code == 403
                mine.page("/now")
        assert engine.told("engine.charging_stopped") == []

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"reason=a&reason=b", "application/x-www-form-urlencoded"),
            (b"reason=%00", "application/x-www-form-urlencoded"),
            (b"reason=%ff", "application/x-www-form-urlencoded"),
            (b"\xff\xfe", "application/x-www-form-urlencoded"),
            (b"x=" + b"a" * 20_000, "application/x-www-form-urlencoded"),
            (b"&".join(b"f%d=1" % n for n in range(99)), "application/x-www-form-urlencoded"),
            (b'{"reason": "a"}', "application/json"),
            (b"--b\r\n\r\n--b--", "multipart/form-data; boundary=b"),
        ],
    )  # fmt: skip
    def test_a_broken_form_is_refused(
        self, engine: Engine, web: Web, body: bytes, kind: str
    ) -> None:
        """A page says so; nothing is written."""
        with browsing(web, person(engine)) as [browser]:
            answer = browser.session.post(
                f"{web.url}/console/charging/stop", data=body, allow_redirects=False, timeout=20,
                headers={"Content-Type": kind, "Origin": web.url},
            )  # fmt: skip
            assert answer.status_code == 400
            assert "could not be read" in shown(answer)
        assert engine.told("engine.charging_stopped") == []

    @pytest.mark.parametrize("reason", ["", "   ", "x" * 256, "a\u202eb", "a\nb"])
    def test_an_action_needs_a_readable_reason(self, engine: Engine, web: Web, reason: str) -> None:
        """A refusal is one clear line, and nothing is written."""
        with browsing(web, person(engine)) as [browser]:
            answer = browser.send("/charging/stop", {"reason": reason})
            assert answer.status_code == 409
            assert "the reason must" in shown(answer)
        assert engine.told("engine.charging_stopped") == []


class TestHeaders:
    """What every answer of the console carries."""

    def test_every_answer_has_the_headers_of_security(self, engine: Engine, web: Web) -> None:
        """Pages, refusals, redirects, files and what is not there."""
        assert "unsafe" not in HEADERS["Content-Security-Policy"]
        with browsing(web, person(engine)) as [browser]:
            answers = [
                browser.open(path)
                for path in ("/now", "/now?part=live", "/login", "/search", "/customers/none",
                             "/nothing", f"/static/{NAMES['console.css']}", "/")
            ]  # fmt: skip
            answers.append(browser.send("/charging/stop", {"token": "x"}))
            answers.append(browser.session.put(f"{web.url}/console/now", timeout=20))
        for answer in answers:
            assert HEADERS.items() <= answer.headers.items(), answer.url
            assert answer.headers["X-Request-Id"]
            if "/static/" not in answer.url:
                assert answer.headers["Cache-Control"] == "no-store"

    def test_no_page_has_a_script_or_a_style_of_its_own(self, engine: Engine, web: Web) -> None:
        """The policy would refuse them; and no page names another host."""
        subscribing.create_customer(engine.context, "c1", name="Ani", by=OPERATOR)
        with browsing(web, person(engine)) as [browser]:
            for path in ("/now", "/search", "/search?q=x", "/customers/c1", "/nothing"):
                text = browser.open(path).text
                assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", text)
                assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)

    def test_files_are_kept_for_ever_under_a_name_with_their_hash(self, web: Web) -> None:
        """Another content has another name; other names are not served."""
        for name, served in NAMES.items():
            answer = requests.get(f"{web.url}/console/static/{served}", timeout=20)
            assert answer.ok
            assert "immutable" in answer.headers["Cache-Control"]
            for other in (name, "..%2Fapp.py", served + "x"):
                wrong = requests.get(f"{web.url}/console/static/{other}", timeout=20)
                assert wrong.status_code == 404

"""The console: a walk over all pages: text that attacks stays text, and a page costs little.

The pages are opened once, in a console with something on every page (`console_world`); the tests
read what was answered.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest
import requests
from sqlalchemy import text

from billing.domain.people import ALLOWED, Role
from billing.sandbox.process import SandboxProcess
from billing.web.console.routes import PAGES
from tests.bench.plans import SMALL, caught, plan_of
from tests.integration import console_places, console_world
from tests.integration.console import Browser, browsing, hidden, text_of
from tests.integration.console_places import DECISIONS, LEADS_ON, SSO, Act, Stop, acts, stops
from tests.integration.console_reading import Reading
from tests.integration.console_world import World
from tests.integration.engine import Engine, running
from tests.integration.kept import Kept
from tests.integration.web import serving
from tests.servers import Servers

STATEMENTS_MAX = 12
"""Of a page, with the one that recognizes the session; settings of a transaction are none."""
INJECTED = "%0d%0aX-Injected:%201%0d%0a%0d%0a<script>"
HOSTILE = ("<script>alert", "<img", "onerror=alert(1)>", "<b>", console_world.TURNED[0],
           *console_world.TURNED[-5:-3])  # fmt: skip
"""What would act if one page wrote it as it is."""


class Visit(NamedTuple):
    """A page that was opened: what was answered, and the plans of the statements for it."""

    name: str
    wanted: int
    answer: requests.Response
    plans: list[list[str]]


class Walk(NamedTuple):
    """All pages that were opened, the forms that were sent, and the files."""

    world: World
    pages: list[Visit]
    forms: list[Visit]
    files: list[requests.Response]
    injections: list[requests.Response]


PREVIEWS = {"approval-to-decline", "approval-to-withdraw"}
"""Pages of requests, which run the action and undo it: what would happen now."""


@pytest.fixture(scope="module")
def walk(
    _kept: Kept, gateway: SandboxProcess, shared_servers: Servers, _admin: psycopg.Connection
) -> Iterator[Walk]:
    """Build the world, and open everything once."""
    _kept.empty()
    with running(_kept, gateway) as engine:
        world, redis = console_world.build(engine), shared_servers.own_redis()
        with (
            serving(engine, redis) as web, serving(engine, redis, **SSO) as behind,
            browsing(web, world.person, "") as [browser, stranger],
            browsing(behind, "") as [unknown],
        ):  # fmt: skip
            pages = [_visited(engine, browser, each) for each in _stops(world)]
            pages.append(_visited(engine, stranger, Stop("login", "/login")))
            pages += _signed_on(unknown)
            forms = [each for act in acts() for each in _sent(engine, browser, world, act)]
            forms += [_undecided(browser, world, each) for each in DECISIONS]
            files = [browser.open(f"/export/{kind}") for kind in console_places.LISTS]
            yield Walk(world, pages, forms, files, list(_injected(browser)))


def _stops(world: World) -> Iterator[Stop]:
    yield from stops(world.ids)
    yield from console_places.requests(world)
    for path in LEADS_ON:
        yield Stop(path, console_places.filled(path, world.ids), 303)


def _signed_on(unknown: Browser) -> Iterator[Visit]:
    """Read what single sign-on says: past the proxy, to a person of the proxy only, and at the end.

    The name that the proxy gives is text from outside.
    """
    yield Visit("past the proxy", 403, unknown.open("/login"), [])
    yield Visit("logged out", 200, unknown.send("/logout", {}), [])
    unknown.session.headers[SSO["sso_header"]] = console_places.NOBODY
    yield Visit("nobody", 403, unknown.open("/login"), [])


def _undecided(browser: Browser, world: World, decision: console_places.Decision) -> Visit:
    """Send a form without its reason: the page again, with one line at the field."""
    page, path = decision.at(world)
    answer = browser.send(path, {**hidden(browser.page(page)), "reason": ""})
    return Visit(f"{page} {decision.word}", 422, answer, [])


def _visited(engine: Engine, browser: Browser, stop: Stop) -> Visit:
    with caught(engine.context.database._engine) as sent:
        answer = browser.open(stop.path)
    with engine.undone() as connection:  # explained as if each table were large
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [plan_of(connection, each) for each in sent]
    return Visit(stop.name, stop.status, answer, plans)


def _sent(engine: Engine, browser: Browser, world: World, act: Act) -> Iterator[Visit]:
    """Open a form, send it without its reason, and whole: the preview; nothing is done yet.

    A form without fields is its preview, and asks for the reason there.
    """
    path = act.at(world)
    visit = _visited(engine, browser, Stop(act.name, path))
    yield visit if act.fields or act.is_order else visit._replace(plans=[])
    refused = 200 if act.is_order or not act.fields else 422
    for reason, status in (("", refused), (console_world.TAG, 200)):
        answer = browser.send(path, {**act.fields, "reason": reason})
        yield Visit(f"{act.name} {reason}", status, answer, [])


def _injected(browser: Browser) -> Iterator[requests.Response]:
    """Put the end of a header where an answer could repeat it."""
    for path in (f"/search?q={INJECTED}", f"/customers/{INJECTED}", f"/charges?customer={INJECTED}",
                 f"/export/charges?customer={INJECTED}", f"/export/customers?from={INJECTED}",
                 f"/attention?cause={INJECTED}", f"/attention/bulk?kind={INJECTED}",
                 f"/ahead?day={INJECTED}", f"/invoices/{INJECTED}", f"/now?done={INJECTED}",
                 ):  # fmt: skip
        yield browser.open(path)
    for back in ("/console/now\r\nX-Injected: 1", "/console/\u202ex", "//evil.example"):
        yield browser.send("/display", {"language": back, "timezone": back, "back": back})


def test_every_page_has_its_rows(walk: Walk) -> None:
    """Each route is walked with a row of its own, and each page answers what it should."""
    wrong = {each.name: each.answer.status_code for each in walk.pages + walk.forms
             if each.answer.status_code != each.wanted}  # fmt: skip
    assert wrong == {}


def test_every_route_is_walked(walk: Walk) -> None:
    """A page that no stop opens would escape every test here; a new one joins by one line."""
    gets = [page.path for page in PAGES if page.method == "GET"]
    asked = [each.answer.request.path_url for each in (*walk.pages, *walk.forms)]
    asked += [each.request.path_url for each in walk.files]
    opened = {_route_of(gets, path.partition("?")[0].removeprefix("/console")) for path in asked}
    assert set(gets) - opened == set()


def test_every_page_is_within_two_clicks_from_now(walk: Walk) -> None:
    """What a page has no row for in its address is a link on Now, or on a page that Now links to.

    The menu More opens without leaving the page.
    """
    pages = {each.answer.request.path_url: Reading(each.answer.text) for each in walk.pages}
    first = {link.partition("?")[0] for _, link in pages["/console/now"].links}
    second = {link.partition("?")[0] for path in first if path in pages
              for _, link in pages[path].links}  # fmt: skip
    gets = [page.path for page in PAGES if page.method == "GET" and page.action is not None]
    shown = {f"/console{path}" for path in gets if "{" not in path}
    assert shown - first - second == BY_A_ROW


BY_A_ROW = {"/console/attention/bulk"}
"""Pages for chosen rows only."""


def _route_of(routes: list[str], path: str) -> str | None:
    """The first route that has this path, as the application finds it."""
    for route in routes:
        wanted = re.sub(r"\\\{\w+:path\\\}", ".+", re.escape(route))
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", wanted), path):
            return route
    return None


def test_every_form_is_walked() -> None:
    """A new action joins `console_places.acts` or `DECISIONS` by one line, or `OTHER_FORMS`."""
    known = console_places.FORMS | console_places.OTHER_FORMS
    assert {page.path for page in PAGES if page.method == "POST"} == known


def test_text_that_attacks_stays_text(walk: Walk) -> None:
    """On every page: the console's own script only, no handler, no tag and no mark of a person."""
    for name, _, answer, _ in walk.pages + walk.forms:
        if answer.status_code == 303:
            continue
        read = Reading(answer.text)
        scripts = [found for tag, found in read.tags if tag == "script"]
        assert [each.keys() for each in scripts] == [{"type", "src"}], name
        assert scripts[0]["src"].startswith("/console/static/"), name
        made = {tag for tag, _ in read.tags} & {"img", "b", "i", "iframe", "object", "style"}
        assert made == set(), name
        handlers = [found for _, found in read.tags if any(key.startswith("on") for key in found)]
        assert handlers == [], name
        assert [mark for mark in HOSTILE if mark in answer.text] == [], name
        places = [found.get("href", found.get("action", "/")) for _, found in read.tags]
        assert [each for each in places if not re.match(r"(/console(/|$)|/$|#|\?)", each)] == []


def test_hostile_names_are_shown_nevertheless(walk: Walk) -> None:
    """They are seen as what they are: a tag as its letters, a mark by its code, emoji as emoji."""
    said = {each.name: text_of(each.answer.text) for each in walk.pages}
    for name in ("customers-x", "search-many", "invoices-x", "subscriptions-x"):
        assert "<img src=x onerror=alert(1)>" in said[name], name
    assert console_world.EMOJI in said["customers"]
    assert "\\u202eabc\\u2066\\u200fdef" in said["customers"]
    assert "W" * 50 in said["customer-hostile"]


def test_nothing_ends_a_header(walk: Walk) -> None:
    """No text of a filter reaches the name of a file; a line end is refused."""
    for answer in walk.files:
        kind = answer.request.path_url.rpartition("/")[2]
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{kind}.csv"'
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert list(csv.reader(io.StringIO(answer.text)))
    for answer in walk.injections:
        assert "X-Injected" not in answer.headers, answer.request.url
        assert answer.status_code < 500, answer.request.url
        assert "<script>alert" not in answer.text
        assert answer.headers.get("Location", "/console/").startswith("/console/")
        assert "filename" not in answer.headers.get("Content-Disposition", "")


def test_a_page_needs_few_statements(walk: Walk) -> None:
    """At most 12, with the one for the session, however much is on it, besides a preview's."""
    counts = {
        each.name: sum(map(bool, each.plans))
        for each in walk.pages + walk.forms
        if each.name not in PREVIEWS
    }
    assert {name: count for name, count in counts.items() if count > STATEMENTS_MAX} == {}
    assert counts["now"] > 1


def test_no_page_scans_a_table_that_grows(walk: Walk) -> None:
    """Each statement finds its rows by an index."""
    found = {
        (each.name, table)
        for each in walk.pages + walk.forms
        for plan in each.plans
        for line in plan
        for table in re.findall(r"Seq Scan on (\w+)", line)
        if table not in SMALL
    }
    assert found == set()


def test_an_administrator_may_do_everything() -> None:
    """So that one person's walk is one over all pages."""
    assert all(Role.ADMIN in roles for roles in ALLOWED.values())

"""The console: lists by filters, their pages, and files of exactly what is filtered."""

import csv
import io
import re
from html import unescape
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
import requests

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.reading import filtered
from billing.services.subscriptions import subscribing
from billing.web import problems
from billing.web.console.filtering import Kind
from billing.web.console.pages import lists
from tests.integration.console import Browser, browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

HOSTILE = "<script>alert(1)</script>"


def ids(page: str) -> list[str]:
    """The ids of the rows of a list, in their order."""
    return re.findall(r"<td><a href=\"/console/[a-z]+/([0-9a-f-]{36})\"", page)


def rows_of(engine: Engine, table: str, condition: str = "true") -> set[str]:
    """The ids of the rows of a table."""
    return {str(row["id"]) for row in engine.rows(f"SELECT id FROM {table} WHERE {condition}")}


def link(page: str, words: str) -> str:
    """The address of a link, within the console."""
    found = re.search(rf'href="/console([^"]*)"[^>]*>{re.escape(words)}<', page)
    assert found, words
    return unescape(found[1])


def file(browser: Browser, path: str) -> list[list[str]]:
    """The cells of a file."""
    answer = browser.open(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.content.decode())))


@pytest.fixture
def lived(engine: Engine) -> Engine:
    """A paid customer, one that is declined, one without a wallet, and two plans."""
    engine.begun(amount=50_000)
    engine.plan("Q", amount=70_000)
    engine.subscribe(engine.customer(cash=10_000), "Q")
    engine.run()
    engine.subscribe(engine.customer(linked=False))
    return engine


def test_each_filter_shows_exactly_its_rows(lived: Engine, web: Web) -> None:
    """By customer, plan, status and dates; what is on the page is what SQL finds."""
    [customer] = {
        row["customer_id"]
        for row in lived.rows("SELECT customer_id FROM charges WHERE status = 'declined'")
    }
    asked = {
        "/subscriptions": ("subscriptions", "true"),
        "/subscriptions?status=pending": ("subscriptions", "status = 'pending'"),
        "/subscriptions?plan=Q": ("subscriptions", "plan_code = 'Q'"),
        "/invoices?status=open": ("invoices", "status = 'open'"),
        "/invoices?plan=P&status=paid": ("invoices", "status = 'paid'"),
        f"/invoices?customer={customer}": ("invoices", f"customer_id = '{customer}'"),
        "/charges?status=declined": ("charges", "status = 'declined'"),
        "/charges?from=2020-01-01&to=2021-01-01": ("charges", "false"),
        "/charges?from=2020-01-01&to=2099-01-01": ("charges", "true"),
        "/refunds": ("refunds", "true"),
    }
    with browsing(web, person(lived, Role.VIEWER)) as [browser]:
        for path, (table, condition) in asked.items():
            found = ids(browser.page(path))
            assert len(found) == len(set(found))
            assert set(found) == rows_of(lived, table, condition), path
        said = text_of(browser.page("/customers"))
        assert all(row["id"] in said for row in lived.rows("SELECT id FROM customers"))
        assert "No row fits this filter." in text_of(browser.page("/charges?status=unknown"))
        assert "None yet." in text_of(browser.page("/refunds"))


def test_pages_follow_each_other_without_a_gap(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Next leads to the following rows with the same filter, and first back to the beginning."""
    monkeypatch.setattr(lists, "PAGE", 2)
    engine.plan()
    made = [str(engine.subscribe(engine.customer(linked=False))) for _ in range(5)]
    with browsing(web, person(engine)) as [browser]:
        page, seen = browser.page("/subscriptions?plan=P&status=pending"), []
        for _ in range(2):
            seen += ids(page)
            page = browser.page(link(page, "Next page"))
        seen += ids(page)
        assert sorted(seen) == sorted(made)
        assert "This is the last page." in text_of(page)
        assert ids(browser.page(link(page, "First page"))) == seen[:2]


def test_a_wrong_filter_is_refused_at_its_field(lived: Engine, web: Web) -> None:
    """422, the form with what was typed, one line, and no rows."""
    wrong = {
        "/invoices?from=yesterday": ("from", "This is no date"),
        "/invoices?from=0001-01-01": ("from", "This is no date"),
        "/invoices?from=2026-02-01&to=2026-01-01": ("from", "must be before its end"),
        "/invoices?customer=nobody": ("customer", "nobody"),
        "/subscriptions?plan=nothing": ("plan", "no plan has the code"),
        "/charges?status=good": ("status", "This status does not exist."),
        f"/charges?customer={'x' * 51}": ("customer", "at most 50 characters"),
    }
    with browsing(web, person(lived)) as [browser]:
        for path, (field, line) in wrong.items():
            for place in (path, f"/export{path}"):
                answer = browser.open(place)
                assert answer.status_code == 422, place
                assert re.search(rf'id="wrong-{field}"[^>]*>[^<]*{line}', answer.text), place
                assert ids(answer.text) == []
        for path in ("/charges?after=x", "/charges?of=due&at=2026-01-01", "/charges?of=unresolved"):
            answer = browser.open(path)
            assert answer.status_code == 422
            assert 'role="alert"' in answer.text
        for name in ("100%", "%(x)s", "%s"):
            answer = browser.open(f"/charges?{urlencode({'customer': name})}")
            assert answer.status_code == 422
            assert name in text_of(answer.text)
        assert HOSTILE not in browser.open(f"/charges?customer={HOSTILE}&from={HOSTILE}").text


@pytest.mark.parametrize("kind", Kind)
def test_a_file_has_exactly_the_rows_of_the_filter(lived: Engine, web: Web, kind: Kind) -> None:
    """The same rows as the table, for finance; a viewer has neither the link nor the file."""
    with browsing(web, person(lived, Role.FINANCE), person(lived, Role.VIEWER)) as [browser, other]:
        page = browser.page(f"/{kind}")
        if f"/console/export/{kind}" in page:
            [names, *cells] = file(browser, link(page, "All of these rows as a CSV file"))
            assert names[0] == "id"
            assert {row[0] for row in cells} == rows_of(lived, kind)
        else:
            assert rows_of(lived, kind) == set()
        assert "/console/export" not in other.page(f"/{kind}")
        assert other.open(f"/export/{kind}").status_code == 403


def test_a_file_has_semicolons_if_they_are_asked_for(lived: Engine, web: Web) -> None:
    """For a spreadsheet with Indonesian settings; the cells are the same."""
    with browsing(web, person(lived)) as [browser]:
        words = "with semicolons, for a spreadsheet in Indonesian"
        address = link(browser.page("/customers"), words)
        found = browser.open(address).text
        usual = browser.open("/export/customers").text
    cells = [list(csv.reader(io.StringIO(t), delimiter=d)) for t, d in ((found, ";"), (usual, ","))]
    assert cells[0] == cells[1]
    assert len(cells[0][0]) > 1


def test_a_file_that_breaks_off_logs_no_value_of_a_row(
    lived: Engine, web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees that it is not whole; the log has the class of the error and its place."""
    rows = iter(range(3))

    def broken(value: object) -> str:
        if next(rows, None) is None:
            raise ValueError("the name of a person")
        return "x" * 70_000

    monkeypatch.setattr(filtered, "cell", broken)
    caplog.set_level("DEBUG")
    lines: list[dict[str, object]] = []
    logger = SimpleNamespace(error=lambda event, **data: lines.append({"event": event, **data}))
    monkeypatch.setattr(problems, "log", logger)
    with browsing(web, person(lived)) as [browser], pytest.raises(requests.RequestException):
        browser.open("/export/customers")
    [line] = lines
    assert (line["event"], line["error"]) == ("web.broken_off", "ValueError")
    assert "the name of a person" not in f"{lines}{caplog.text}"


def test_a_file_is_limited_and_says_so(lived: Engine) -> None:
    """The last line says that there are more; a file that fits has no such line."""
    database = lived.context.database
    wanted = filtered.CustomerFilter()
    whole = list(filtered.file_of(database, wanted, rows_max=3))
    assert len(whole) == 4
    assert list(filtered.file_of(database, wanted, rows_max=2)) == [*whole[:3], [filtered.CUT]]


@pytest.mark.parametrize("name", ["=1+1", "+62", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(engine: Engine, web: Web, name: str) -> None:
    """A name that a spreadsheet would compute gets an apostrophe."""
    subscribing.create_customer(engine.context, "c1", name=name, by=OPERATOR)
    with browsing(web, person(engine)) as [browser]:
        [_, row] = file(browser, "/export/customers")
    assert row[1] == f"'{name}"


def test_no_part_of_a_cell_is_a_formula(engine: Engine, web: Web) -> None:
    """A spreadsheet that divides at semicolons finds none in the middle of a name."""
    subscribing.create_customer(engine.context, "c1", name="x;=HYPERLINK(1);y", by=OPERATOR)
    with browsing(web, person(engine)) as [browser]:
        [_, row] = file(browser, "/export/customers")
    assert row[1] == "x;'=HYPERLINK(1);y"


def test_a_date_is_one_of_the_viewer(lived: Engine, web: Web) -> None:
    """Midnight in the chosen zone; an instant with an offset is the same for everyone."""
    lived.execute("UPDATE customers SET created_at = '2026-01-31T20:00:00Z'")
    with browsing(web, person(lived)) as [browser]:
        for zone, count in (("UTC", 0), ("Asia/Jakarta", 3)):
            browser.send("/display", {"language": "en", "timezone": zone})
            rows = browser.page("/customers?from=2026-02-01").count("<tr><td>")
            assert rows == count
            page = browser.page("/customers?from=2026-01-31T19:59:00%2B00:00")
            assert page.count("<tr><td>") == 3

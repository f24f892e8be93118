"""After any past every number of the pages without a customer equals the rows, and leads to them.

Activity, Failures, Catalogue, Webhooks, Access, Approvals, and today by hour. The numbers are found
a second time by SQL of the test.
"""

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.sandbox.process import SandboxProcess
from tests.integration.console import Browser, browsing, text_of
from tests.integration.console_reading import Reading, number
from tests.integration.engine import Engine, Row, running
from tests.integration.kept import Kept
from tests.integration.receiver import Receiver, receiving
from tests.integration.test_web_console_webhooks import walked
from tests.integration.web import Web, serving
from tests.property.console_past import LIMITS, Past, Step, steps
from tests.property.test_conservation import QUICKLY
from tests.property.test_console_numbers import amounts_of, listed
from tests.servers import Servers

HOME = ZoneInfo("Asia/Jakarta")
DAY = timedelta(days=1)
GROUPS = {
    "customers": ("customer", "wallet"), "subscriptions": ("subscription", "period"),
    "invoices": ("invoice", "dunning"), "charges": ("charge",), "refunds": ("refund", "credit"),
    "catalogue": ("plan", "coupon"), "access": ("key", "person"), "approvals": ("approval",),
    "webhooks": ("webhook",),
}  # fmt: skip
"""Which kinds of events belong together, by their first word; written down a second time."""
MACHINES = ("scheduler", "gateway")
SETTLED = """
    SELECT e.id, e.kind, CAST(e.at AT TIME ZONE 'Asia/Jakarta' AS date) AS day, c.amount,
        coalesce(e.data->>'fault', 'other') AS fault, coalesce(e.data->>'code', '') AS code,
        (SELECT count(*) FROM events d WHERE d.invoice_id = e.invoice_id
            AND d.kind = 'charge.declined' AND d.id < e.id AND c.attempt > 1) > 0 AS is_again
    FROM events e JOIN charges c ON c.id = e.charge_id
    WHERE e.kind IN ('charge.succeeded', 'charge.declined') AND e.at >= :since"""
HOURS = """
    SELECT date_trunc('hour', e.at) AS hour, e.kind, count(*) AS events,
        CAST(sum(coalesce(c.amount, CAST(e.data->>'amount' AS bigint))) AS bigint) AS amount
    FROM events e LEFT JOIN charges c ON c.id = e.charge_id AND e.kind = 'charge.succeeded'
    WHERE e.kind IN ('charge.succeeded', 'charge.declined', 'refund.succeeded')
    AND e.at >= :since GROUP BY 1, 2"""
EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "3"))
few = settings(
    max_examples=EXAMPLES, deadline=None, phases=QUICKLY,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with receiving() as made:
        yield made


@pytest.fixture
def shop(emptied: Kept, gateway: SandboxProcess, shared_servers: Servers) -> Iterator[Web]:
    """The console of an engine with limits, which may send to this machine."""
    with (
        running(emptied, gateway, webhook_allowed_hosts="127.0.0.1", **LIMITS) as engine,
        serving(engine, shared_servers.own_redis()) as made,
    ):
        engine.audited = False  # dead ends are meant here
        yield made


@pytest.mark.timeout(120 + 30 * EXAMPLES)
@few
@given(done=steps, days=st.sampled_from([7, 30, 90]), chosen=st.integers(0, 99))
def test_every_number_of_a_past_equals_the_rows(
    shop: Web, receiver: Receiver, done: list[Step], days: int, chosen: int
) -> None:
    """Each count is that of the rows, and each link leads to as many."""
    engine = shop.engine
    past = Past(engine, receiver)
    past.lived(done)
    with browsing(shop, past.people[0].name) as [browser]:
        check_hours(engine, browser)
        check_failures(engine, browser, days)
        check_catalogue(engine, browser)
        check_webhooks(engine, browser)
        check_access(engine, browser)
        check_approvals(engine, browser)
        check_activity(engine, browser, chosen)


def check_hours(engine: Engine, browser: Browser) -> None:
    """Charges, declines and refunds of each hour, beside those of other days, with their rows."""
    read = Reading(browser.page("/now"))
    today = datetime.combine(engine.now.astimezone(HOME).date(), datetime.min.time(), HOME)
    found = {
        (row["hour"], row["kind"]): (row["events"], row["amount"] or 0)
        for row in engine.rows(HOURS, since=today - 7 * DAY)
    }
    table = read.tables["hours"]
    for place, row in enumerate(table.rows[:-1]):
        at = today + timedelta(hours=place)

        def of(kind: str, at: datetime = at) -> tuple[int, int]:
            return found.get((at, kind), (0, 0))

        charged = of("charge.succeeded")
        wanted = [
            charged[0], charged[1], of("charge.declined")[0], of("refund.succeeded")[1],
            of("charge.succeeded", at - DAY)[1], of("charge.succeeded", at - 7 * DAY)[1],
        ]  # fmt: skip
        assert [cell.number for cell in row.cells[1:]] == wanted
        for cell, is_count in zip(row.cells[1:], (1, 0, 1, 0, 0, 0), strict=True):
            if not cell.number:
                assert cell.links == []
                continue
            [link] = cell.links
            kind = link.removeprefix("/console/").partition("?")[0]
            rows = amounts_of(browser, link.removeprefix("/console"), kind)
            assert cell.number == (len(rows) if is_count else sum(rows)), link
    whole = sum(amount for (at, kind), (_, amount) in found.items()
                if kind == "charge.succeeded" and at >= today)  # fmt: skip
    assert table.rows[-1].cells[2].number == whole
    pending = engine.one(
        "SELECT count(*) FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id"
        " WHERE d.status = 'pending' AND e.deleted_at IS NULL"
    )
    figure = read.figures["Webhook deliveries to send"]
    assert int(figure.value.replace(",", "")) == pending
    there = Reading(browser.page(figure.link.removeprefix("/console"))).tables.get("Endpoints")
    assert sum(there.numbers("Pending") if there else []) == pending


def check_failures(engine: Engine, browser: Browser, days: int) -> None:
    """The sums, the table of causes and of days, retries, and what stays unpaid."""
    page = browser.page(f"/failures?days={days}")
    causes, whole = Reading(page.partition("<details>")[0]), Reading(page)
    first = engine.now.astimezone(HOME).date() - (days - 1) * DAY
    since = datetime.combine(first, datetime.min.time(), HOME)
    rows = engine.rows(SETTLED, since=since)
    declined = [row for row in rows if row["kind"] == "charge.declined"]
    charged = [row for row in rows if row["kind"] == "charge.succeeded"]
    again = [row for row in rows if row["is_again"]]
    paid = [row for row in again if row["kind"] == "charge.succeeded"]
    for name, found in (("Declined", declined), ("Charged", charged)):
        assert number(whole.figures[name].value) == len(found), name
        assert number(whole.figures[name].note) == amount(found)
    assert number(whole.figures["Paid after a decline"].value) == amount(paid)
    assert number(whole.figures["Paid after a decline"].note) == len(paid)
    others = engine.rows(
        """SELECT kind, count(*) AS events,
            CAST(sum(CAST(coalesce(data->>'shortfall', data->>'amount') AS bigint)) AS bigint)
                AS amount FROM events WHERE at >= :since AND kind IN (
            'invoice.short', 'dunning.step_missed') GROUP BY 1""",
        since=since,
    )
    given_up = engine.rows(
        """SELECT e.invoice_id, CAST(e.data->>'amount' AS bigint) AS amount FROM events e
        WHERE e.at >= :since AND e.kind = 'invoice.uncollectible' AND NOT EXISTS (
            SELECT 1 FROM events later WHERE later.invoice_id = e.invoice_id AND later.id > e.id
            AND later.kind = e.kind)""",
        since=since,
    )
    by_kind = {row["kind"]: row for row in others}
    none = {"events": 0, "amount": 0}
    short = by_kind.get("invoice.short", none)
    figure = whole.figures["Became uncollectible"]
    assert (number(figure.value), number(figure.note)) == (len(given_up), amount(given_up))
    figure = whole.figures["Balance too low, nothing sent"]
    assert (number(figure.value), number(figure.note)) == (short["events"], short["amount"])
    figure = whole.figures["Steps that passed without an attempt"]
    assert number(figure.value) == by_kind.get("dunning.step_missed", none)["events"]
    if declined:
        check_declines(browser, causes, whole, declined)
    if again:
        table = whole.tables["steps"]
        assert (sum(table.numbers("Tried")) // 2, sum(table.numbers("Paid")) // 2) == (
            len(again), len(paid),
        )  # fmt: skip
    follow_all(browser, whole)


def check_declines(browser: Browser, causes: Reading, whole: Reading, declined: list[Row]) -> None:
    """Declines by class and code, and by day, each with the list of its charges."""
    table = causes.tables["causes"]
    assert sum(table.numbers("Declines")) == len(declined)
    assert sum(table.numbers("Rupiah")) == amount(declined)
    for row in table.rows:
        code = row.cells[1].text.replace("–", "")
        mine = [each for each in declined if each["code"] == code]
        assert row.cells[2].number <= len(mine)
    of_days = whole.tables["causes"]
    for row in of_days.rows:
        mine = [each for each in declined if str(each["day"]) == row.cells[0].text]
        assert row.cells[of_days.heads.index("Declines")].number == len(mine)
    assert sum(of_days.numbers("Declines")) == len(declined)


def amount(rows: list[Row]) -> int:
    """The rupiah of charges."""
    return sum(row["amount"] for row in rows)


def follow_all(browser: Browser, read: Reading) -> None:
    """Each number that is a link to a list leads to as many rows."""
    for said, link in set(read.links):
        if re.fullmatch(r"[\d,]+", said) and "?" in link:
            assert listed(browser, link) == number(said), link


def check_catalogue(engine: Engine, browser: Browser) -> None:
    """The plans and coupons on offer, and how many use them."""
    read = Reading(browser.page("/catalogue?status=all"))
    running_on = counts(
        engine, "SELECT plan_code AS name FROM subscriptions WHERE ended_at IS NULL"
    )
    table = read.tables["plans"]
    for row in table.rows:
        code = row.cells[0].text.partition(" ")[0]
        cell = row.cells[table.heads.index("Running subscriptions")]
        assert cell.number == running_on.get(code, 0), code
        [link] = cell.links
        assert listed(browser, link) == cell.number
    used = counts(
        engine, "SELECT data->>'coupon' AS name FROM events WHERE kind = 'coupon.redeemed'"
    )
    most = {row["code"]: row for row in engine.rows("SELECT * FROM coupons")}
    table = read.tables["coupons"]
    for row in table.rows:
        code = row.cells[0].text.partition(" ")[0]
        left = row.cells[table.heads.index("Left")].text
        assert row.cells[table.heads.index("Used")].number == used.get(code, 0), code
        limit = most[code]["redeemed_max"]
        if limit is not None and most[code]["archived_at"] is None:
            assert number(left) == limit - used.get(code, 0)


def counts(engine: Engine, statement: str, **values: Any) -> dict[str, int]:
    """How often each name is in the rows of a statement."""
    whole = f"SELECT name, count(*) FROM ({statement}) AS named GROUP BY 1"
    return {row["name"]: row["count"] for row in engine.rows(whole, **values)}


def check_webhooks(engine: Engine, browser: Browser) -> None:
    """Deliveries of each endpoint by state, on both pages, each with its rows."""
    page = browser.page("/webhooks")
    stored = engine.rows("SELECT * FROM webhook_endpoints WHERE deleted_at IS NULL")
    table = Reading(page).tables.get("Endpoints")
    assert len(table.rows if table else []) == len(stored)
    for row in table.rows if table else []:
        [address, *_] = row.cells[0].links
        path = address.removeprefix("/console")
        states = counts(
            engine, "SELECT status AS name FROM webhook_deliveries"
            " WHERE endpoint_id = CAST(:id AS uuid)", id=path.rpartition("/")[2],
        )  # fmt: skip
        assert table is not None
        for head in ("Pending", "Failed"):
            cell = row.cells[table.heads.index(head)]
            assert cell.number == states.get(head.lower(), 0)
            assert [f"{address}?status={head.lower()}"] * bool(cell.number) == list(cell.links)
        one = browser.page(path)
        for status, count in re.findall(r'\?status=(\w+)"[^>]*>\D*([\d,]+)</a>', one):
            assert number(count) == states.get(status, 0)
            assert len(walked(browser, f"{path}?status={status}")) == states.get(status, 0)
        assert len(walked(browser, path)) == sum(states.values())


def check_access(engine: Engine, browser: Browser) -> None:
    """People who may log in, those without a second factor, sessions, and keys that are valid."""
    page = browser.page("/access")
    read, said = Reading(page), text_of(page)
    rows = engine.rows("SELECT * FROM people")
    able = [row for row in rows if row["disabled_at"] is None]
    plain = [row for row in able if row["factor_sealed"] is None]
    keys = engine.rows("SELECT * FROM api_keys")
    valid = [row for row in keys if row["revoked_at"] is None
             and (row["expires_at"] is None or row["expires_at"] > engine.now)]  # fmt: skip
    sentences = [
        (able, "person may log in", "people may log in"),
        (valid, "API key is valid", "API keys are valid"),
        (plain, "person logs in with the password only", "people log in with the password only"),
    ]
    for found, one, many in sentences:
        if found or found is not plain:
            assert f" {len(found):,} {one if len(found) == 1 else many}." in f" {said}"
    table = read.tables["people"]
    assert len(table.rows) == len(rows)
    begun = counts(
        engine, "SELECT p.name FROM console_sessions s JOIN people p ON p.id = s.person_id"
    )
    for row in table.rows:
        cell = row.cells[table.heads.index("Sessions")]
        name = row.cells[0].text.removesuffix(" you")
        assert cell.number == begun.get(name, 0)
        if cell.number:
            [link] = cell.links
            there = Reading(browser.page(link.partition("#")[0].removeprefix("/console")))
            assert len(there.tables["sessions"].rows) == cell.number
    assert len(read.tables["keys"].rows if keys else []) == len(keys)


def check_approvals(engine: Engine, browser: Browser) -> None:
    """What waits and what has ended, with rupiah; Now and Attention count the same."""
    page = browser.page("/approvals")
    read, said = Reading(page), text_of(page)
    opened = "SELECT * FROM approvals WHERE status = 'open' AND ends_at > :now"
    waiting = {str(row["id"]): row for row in engine.rows(opened, now=engine.now)}
    ended = engine.one(
        "SELECT count(*) FROM approvals WHERE status <> 'open' OR ends_at <= :now", now=engine.now
    )
    table = read.tables.get("Requests that wait")
    rows = table.rows if table else []
    current = 0
    assert len(rows) == len(waiting)
    for row in rows:
        [link] = row.cells[0].links
        found = waiting[link.rpartition("/")[2]]
        assert (row.cells[1].number if found["amount"] else 0) == found["amount"]
        there = browser.page(link.removeprefix("/console"))
        is_current = "has changed" not in row.cells[0].text
        current += is_current
        may_be = "It cannot be approved any more" not in text_of(there)
        assert is_current or not may_be
        if found["kind"] == "refund":  # what a cancellation returns changes by time alone, too
            assert is_current == may_be
        if found["kind"] == "bulk":
            assert len(Reading(there).tables["rows"].rows) == found["rows_count"]
            assert number(Reading(there).figures["Rows"].value) == found["rows_count"]
    assert len(read.tables["ended"].rows if ended else []) == min(ended, 50)
    for path in ("/approvals", "/now", "/attention"):
        told = re.search(r"([\d,]+) requests? waits?", text_of(browser.page(path)))
        assert (number(told[1]) if told else 0) == current, path
    for path in ("/approvals", "/activity"):
        told = re.search(r'Approvals <span class="waits">([\d,]+)<', browser.page(path))
        assert (number(told[1]) if told else 0) == current, "the menu"
    assert ("Nothing waits for approval." in said) == (current == 0)
    assert len(amounts_like_attention(browser)) == current


def amounts_like_attention(browser: Browser) -> list[str]:
    """The requests that Attention lists."""
    page = browser.page("/attention?kind=approval&cause=waits+for+approval")
    return re.findall(r'<tr><td><a href="/console/approvals/([0-9a-f-]{36})"', page)


def check_activity(engine: Engine, browser: Browser, chosen: int) -> None:
    """As many rows as events, of all people, of one, of one kind, of a day, and with machines."""
    names = [row["actor"] for row in engine.rows(
        "SELECT DISTINCT actor FROM events WHERE NOT actor = ANY(:machines) ORDER BY 1",
        machines=list(MACHINES))]  # fmt: skip
    actor, group = names[chosen % len(names)], list(GROUPS)[chosen % len(GROUPS)]
    today = engine.now.astimezone(HOME).date()
    begin = datetime.combine(today, datetime.min.time(), HOME)
    words = list(GROUPS[group])
    people: dict[str, Any] = {"machines": list(MACHINES)}
    wanted = [
        ("", "true", {}),
        (f"?actor={actor.replace(' ', '+')}", "actor = :actor", {"actor": actor}),
        (f"?kind={group}", "split_part(kind, '.', 1) = ANY(:words)", {"words": words}),
        (f"?day={today}", "at >= :begin AND at < :end", {"begin": begin, "end": begin + DAY}),
    ]  # fmt: skip
    for query, where, values in wanted:
        count = engine.one(
            f"SELECT count(*) FROM events WHERE NOT actor = ANY(:machines) AND {where}",
            **people, **values,
        )  # fmt: skip
        assert shown(browser, f"/activity{query}") == count, query
    count = engine.one(
        "SELECT count(*) FROM events WHERE at >= :begin AND split_part(kind, '.', 1) = ANY(:words)",
        begin=begin, words=words,
    )  # fmt: skip
    assert shown(browser, f"/activity?machines=yes&kind={group}") == count


def shown(browser: Browser, path: str) -> int:
    """How many events a filter shows, on all of its pages."""
    count = 0
    while path:
        read = Reading(browser.page(unescape(path)))
        if "Activity" in read.tables:
            count += len(read.tables["Activity"].rows)
        following = [link for said, link in read.links if said == "Next page"]
        path = following[0].removeprefix("/console") if following else ""
    return count

"""Lists over HTTP: pages, filters, and customers who must not see each other's rows."""

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.engine import Engine
from tests.integration.test_web_refusals import LISTS
from tests.integration.web import Client, Web

DAY = timedelta(days=1)
OF_CUSTOMERS = ("wallets", "subscriptions", "invoices", "charges", "refunds")


def ids(client: Client, path: str, limit: int = 2, **filters: str) -> list[Any]:
    """Read a whole list, page by page."""
    found: list[Any] = []
    after = ""
    while True:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        page = client.ok("GET", f"/v1/{path}?limit={limit}&{query}{after}")
        assert set(page) == {"data", "next_cursor"}
        assert len(page["data"]) <= limit
        found += [row.get("id") or row["code"] for row in page["data"]]
        if page["next_cursor"] is None:
            return found
        after = f"&after={page['next_cursor']}"


@pytest.fixture
def people(engine: Engine) -> tuple[str, str]:
    """Two customers who paid twice, and got one refund each."""
    engine.plan(every="1 day")
    both = (engine.customer(), engine.customer())
    for customer in both:
        engine.subscribe(customer)
    engine.run()
    engine.advance(DAY)
    engine.run()
    return both


@pytest.mark.parametrize("path", OF_CUSTOMERS)
def test_a_customer_filter_shows_this_customer_only(
    engine: Engine, web: Web, people: tuple[str, str], path: str
) -> None:
    """No row of another customer is in any page, and both together are the whole list."""
    client = web.client()
    if path == "refunds":
        for row in engine.rows("SELECT DISTINCT ON (customer_id) id FROM invoices"):
            client.ok("POST", f"/v1/invoices/{row['id']}/refunds", {"reason": "asked"})
    seen = [set(ids(client, path, customer=customer)) for customer in people]
    assert seen[0]
    assert seen[1]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(ids(client, path))
    page = client.ok("GET", f"/v1/{path}?customer={people[0]}")
    assert {row["customer"] for row in page["data"]} == {people[0]}
    assert people[1] not in str(page)


def test_pages_joined_are_the_list(web: Web, people: tuple[str, str]) -> None:
    """With any limit, each row is there once."""
    client = web.client()
    whole = ids(client, "charges", limit=500)
    assert len(whole) == 4
    for limit in (1, 2, 3):
        assert ids(client, "charges", limit=limit) == whole


WRONG = ("limit=0", "limit=501", "limit=x", "after=nonsense", "from=yesterday",
         "from=2026-01-31", "from=1", "status=nonsense", "colour=red", "from=2026-01-31T00:00:00",
         "from=9999-12-31T23:59:59Z", "limit=1&limit=2")  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_a_wrong_parameter_is_refused(web: Web, path: str) -> None:
    """Also one that does not exist: a filter that is ignored would show too much."""
    client = web.client()
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani"})
    for query in WRONG:
        assert client.refused("GET", f"/v1/{path}?{query}")["status"] == 422, query


def test_a_cursor_of_another_list_is_refused(web: Web, people: tuple[str, str]) -> None:
    """And one that was made with other filters."""
    client = web.client()
    cursor = client.ok("GET", "/v1/charges?limit=1")["next_cursor"]
    for path in ("invoices", f"charges?customer={people[0]}"):
        sign = "&" if "?" in path else "?"
        assert client.refused("GET", f"/v1/{path}{sign}after={cursor}")["status"] == 422


def test_an_unknown_customer_is_said(web: Web) -> None:
    """An empty list would hide the mistake."""
    for path in (*OF_CUSTOMERS, "customers/nobody/credits"):
        sign = "" if "nobody" in path else "?customer=nobody"
        assert web.client().refused("GET", f"/v1/{path}{sign}")["status"] == 404


def test_the_event_feed_has_every_event_once(
    engine: Engine, web: Web, people: tuple[str, str]
) -> None:
    """Page by page in rising positions, also while more is written; a customer sees its own."""
    client = web.client("read")
    seen: list[dict[str, Any]] = []
    after = "0"
    for _ in range(100):
        page = client.ok("GET", f"/v1/events?limit=7&after={after}")
        if not page["data"] and len(seen) == engine.one("SELECT count(*) FROM events"):
            break
        seen += page["data"]
        after = page["next_cursor"]
    positions = [event["position"] for event in seen]
    assert positions == sorted(set(positions))
    assert {event["id"] for event in seen} == {
        row["id"] for row in engine.rows("SELECT id FROM events")
    }
    mine = client.ok("GET", f"/v1/events?customer={people[0]}&limit=500&type=invoice.paid")
    assert {event["customer"] for event in mine["data"]} == {people[0]}
    assert {event["type"] for event in mine["data"]} == {"invoice.paid"}
    wide = client.ok("GET", "/v1/events?limit=500&type=invoice.*")["data"]
    assert {event["type"] for event in wide} == {"invoice.opened", "invoice.paid"}


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=99999999",
        "limit=0",
        "kind=",
        "kind=foo.bar",
        "kind=invoice.payed",
        "kind=foo.*",
    ],
)
def test_a_wrong_place_in_the_feed_is_refused(web: Web, query: str) -> None:
    """A position from another database would silently skip events."""
    assert web.client().refused("GET", f"/v1/events?{query}")["status"] == 422

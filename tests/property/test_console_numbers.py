"""After any life every number on the console's pages equals the rows, and leads to its rows.

The pages are read as a browser reads them; the numbers are found a second time by SQL of the test.
"""

import os
from html import unescape
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.console import Browser, browsing, person, text_of
from tests.integration.console_reading import Cell, Reading, Table
from tests.integration.engine import Engine, Row
from tests.integration.web import Web
from tests.property.test_lives import Deed, deeds, live, plans, schedules

ROWS_MAX = 100
"""Rows of a kind that the page of a customer shows."""
PAGES_MAX = 5
"""Invoices of a life whose pages are opened."""
RETURNED = "status IN ('succeeded', 'returned_elsewhere')"
ON_ITS_WAY = "status IN ('requested', 'in_flight', 'unknown')"
INVOICED = f"""SELECT CAST(i.id AS text) AS id, i.amount, i.credited, i.status, i.subscription_id,
    (SELECT count(*) FROM charges c WHERE c.invoice_id = i.id) AS attempts,
    (SELECT count(*) FROM charges c WHERE c.invoice_id = i.id AND status = 'succeeded') AS payments,
    (SELECT coalesce(sum(c.amount), 0) FROM charges c
        WHERE c.invoice_id = i.id AND status = 'succeeded') AS charged,
    (SELECT coalesce(sum(c.kept), 0) FROM charges c WHERE c.invoice_id = i.id) AS kept,
    (SELECT coalesce(sum(c.credited), 0) FROM charges c WHERE c.invoice_id = i.id) AS became_credit,
    (SELECT coalesce(sum(r.amount), 0) FROM refunds r
        WHERE r.invoice_id = i.id AND {RETURNED}) AS refunded,
    (SELECT coalesce(sum(r.amount), 0) FROM refunds r
        WHERE r.invoice_id = i.id AND {ON_ITS_WAY}) AS on_its_way
    FROM invoices i WHERE i.customer_id = :id"""
MOVED = """SELECT CAST(id AS text) AS id, amount FROM charges WHERE customer_id = :id
    UNION ALL SELECT CAST(id AS text), amount FROM refunds WHERE customer_id = :id
    UNION ALL SELECT CAST(id AS text), amount FROM credits WHERE customer_id = :id"""

few = settings(
    max_examples=int(os.environ.get("STATEFUL_EXAMPLES", "4")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@few
@given(plan=plans, schedule=schedules, life=st.lists(deeds, max_size=8))
def test_every_number_of_a_life_equals_the_rows(
    engine: Engine, web: Web, plan: dict[str, object], schedule: dict[str, str], life: list[Deed]
) -> None:
    """On Customer, Subscription, Invoice and the lists; each link leads to as many rows."""
    subscription = live(engine, plan | schedule, life)
    row = engine.subscription(subscription)
    invoiced = {each["id"]: each for each in engine.rows(INVOICED, id=row["customer_id"])}
    name = person(engine, name=f"Ani {engine.counts()['plans']}")
    with browsing(web, name) as [browser]:
        check_customer(engine, browser, row["customer_id"], invoiced)
        check_subscription(engine, browser, row, invoiced)
        for each in list(invoiced.values())[-PAGES_MAX:]:
            check_invoice(engine, browser, each)
        check_lists(engine, browser, row["customer_id"], invoiced)


def check_customer(
    engine: Engine, browser: Browser, customer: str, invoiced: dict[str, Row]
) -> None:
    """The sums, each invoice, every movement of money, and what is owed."""
    page = browser.page(f"/customers/{customer}")
    read, every = Reading(page), invoiced.values()
    balance = engine.one(
        "SELECT coalesce(sum(remaining), 0) FROM credits WHERE customer_id = :id", id=customer
    )
    wanted = {
        "Charged": sum(each["charged"] for each in every),
        "Refunded": sum(each["refunded"] for each in every),
        "Became credit": sum(each["became_credit"] for each in every),
        "Kept": sum(each["kept"] for each in every), "Credit balance": balance,
    }  # fmt: skip
    assert {name: read.figures[name].value for name in wanted} == {
        name: f"Rp {amount:,}" for name, amount in wanted.items()
    }
    on_its_way = sum(each["on_its_way"] for each in every)
    assert read.figures["Refunded"].note == (f"Rp {on_its_way:,} on its way" if on_its_way else "")

    table = rows_of(read, "invoices", min(len(invoiced), ROWS_MAX))
    names = ("Amount", "Payments", "Charged", "Refunded", "Kept")
    for each in table.rows:
        found = invoiced[each.id.removeprefix("row-")]
        shown = [each.cells[table.heads.index(head)].number for head in names]
        assert shown == [found[head.lower()] for head in names]
    for cell in table.column("Payments"):
        follow(browser, cell)

    moved = {each["id"]: each["amount"] for each in engine.rows(MOVED, id=customer)}
    table = rows_of(read, "movements", len(moved) if len(moved) <= ROWS_MAX else None)
    for each in table.rows:
        assert moved[each.id.removeprefix("row-")] == each.cells[3].number
    said = text_of(page)
    for each in every:
        if each["status"] == "open":
            assert f"Rp {owed_first(invoiced, each['subscription_id']):,} is owed." in said


def owed_first(invoiced: dict[str, Row], subscription: UUID) -> int:
    """What is owed of the oldest open invoice; several of a moment are told by the engine."""
    owed = [each for each in invoiced.values()
            if each["subscription_id"] == subscription and each["status"] == "open"]  # fmt: skip
    return owed[0]["amount"] - owed[0]["credited"]


def check_subscription(
    engine: Engine, browser: Browser, row: Row, invoiced: dict[str, Row]
) -> None:
    """Its invoices with their attempts, what is owed in all, and the timeline as a table."""
    page = browser.page(f"/subscriptions/{row['id']}")
    read = Reading(page)
    table = rows_of(read, "invoices", None)
    for each, attempts in zip(table.rows, table.column("Attempts"), strict=True):
        found = invoiced[each.id.removeprefix("row-")]
        assert (found["attempts"], found["amount"], found["refunded"]) == (
            attempts.number, each.cells[2].number, each.cells[4].number,
        )  # fmt: skip
        follow(browser, attempts)
    owed = sum(each["amount"] - each["credited"] for each in invoiced.values()
               if each["status"] == "open")  # fmt: skip
    said = text_of(page)
    assert (f"Rp {owed:,} is owed." in said) == bool(owed)
    if len(table.rows) < len(invoiced):
        [(count, link)] = [each for each in read.links if "subscription=" in each[1]]
        assert (int(count), listed(browser, link)) == (len(invoiced), len(invoiced))
    if not table.rows:
        return
    kinds = [cell.text for cell in read.tables["timeline"].column("What")]
    shown = [invoiced[each.id.removeprefix("row-")] for each in table.rows]
    assert kinds.count("charge") == sum(each["attempts"] for each in shown)
    assert kinds.count("period") + kinds.count("change") == len(shown)
    refunds = engine.one(
        "SELECT count(*) FROM refunds WHERE invoice_id = ANY(CAST(:ids AS uuid[]))",
        ids=[each["id"] for each in shown],
    )
    assert kinds.count("refund") == refunds


def check_invoice(engine: Engine, browser: Browser, found: Row) -> None:
    """Its sums; its lines add up to it; each attempt and refund with its amount."""
    read = Reading(browser.page(f"/invoices/{found['id']}"))
    names = {"Amount": "amount", "Charged": "charged", "Refunded": "refunded",
             "Became credit": "became_credit", "Kept": "kept"}  # fmt: skip
    assert {head: read.figures[head].value for head in names} == {
        head: f"Rp {found[name]:,}" for head, name in names.items()
    }
    from_credit = f"Rp {found['credited']:,} of it from credit" if found["credited"] else ""
    assert read.figures["Amount"].note == from_credit
    lines = read.tables["lines"].numbers("Amount")
    assert sum(lines) == found["amount"] - found["credited"]
    for place, table in (("charges", "charges"), ("refunds", "refunds")):
        amounts = engine.rows(
            f"SELECT amount FROM {table} WHERE invoice_id = CAST(:id AS uuid)", id=found["id"]
        )
        shown = read.tables[place].numbers("Amount") if place in read.tables else []
        assert sorted(shown) == sorted(each["amount"] for each in amounts)


def check_lists(engine: Engine, browser: Browser, customer: str, invoiced: dict[str, Row]) -> None:
    """Every list of the customer has all rows, with their amounts; and the customer's own row."""
    for kind in ("subscriptions", "invoices", "charges", "refunds"):
        wanted = engine.rows(f"SELECT amount FROM {kind} WHERE customer_id = :id", id=customer)
        found = amounts_of(browser, f"/{kind}?customer={customer}", kind)
        assert sorted(found) == sorted(each["amount"] for each in wanted), kind
    found = amounts_of(browser, f"/invoices?customer={customer}", "invoices", "Refunded")
    assert sorted(found) == sorted(each["refunded"] for each in invoiced.values())
    table = Reading(browser.page("/customers")).tables["customers"]
    [mine] = [row for row in table.rows if row.cells[0].text == customer]
    count = mine.cells[table.heads.index("Subscriptions")]
    live_ones = engine.one(
        "SELECT count(*) FROM subscriptions WHERE customer_id = :id AND ended_at IS NULL",
        id=customer,
    )
    assert count.number == live_ones
    follow(browser, count)


def rows_of(read: Reading, name: str, count: int | None) -> Table:
    """A table of a page, with that many rows; without rows a page has no table."""
    table = read.tables.get(name, Table([], []))
    assert count is None or len(table.rows) == count, name
    return table if table.rows else Table(["Payments", "Attempts"], [])


def follow(browser: Browser, count: Cell) -> None:
    """A number leads to exactly as many rows; zero leads nowhere."""
    if not count.number:
        assert count.links == []
        return
    [link] = count.links
    assert listed(browser, link) == count.number, link


def listed(browser: Browser, link: str) -> int:
    """How many rows a list has, on all of its pages."""
    kind = link.removeprefix("/console/").partition("?")[0]
    return len(amounts_of(browser, link.removeprefix("/console"), kind))


def amounts_of(browser: Browser, path: str, kind: str, head: str = "Amount") -> list[int]:
    """The amounts of a list, on all of its pages."""
    found: list[int] = []
    while path:
        read = Reading(browser.page(unescape(path)))
        if kind in read.tables:
            found += read.tables[kind].numbers(head)
        following = [link for said, link in read.links if said == "Next page"]
        path = following[0].removeprefix("/console") if following else ""
    return found

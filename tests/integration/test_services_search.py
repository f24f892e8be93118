"""Search: everything that leads to a customer, and nothing that reads a whole table."""

from typing import Any

import pytest
from sqlalchemy import event, text

from billing.domain.events import OPERATOR
from billing.domain.short_ids import short
from billing.services.money import refunding
from billing.services.reading import search
from billing.services.subscriptions import subscribing
from billing.services.wallets import erasing
from tests.integration.engine import Engine


def add(engine: Engine, customer: str, name: str, **more: Any) -> str:
    """Create a customer."""
    subscribing.create_customer(engine.context, customer, name=name, by=OPERATOR, **more)
    return customer


def found(engine: Engine, wanted: str) -> dict[str, str]:
    """The customers that a text leads to, and why."""
    hits = search.search(engine.context.database, wanted).hits
    return {hit.customer: hit.because for hit in hits}


@pytest.fixture
def siti(engine: Engine) -> str:
    """A customer with everything that can be searched for, beside another."""
    add(engine, "cust-2", "Sitompul Budiman", phone="081234560000", email="b@example.com")
    return add(engine, "cust-1", "Siti Rahma-Wati", phone="081234567890",
               email="Siti.R@example.com")  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "because"),
    [
        ("cust-1", "customer"), ("  cust-1 ", "customer"), ("siti", "name"), ("RAHMA", "name"),
        ("wati", "name"), ("rah sit", "name"), ("siti.R@example.com", "e-mail"),
        ("081234567890", "phone"), ("6281234567890", "phone"), ("+62 812-3456-7890", "phone"),
        ("7890", "phone"), ("****7890", "phone"), ("xxxx7890", "phone"),
    ],
)  # fmt: skip
def test_a_customer_is_found(engine: Engine, siti: str, wanted: str, because: str) -> None:
    """By id, words of the name, e-mail, phone in each form, and its last digits."""
    assert found(engine, wanted) == {siti: because}


@pytest.mark.parametrize(
    "wanted",
    ["", "   ", "cust", "ust-1", "ahma", "siti budiman", "siti.r@example", "8123456789", "890",
     "x" * 201, "a\0b", "'", "%", "_", "& |", "' OR 1=1 --", "\\", "123 45678",
     "01890000-0000-7000-8000-000000000000", "😀", "\u202e"],
)  # fmt: skip
def test_nothing_is_found_for_what_fits_nobody(engine: Engine, siti: str, wanted: str) -> None:
    """Not for a part of an id or an address, and not for what could mean something to SQL."""
    assert found(engine, wanted) == {}


def test_a_name_beginning_finds_both(engine: Engine, siti: str) -> None:
    """Each customer once; a masked phone is all that is shown."""
    hits = search.search(engine.context.database, "sit").hits
    assert {hit.customer for hit in hits} == {"cust-1", "cust-2"}
    assert {hit.masked_phone for hit in hits} == {"****7890", "****0000"}
    assert "6281234567890" not in str(hits)


@pytest.mark.parametrize("name", ["O'Brien \\ Ani", "<script>alert(1)</script>", "Ä ö ß", "李小龍",
                                  "अनिता शर्मा", "50 % & | ! ( ) : *"])  # fmt: skip
def test_any_name_is_found_by_its_words(engine: Engine, name: str) -> None:
    """Quotes, operators of the search language, and other scripts do no harm."""
    add(engine, "c", name)
    assert found(engine, name) == {"c": "name"}


def test_every_row_of_a_customer_is_found_by_its_id(engine: Engine) -> None:
    """Subscription, invoice, charge, refund and wallet, whole or short; and a gateway number."""
    customer, subscription = engine.begun(amount=50_000)
    other = engine.customer()
    engine.run()
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], 10_000, OPERATOR)
    engine.run()
    [charge], [refund] = engine.charges(subscription), engine.refunds(customer)
    [wallet] = engine.wallets(customer)

    for kind, row in (
        ("subscription", subscription), ("invoice", invoice["id"]), ("charge", charge["id"]),
        ("refund", refund["id"]), ("wallet", wallet["id"]),
    ):  # fmt: skip
        for wanted in (str(row), short(row), f" {short(row).upper()} "):
            [hit] = search.search(engine.context.database, wanted).hits
            assert (hit.customer, hit.because, hit.row_id) == (customer, kind, row)
    [hit] = search.search(engine.context.database, charge["gateway_number"]).hits
    assert (hit.customer, hit.because, hit.row_id) == (customer, "charge", charge["id"])
    assert found(engine, wallet["masked_phone"]) == {customer: "phone"}
    assert other not in found(engine, str(subscription))


def test_many_hits_are_cut(engine: Engine) -> None:
    """At most twenty are shown, and it is said that there are more."""
    for number in range(25):
        add(engine, f"c{number}", "Budi", phone=f"0812000{number:02d}5555")
    for wanted in ("budi", "5555"):
        answer = search.search(engine.context.database, wanted)
        assert (len(answer.hits), answer.is_cut) == (20, True)


def test_an_erased_customer_is_found_by_the_id_only(engine: Engine, siti: str) -> None:
    """Name, phone and e-mail lead nowhere any more."""
    erasing.erase(engine.context, siti, OPERATOR)
    erasing.complete_due(engine.context, 10)
    assert found(engine, "cust-1") == {siti: "customer"}
    for gone in ("rahma", "7890", "081234567890", "siti.r@example.com"):
        assert found(engine, gone) == {}


def test_no_search_reads_a_whole_table(engine: Engine, siti: str) -> None:
    """Each statement has an index; without sequential scans none is left in the plans."""
    customer, subscription = engine.begun()
    engine.run()
    plans: list[str] = []
    statements: list[tuple[str, Any]] = []

    with engine.context.database.transaction() as connection:

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            statements.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", note)
        for wanted in (str(subscription), short(subscription), "number-1", "7890", "081234567890",
                       "siti", "a@example.com", customer):  # fmt: skip
            list(search._hits(connection, wanted))
        event.remove(connection, "before_cursor_execute", note)
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, parameters in statements:
            found_plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(row[0] for row in found_plan))

    assert len(plans) >= 10
    assert [plan for plan in plans if "Seq Scan" in plan] == []

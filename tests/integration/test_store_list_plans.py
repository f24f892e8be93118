"""The statements of the lists use indexes, and every index that was made for them is used."""

import re

import psycopg
import pytest
from sqlalchemy import make_url

from billing.store.queries import paging
from billing.store.session import Database
from tests.bench import listed

PEOPLE = 10_000
SMALL = {"plans", "coupons"}
"""Tables that do not grow with subscriptions."""
INDEXES = """SELECT indexname FROM pg_indexes WHERE indexname = ANY(ARRAY['customers_created',
    'wallets_created', 'wallets_status', 'subscriptions_created', 'subscriptions_plan',
    'subscriptions_status', 'invoices_created', 'invoices_closed', 'charges_created',
    'charges_status', 'refunds_created', 'refunds_customer', 'refunds_status', 'events_at',
    'events_customer', 'events_of_people', 'events_of_actor'])"""


@pytest.mark.timeout(180)  # a hundred thousand rows, on a machine that is busy
def test_each_filter_of_each_list_finds_its_rows_by_an_index(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No table that grows is read from end to end, and each new index is worth its upkeep."""
    monkeypatch.setattr(paging, "_NEXT", PEOPLE // 20)
    monkeypatch.setattr(paging, "_NEXT_A_ROW", 0)
    plain = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(
        plain.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        listed.fill(connection, PEOPLE)
        made = {name for (name,) in connection.execute(INDEXES)}
    database = Database(database_url, pooler="")
    try:
        with database.transaction() as session:
            found = {each.name: "\n".join(lines) for each, lines in listed.plans(session)}
    finally:
        database.dispose()

    scanned = {
        name: tables
        for name, plan in found.items()
        if (tables := set(re.findall(r"Seq Scan on (\w+)", plan)) - SMALL)
    }
    assert scanned == {}
    assert len(made) == 17
    assert {index for index in made if not any(index in plan for plan in found.values())} == set()

"""The statements of lists and pages use indexes, and every index made for lists is used."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from billing import bootstrap
from billing.clock import real_now
from billing.config import Settings
from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.operating import people, sessions
from billing.store.queries import paging
from billing.store.session import Database
from billing.web.console import app
from billing.web.console.streams import Streams
from billing.web.console.visits import SESSION
from tests.bench import console, listed
from tests.servers import Servers

PEOPLE = 10_000
SMALL = {"plans", "coupons"}
"""Tables that do not grow with subscriptions."""
GROWING = {"events", "event_feed", "charges", "invoices", "refunds", "subscriptions", "customers",
           "wallets", "webhook_deliveries", "approvals", "commands"}  # fmt: skip
PREVIEWS = {"/approvals/{approval_id}", "/approvals/{}"}
"""Pages that run an action and undo it, to show what it would do: these need more statements."""
INDEXES = """SELECT indexname FROM pg_indexes WHERE indexname = ANY(ARRAY['customers_created',
    'wallets_created', 'wallets_status', 'subscriptions_created', 'subscriptions_plan',
    'subscriptions_status', 'invoices_created', 'invoices_closed', 'charges_created',
    'charges_status', 'refunds_created', 'refunds_customer', 'refunds_status', 'events_at',
    'events_customer', 'events_of_people', 'events_of_actor'])"""


@pytest.fixture(scope="module")
def filled(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[str]:
    """A database with a hundred thousand rows, as SQLAlchemy's URL."""
    with shared_servers.fresh_database(_admin) as url:
        with connected(url) as connection:
            listed.fill(connection, PEOPLE)
        yield url


def connected(url: str) -> psycopg.Connection:
    """A connection that commits each statement."""
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


def scanned(plan: str) -> set[str]:
    """The tables that a plan reads from end to end."""
    return set(re.findall(r"Seq Scan on (\w+)", plan))


@pytest.mark.timeout(180)  # a hundred thousand rows, on a machine that is busy
def test_each_filter_of_each_list_finds_its_rows_by_an_index(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No table that grows is read from end to end, and each new index is worth its upkeep."""
    monkeypatch.setattr(paging, "_NEXT", PEOPLE // 20)
    monkeypatch.setattr(paging, "_NEXT_A_ROW", 0)
    with connected(filled) as connection:
        made = {name for (name,) in connection.execute(INDEXES)}
    database = Database(filled, pooler="")
    try:
        with database.transaction() as session:
            found = {each.name: "\n".join(lines) for each, lines in listed.plans(session)}
    finally:
        database.dispose()

    assert {name: tables for name, plan in found.items() if (tables := scanned(plan) - SMALL)} == {}
    assert len(made) == 17
    assert {index for index in made if not any(index in plan for plan in found.values())} == set()


@pytest.mark.timeout(180)
def test_no_page_of_the_console_reads_a_growing_table_from_end_to_end(
    filled: str, redis_url: str
) -> None:
    """Every page that has a row to show, with at most twelve statements each."""
    context = bootstrap.build(
        Settings(
            database_url=filled,
            doku_base_url="http://127.0.0.1:1",
            doku_client_id="x",
            doku_secret_key="x",
            redis_url=redis_url,
            token_key=Fernet.generate_key().decode(),
        )
    )
    with connected(filled) as connection:
        console.furnish(connection)
        addresses = dict(console.addresses_of(connection))
    try:
        console.settle(context)
        people.create(context, console.NAME, Role.ADMIN, console.PASSWORD, OPERATOR)
        session = sessions.log_in(context, console.NAME, console.PASSWORD, "127.0.0.1", real_now())
        inside, cookies = app.build(context, Streams()), f"{SESSION}={session}"
        found = {
            page: console.plans_of(context, inside, paths[0], cookies)
            for page, paths in addresses.items()
        }
    finally:
        context.pool.shutdown()
        context.database.dispose()

    assert len(found) > 70
    read = {page: scanned("\n".join(map("\n".join, plans))) for page, plans in found.items()}
    assert {page: tables & GROWING for page, tables in read.items() if tables & GROWING} == {}
    counts = {page: sum(map(bool, plans)) for page, plans in found.items()}
    assert {page for page, count in counts.items() if not 1 <= count <= 12} == PREVIEWS

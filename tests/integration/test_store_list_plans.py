"""The statements of lists and pages use indexes, and every index made for lists is used."""

import re
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, make_url

from billing import bootstrap
from billing.clock import real_now
from billing.config import Settings
from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.operating import people, sessions
from billing.store.queries import lists
from billing.store.session import Database
from billing.web.console import app
from billing.web.console.streams import Streams
from billing.web.console.visits import SESSION
from tests.bench import console, listed
from tests.bench.plans import Sent, caught
from tests.servers import Servers

PEOPLE = 10_000
SMALL = {"plans", "coupons"}
"""Tables that do not grow with subscriptions."""
GROWING = {"events", "event_feed", "charges", "invoices", "refunds", "subscriptions", "customers",
           "wallets", "webhook_deliveries", "approvals", "commands"}  # fmt: skip
MONEY = (lists.invoices, lists.charges, lists.refunds)
PREVIEWS = {"/approvals/{approval_id}", "/approvals/{}"}
"""Pages that run an action and undo it, to show what it would do: these need more statements."""
INDEXES = """SELECT indexname FROM pg_indexes WHERE indexname = ANY(ARRAY['customers_created',
    'wallets_created', 'wallets_status', 'subscriptions_created', 'subscriptions_plan',
    'subscriptions_status', 'invoices_created', 'invoices_closed', 'charges_created',
    'charges_status', 'refunds_created', 'refunds_customer', 'refunds_status', 'events_at',
    'events_customer', 'events_of_people', 'events_of_actor', 'invoices_plan',
    'invoices_plan_closed', 'invoices_plan_open', 'charges_plan', 'charges_plan_status',
    'refunds_plan', 'refunds_plan_status'])"""
MORE = (
    """INSERT INTO invoices (id, subscription_id, customer_id, plan_code, period_index,
            period_start, period_end, amount, status, created_at, paid_at)
        SELECT gen_random_uuid(), id, customer_id, plan_code, 1000 + n, at, at + interval '1 day',
            50000, 'paid', at, at
        FROM subscriptions CROSS JOIN generate_series(1, 25) AS n
        CROSS JOIN LATERAL (SELECT now() - interval '1 day' * CASE plan_code
            WHEN 'retired' THEN 800 + random() ELSE 10 * n + 9 * random() END AS at) AS made
        WHERE plan_code IN ('retired', 'common') ORDER BY at""",
    """INSERT INTO charges (id, invoice_id, subscription_id, customer_id, plan_code, wallet_id,
            attempt, gateway_number, trigger, amount, kept, status, created_at, sent_at)
        SELECT gen_random_uuid(), i.id, subscription_id, i.customer_id, plan_code, w.id, 1,
            replace(i.id::text, '-', ''), 'scheduled', 50000, 50000, 'succeeded', i.created_at,
            i.created_at
        FROM invoices i JOIN wallets w ON w.customer_id = i.customer_id
        WHERE period_index > 1010 ORDER BY i.created_at""",
    """INSERT INTO refunds (id, charge_id, invoice_id, customer_id, plan_code, sequence, amount,
            reason, status, created_at)
        SELECT gen_random_uuid(), c.id, c.invoice_id, c.customer_id, c.plan_code, 1, 1000, 'x',
            'succeeded', c.created_at
        FROM charges c JOIN invoices i ON i.id = c.invoice_id WHERE i.period_index > 1015
        ORDER BY c.created_at""",
)
"""Two hundred thousand invoices: years ago of a plan that ended, and since of another one.

As in a real database the older rows stand before the newer ones: then the planner likes to read
the table in the order of time, as long as it may, until it has found enough rows of the plan.
"""


@pytest.fixture(scope="module")
def filled(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[str]:
    """A database with a hundred thousand rows, as SQLAlchemy's URL."""
    with shared_servers.fresh_database(_admin) as url:
        with connected(url) as connection:
            listed.fill(connection, PEOPLE)
        yield url


@pytest.fixture
def own(filled: str, shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[str]:
    """A copy of it, for a test that writes: its rows would change the plans of another test."""
    with shared_servers.fresh_database(_admin, str(make_url(filled).database)) as url:
        yield url


def connected(url: str) -> psycopg.Connection:
    """A connection that commits each statement."""
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


def scanned(plan: str) -> set[str]:
    """The tables that a plan reads from end to end."""
    return set(re.findall(r"Seq Scan on (\w+)", plan))


@pytest.mark.timeout(180)  # a hundred thousand rows, on a machine that is busy
def test_each_filter_of_each_list_finds_its_rows_by_an_index(filled: str) -> None:
    """No table that grows is read from end to end, and each new index is worth its upkeep."""
    with connected(filled) as connection:
        made = {name for (name,) in connection.execute(INDEXES)}
    database = Database(filled, pooler="")
    try:
        with database.transaction() as session:
            found = {each.name: "\n".join(lines) for each, lines in listed.plans(session)}
    finally:
        database.dispose()

    assert {name: tables for name, plan in found.items() if (tables := scanned(plan) - SMALL)} == {}
    assert len(made) == 24
    assert {index for index in made if not any(index in plan for plan in found.values())} == set()


@pytest.mark.timeout(180)
def test_no_page_of_the_console_reads_a_growing_table_from_end_to_end(
    own: str, redis_url: str
) -> None:
    """Every page that has a row to show, with at most twelve statements each."""
    context = bootstrap.build(
        Settings(
            database_url=own,
            doku_base_url="http://127.0.0.1:1",
            doku_client_id="x",
            doku_secret_key="x",
            redis_url=redis_url,
            token_key=Fernet.generate_key().decode(),
        )
    )
    with connected(own) as connection:
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


def test_no_index_of_a_list_has_the_condition_of_a_claim(filled: str) -> None:
    """
    On a payday statistics know no open invoice yet, and an index of open ones seems to be empty.

    Claims and settlements look invoices up by id. With an index of open invoices by plan they read
    it from end to end: 270 charges a second instead of 1,100, and fewer with each invoice.
    """
    with connected(filled) as connection:
        found = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'invoices'"
            " AND indexdef LIKE '%WHERE (%status = ''open''%'"
        ).fetchall()
    assert {name for (name,) in found} == {"invoices_open", "invoices_blocked"}


@pytest.mark.timeout(180)  # two hundred thousand invoices, each with a charge
def test_a_page_of_a_plan_whose_rows_are_all_old_reads_few_rows(own: str) -> None:
    """Nothing that is newer is read: not for the first page or the second, and with no status."""
    with connected(own) as connection:
        connection.execute("SET session_replication_role = replica")  # in this session no keys
        for statement in MORE:
            connection.execute(statement)
        connection.execute("ANALYZE")
    database = Database(own, pooler="")
    read: dict[str, int] = {}
    try:
        with database.transaction() as session:
            for each in listed.tried():
                if each.read in MONEY and each.wanted.plan == "retired":
                    with caught(session) as sent:
                        each(session)
                    read[each.name] = max(rows_read(session, one) for one in sent)
    finally:
        database.dispose()

    assert len(read) > 15
    assert {name: rows for name, rows in read.items() if rows >= 200} == {}


def rows_read(session: Connection, sent: Sent) -> int:
    """The rows that a statement reads of one of the tables of money, found or left out."""
    statement, given = sent
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
    [plan] = session.exec_driver_sql(explain, given).scalar_one()
    tables: Counter[str] = Counter()
    nodes = [plan["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", ())
        left_out = node.get("Rows Removed by Filter", 0)
        rows = node["Actual Loops"] * (node["Actual Rows"] + left_out)
        tables[node.get("Relation Name", "nothing")] += round(rows)
    return max(tables[name] for name in ("invoices", "charges", "refunds"))

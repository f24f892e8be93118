"""The engine behind the real PgBouncer in transaction mode: every transaction another session."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from billing.domain.errors import NotConfigured
from billing.sandbox.process import SandboxProcess
from billing.services.collecting import charging
from billing.store import migrate
from billing.store.session import TRANSACTION, Database
from tests.commands import command
from tests.e2e.world import world
from tests.integration.engine import Engine, running
from tests.pgbouncer import SERVERS, pooling
from tests.servers import Servers

PEOPLE = 24


@pytest.fixture
def pooled_url(state_folder: Path, database_url: str) -> Iterator[str]:
    """A migrated database of the test's own, through the pooler."""
    with pooling(state_folder, database_url) as url:
        yield url


@pytest.fixture
def empty_url(
    state_folder: Path, shared_servers: Servers, _admin: psycopg.Connection
) -> Iterator[str]:
    """A database without tables, through the pooler."""
    name = f"test_{uuid4().hex}"
    _admin.execute(f"CREATE DATABASE {name}")
    with pooling(state_folder, shared_servers.url(name)) as url:
        yield url
    _admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_tables_are_made_through_it(empty_url: str) -> None:
    """`billing db upgrade` works on an empty database, and again; commands read and change rows."""
    environment = {"BILLING_DATABASE_URL": empty_url, "BILLING_DATABASE_POOLER": TRANSACTION}
    for _ in range(2):
        code, said, complained = command(["db", "upgrade"], environment)
        assert (code, complained) == (0, "")
    assert "Traceback" not in said
    assert migrate.status(empty_url, pooler=TRANSACTION) == (migrate.head(), migrate.head())
    assert command(["plan", "list", "--json"], environment)[:2] == (0, "[]\n")


def test_without_the_setting_it_is_refused_in_one_line(pooled_url: str) -> None:
    """PgBouncer takes no startup options, and says so before anything else goes wrong."""
    database = Database(pooled_url)
    with pytest.raises(NotConfigured, match="unsupported startup parameter") as refused:
        database.check()
    database.dispose()
    assert len(str(refused.value).splitlines()) == 1


def test_many_claim_at_once_and_each_is_charged_once(
    pooled_url: str, gateway: SandboxProcess
) -> None:
    """
    Two engines with more connections than there are sessions behind the pooler.

    Statements that come often enough to be prepared come from every client to every session.
    """
    with running(pooled_url, gateway, database_pooler=TRANSACTION) as first:
        second = Engine(pooled_url, gateway, database_pooler=TRANSACTION)
        first.plan()
        people = [first.customer() for _ in range(PEOPLE)]
        for person in people:
            first.subscribe(person)
        first.tick(["ticks.open_periods"])
        due = charging.lease_due(first.context, PEOPLE)
        assert len(due) == PEOPLE

        def collect(turn: int) -> None:
            charging.collect((first, second)[turn % 2].context, due)

        with ThreadPoolExecutor(4) as together:
            list(together.map(collect, range(8)))
        second.close()
        first.run()

        assert [len(first.debits(person)) for person in people] == [1] * PEOPLE
        assert {row["status"] for row in first.rows("SELECT status FROM charges")} == {"succeeded"}


def test_its_limits_end_with_the_transaction(pooled_url: str) -> None:
    """The next session belongs to another client with its own limits."""
    database = Database(pooled_url, pooler=TRANSACTION)
    with database.transaction() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "20s"
    database.dispose()
    plain = pooled_url.replace("+psycopg", "", 1)
    for _ in range(SERVERS):
        with psycopg.connect(plain, autocommit=True, prepare_threshold=None) as other:
            row = other.execute("SHOW lock_timeout").fetchone()
        assert row == ("0",)


@pytest.mark.usefixtures("programs_are_forked")
def test_worker_and_beat_work_through_it(
    state_folder: Path, pooled_url: str, redis_url: str
) -> None:
    """The processes of production: a month is charged, and the doctor finds the database well."""
    home = state_folder / "stack"
    with world(
        home, pooled_url, redis_url, {"worker", "beat"}, BILLING_DATABASE_POOLER=TRANSACTION
    ) as engine:
        engine.plan("gold")
        engine.join("ayu", "gold")
        engine.until("2026-03-01T09:00:00+07:00")
        assert engine.value("SELECT count(*) FROM charges WHERE status = 'succeeded'") == 2
        checks = json.loads(engine.run("doctor", "--json").stdout)["checks"]
        fine = {check["name"] for check in checks if check["ok"]}
        assert fine >= {"PostgreSQL", "migrations", "database belongs to"}
        engine.reckon()

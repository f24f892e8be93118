"""Connections end with their server; what was being settled is settled on the next one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from billing.domain.errors import NotConfigured
from billing.services.collecting import settling
from billing.store import migrate
from billing.store.session import LIMITS, TRANSACTION, Database, is_lost
from tests.integration.engine import Engine
from tests.servers import Servers

PID = text("SELECT pg_backend_pid()")
ENDS = {
    "demoted": "SET TRANSACTION READ ONLY; UPDATE engine SET clock_at = clock_at",
    "shut down": "SELECT pg_terminate_backend(pg_backend_pid())",
}
"""What makes the server answer like one that became a replica, and like one that is ended."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool on a database of the test's own."""
    made = Database(database_url)
    yield made
    made.dispose()


@pytest.mark.parametrize("end", ENDS)
def test_a_server_that_is_gone_or_read_only_ends_the_pooled_connection(
    database: Database, end: str
) -> None:
    """The next transaction has another connection, also when the server still answers."""
    with database.transaction() as connection:
        before = connection.scalar(PID)

    with pytest.raises(DBAPIError) as failed, database.transaction() as connection:
        connection.exec_driver_sql(ENDS[end])

    assert is_lost(failed.value)
    assert failed.value.connection_invalidated
    with database.transaction() as connection:
        assert connection.scalar(PID) != before


def test_a_thread_in_a_transaction_reads_the_clock_without_a_second_connection(
    database: Database,
) -> None:
    """Behind a full pooler a second one would never come; other threads have their own."""
    with database.transaction() as connection:
        with database.reading() as inside:
            assert inside is connection
        with ThreadPoolExecutor(1) as pool:
            pid = pool.submit(_read_pid, database).result()
        assert pid != connection.scalar(PID)
    with database.reading() as afterwards:
        assert not connection.in_transaction()
        assert afterwards.scalar(text("SELECT 1")) == 1


def _read_pid(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.scalar(PID) or 0)


def test_a_pooled_connection_whose_server_became_read_only_is_not_used(
    database: Database,
) -> None:
    """It says so with the next answer, before any statement fails."""
    with database.transaction() as connection:
        before = connection.scalar(PID)
        connection.exec_driver_sql("SET default_transaction_read_only = on")

    with database.transaction() as connection:
        assert connection.scalar(PID) != before
        connection.exec_driver_sql("UPDATE engine SET clock_at = clock_at")


def test_other_errors_keep_the_connection_and_are_not_tried_again(database: Database) -> None:
    """A violated constraint is no lost server; a deadlock or a lock's time-out may be repeated."""
    with database.transaction() as connection:
        before = connection.scalar(PID)

    with pytest.raises(IntegrityError) as failed, database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO engine DEFAULT VALUES")

    assert not is_lost(failed.value)
    assert not is_lost(ValueError())
    assert is_lost(OperationalError("cut", {}, ConnectionError()))
    with database.transaction() as connection:
        assert connection.scalar(PID) == before


@pytest.mark.parametrize("end", ENDS)
def test_settling_is_repeated_on_another_connection(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The answer is known only here: it is recorded once, although its server is gone."""
    customer, subscription = engine.begun()
    plain, times = settling._settle, 0

    def settle(context: Any, connection: Connection, *rest: Any) -> Any:
        nonlocal times
        times += 1
        if times == 1:
            connection.exec_driver_sql(ENDS[end])
        return plain(context, connection, *rest)

    monkeypatch.setattr(settling, "_settle", settle)
    engine.run()

    assert times == 2
    assert [charge["status"] for charge in engine.charges(subscription)] == ["succeeded"]
    assert len(engine.debits(customer)) == 1


def test_settling_repeats_no_mistake_of_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails for its statement would fail again."""
    times = 0

    def settle(_context: Any, connection: Connection, *_rest: Any) -> Any:
        nonlocal times
        times += 1
        connection.exec_driver_sql("INSERT INTO engine DEFAULT VALUES")

    monkeypatch.setattr(settling, "_settle", settle)
    with pytest.raises(IntegrityError):
        settling._settle_or_retry(engine.context, [], settling.Source.LIVE, settling.SCHEDULER)
    assert times == 1


@pytest.mark.parametrize("pooler", ["", TRANSACTION])
def test_every_transaction_has_its_limits(database_url: str, pooler: str) -> None:
    """By startup options, or in each transaction behind a pooler."""
    database = Database(database_url, pooler=pooler)
    try:
        for _ in range(2):
            with database.transaction() as connection:
                shown = [connection.scalar(text(f"SHOW {name}")) for name in LIMITS]
                assert shown == ["1min", "20s", "2min", "UTC"]
    finally:
        database.dispose()


def test_options_in_the_url_are_kept_beside_ours(database_url: str) -> None:
    """A value in the URL overrides ours."""
    both = "options=-c%20lock_timeout%3D7s%20-c%20work_mem%3D5MB"
    database = Database(f"{database_url}&{both}")
    try:
        with database.transaction() as connection:
            shown = [
                connection.scalar(text(f"SHOW {name}"))
                for name in ("statement_timeout", "lock_timeout", "work_mem")
            ]
        assert shown == ["1min", "7s", "5MB"]
    finally:
        database.dispose()


def test_an_error_shows_no_value_of_a_statement(database: Database) -> None:
    """Names and phones are parameters; an error is logged."""
    with pytest.raises(DBAPIError) as failed, database.transaction() as connection:
        connection.execute(text("SELECT CAST(:phone AS int) / 0"), {"phone": "6281299887766"})

    assert "6281299887766" not in str(failed.value).replace(str(failed.value.orig), "")


def test_a_server_that_only_reads_is_refused_in_one_line(database_url: str) -> None:
    """No worker starts on a replica; the URL can ask for reading only."""
    read_only = f"{database_url}&options=-c%20default_transaction_read_only%3Don"
    database = Database(read_only)
    with pytest.raises(NotConfigured, match="session is read-only"):
        database.check()
    database.dispose()

    reader = Database(f"{read_only}&target_session_attrs=any")
    try:
        for _ in range(2):
            with reader.transaction() as connection:
                assert connection.scalar(text("SELECT count(*) FROM customers")) == 0
    finally:
        reader.dispose()


@pytest.mark.parametrize("parameter", ["connect_timeout=x", "sslmode=x", "target_session_attrs=x"])
def test_a_parameter_that_cannot_be_used_is_one_line(database_url: str, parameter: str) -> None:
    """A password in the query is not part of it."""
    database = Database(f"{database_url}&{parameter}&password=hunter2")

    with pytest.raises(NotConfigured, match="check BILLING_DATABASE_URL") as refused:
        database.check()

    assert len(str(refused.value).splitlines()) == 1
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding_is_refused_in_one_line(
    shared_servers: Servers, encoding: str
) -> None:
    """Names could not be stored; without the check the driver fails with an error of its own."""
    name = f"encoded_{uuid4().hex}"
    url = shared_servers.url(name).replace("postgresql://", "postgresql+psycopg://", 1)
    with psycopg.connect(shared_servers.url("postgres"), autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            " TEMPLATE template0"
        )
        try:
            database = Database(url)
            for use in (database.check, lambda: migrate.upgrade(url)):
                with pytest.raises(NotConfigured, match=f"the encoding {encoding}, and UTF8"):
                    use()
            database.dispose()
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("pooler", ["", TRANSACTION])
def test_a_brief_pool_never_waits_long_for_a_lock(database_url: str, pooler: str) -> None:
    """Also when the database's address says otherwise: a locked row must not hold a thread."""
    own = "options=-c%20lock_timeout%3D30s"
    url = f"{database_url}{'&' if '?' in database_url else '?'}{'' if pooler else own}"
    made = Database(url, pooler=pooler, briefly=True)
    with made.transaction() as connection:
        found = connection.execute(text("SHOW lock_timeout")).scalar_one()
    made.dispose()
    assert found == "1s"

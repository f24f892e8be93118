"""The tables in the database are those in the code, however and by whomever they were made."""

import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from billing.store import migrate
from tests.servers import Servers


@pytest.fixture
def empty_url(shared_servers: Servers) -> Iterator[str]:
    """A database without any table."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(shared_servers.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield shared_servers.url(name).replace("postgresql://", "postgresql+psycopg://", 1)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def tables(url: str) -> set[str]:
    """The tables that are there."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return {row[0] for row in connection.execute(query)}


def test_code_and_database_agree(database_url: str) -> None:
    """A column that was changed in one place only is found here."""
    migrate.check(database_url)
    has, wants = migrate.status(database_url)
    assert has == wants


def test_the_last_file_is_what_alembic_calls_the_head() -> None:
    """The code knows without alembic where it stands: migrations are numbered."""
    scripts = ScriptDirectory.from_config(migrate._config("postgresql://nobody.asks/it"))
    assert scripts.get_heads() == [migrate.head()]


def test_upgrading_again_changes_nothing(database_url: str) -> None:
    """Every process may upgrade at its start."""
    before = tables(database_url)
    migrate.upgrade(database_url)
    assert tables(database_url) == before
    migrate.check(database_url)


def test_two_processes_may_upgrade_at_once(empty_url: str) -> None:
    """One waits for the other and finds its work done; neither fails."""
    code = "import sys; from billing.store.migrate import upgrade; upgrade(sys.argv[1])"
    command_line = [sys.executable, "-c", code, empty_url]
    processes = [subprocess.Popen(command_line) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]

    migrate.check(empty_url)
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        assert connection.execute("SELECT count(*) FROM engine").fetchone() == (1,)


def test_down_to_nothing_and_up_again(empty_url: str) -> None:
    """Every migration can be undone, and leaves nothing behind."""
    assert migrate.status(empty_url) == (None, migrate.head())
    migrate.upgrade(empty_url)
    command.downgrade(migrate._config(empty_url), "base")
    assert tables(empty_url) == {"alembic_version"}
    assert migrate.status(empty_url) == (None, migrate.head())
    migrate.upgrade(empty_url)
    migrate.check(empty_url)


OLD_CHARGE = """
    INSERT INTO charges (id, invoice_id, subscription_id, customer_id, wallet_id, ordinal,
        gateway_number, trigger, amount, status, fault, code, created_at, sent_at)
    VALUES ('{id}', gen_random_uuid(), '{id}', 'c', gen_random_uuid(), 1, 'N-{id}', 'scheduled', 5,
        'declined', 'other', 'not_found', now(), now())"""
OLD_EVENT = """
    INSERT INTO events (at, kind, actor, subscription_id, charge_id, data)
    VALUES (now(), 'charge.declined', 'scheduler', '{id}', '{id}',
        '{{"source": "{source}", "code": "not_found"}}')"""


def test_our_own_marker_is_told_from_a_gateways_code(empty_url: str) -> None:
    """Only what a question ended as "not found" is marked; a live decline with that code is not."""
    migrate.upgrade(empty_url)
    command.downgrade(migrate._config(empty_url), "0006")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    sources = {"status": "0" * 31 + "1", "live": "0" * 31 + "2"}
    with psycopg.connect(plain) as connection:
        connection.execute("SET session_replication_role = 'replica'")  # no keys to other tables
        for source, charge in sources.items():
            connection.execute(OLD_CHARGE.format(id=charge).replace(f"N-{charge}", f"N-{source}"))
            connection.execute(OLD_EVENT.format(id=charge, source=source))

    migrate.upgrade(empty_url)

    with psycopg.connect(plain) as connection:
        rows = connection.execute("SELECT gateway_number, never_received FROM charges").fetchall()
    assert dict(rows) == {"N-status": True, "N-live": False}

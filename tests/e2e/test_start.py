"""Starting with a mistake: one clear line and exit code 1, never a traceback."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from cryptography.fernet import Fernet

from billing.sandbox import process as sandbox_process
from tests.e2e.world import environment_of
from tests.forked import Parent, Start, decoded
from tests.servers import Servers

KEY = Fernet.generate_key().decode()


@pytest.fixture(scope="module")
def good(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[dict[str, str]]:
    """Settings with which a worker would start; none of the tests comes far enough to write."""
    with (
        shared_servers.fresh_database(_admin) as database_url,
        sandbox_process.start() as sandbox,
    ):
        yield {
            "BILLING_DATABASE_URL": database_url,
            "BILLING_REDIS_URL": shared_servers.own_redis(),
            "BILLING_DOKU_BASE_URL": sandbox.url,
            "BILLING_DOKU_CLIENT_ID": sandbox.client_id,
            "BILLING_DOKU_SECRET_KEY": sandbox.secret_key,
            "BILLING_TOKEN_KEY": KEY,
        }


@pytest.fixture
def empty_database(shared_servers: Servers) -> Iterator[str]:
    """A database without migrations."""
    with psycopg.connect(shared_servers.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE not_migrated")
        yield shared_servers.url("not_migrated")
        admin.execute("DROP DATABASE not_migrated WITH (FORCE)")


CELERY = [str(Path(sys.executable).with_name("celery")), "-A", "workers.app"]


@pytest.fixture(scope="module")
def quick(parent_of_programs: Parent) -> Start:
    """Start a worker or beat as the local stack does, in a forked process."""

    def start(words: Sequence[str], environment: Mapping[str, str]) -> CompletedProcess[str]:
        return decoded(parent_of_programs.run("workers", words, environment))

    return start


def by_celery(words: Sequence[str], environment: Mapping[str, str]) -> CompletedProcess[str]:
    """Start a process by Celery's own command, which is expected to end by itself."""
    return subprocess.run(
        [*CELERY, *words], env=environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


MISTAKES = {
    "no database": ({"BILLING_DATABASE_URL": ""}, "BILLING_DATABASE_URL is not set"),
    "another database": ({"BILLING_DATABASE_URL": "mysql://root@db/x"}, "postgresql://"),
    "unreachable database": (
        {"BILLING_DATABASE_URL": "postgresql://postgres:hush@127.0.0.1:9/x"},
        "cannot reach PostgreSQL at postgresql+psycopg://postgres:***@127.0.0.1:9/x",
    ),
    "no redis": ({"BILLING_REDIS_URL": ""}, "BILLING_REDIS_URL is not set"),
    "unreachable redis": (
        {"BILLING_REDIS_URL": "redis://:hush@127.0.0.1:9/0"}, "cannot reach Redis at",
    ),
    "no token key": ({"BILLING_TOKEN_KEY": ""}, "BILLING_TOKEN_KEY is not set"),
    "a token key that is none": ({"BILLING_TOKEN_KEY": "hush"}, "Fernet keys"),
    "no client": ({"BILLING_DOKU_CLIENT_ID": ""}, "BILLING_DOKU_CLIENT_ID"),
    "a wrong secret": ({"BILLING_DOKU_SECRET_KEY": "hush"}, "invalid_signature"),
    "a wrong client": ({"BILLING_DOKU_CLIENT_ID": "MCH-OTHER"}, "invalid_client_id"),
    "http to elsewhere": (
        {"BILLING_DOKU_BASE_URL": "http://doku.example.com"}, "must be https",
    ),
    "a test clock in production": (
        {"BILLING_TEST_CLOCK": "1", "BILLING_DOKU_BASE_URL": "https://api.doku.com"},
        "BILLING_TEST_CLOCK cannot be used with the production gateway",
    ),
    "a tick that is no number": ({"BILLING_TICK_SECONDS": "soon"}, "BILLING_TICK_SECONDS"),
}  # fmt: skip
BY_CELERY = {"no database", "unreachable database"}
"""A mistake that is found when the app is imported, and one that is found when it starts."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_worker_refuses_to_start_in_one_line(
    mistake: str, good: dict[str, str], quick: Start
) -> None:
    """The line names the setting and what would be right, and shows no secret."""
    changed, said = MISTAKES[mistake]
    start = by_celery if mistake in BY_CELERY else quick
    done = start(["worker"], environment_of(good | changed))
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("billing: ")
    assert said in lines[0]
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize("program", ["worker", "beat"])
def test_a_database_that_is_not_migrated_is_named(
    program: str, good: dict[str, str], empty_database: str, quick: Start
) -> None:
    """Worker and beat say which command is missing."""
    start = by_celery if program == "beat" else quick
    done = start([program], environment_of(good | {"BILLING_DATABASE_URL": empty_database}))
    assert done.returncode == 1
    assert "run billing db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_key_that_opens_nothing_is_named(
    good: dict[str, str], database_url: str, quick: Start
) -> None:
    """A worker whose key does not fit the tokens in the database does not start."""
    sealed = Fernet(KEY).encrypt(b"a token")
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("INSERT INTO customers (id, name, created_at) VALUES ('c', 'C', now())")
        admin.execute(
            "INSERT INTO wallets (id, customer_id, status, phone_sealed, token_sealed, created_at)"
            " VALUES (gen_random_uuid(), 'c', 'active', %s, %s, now())",
            (sealed, sealed),
        )
    changed = {
        "BILLING_TOKEN_KEY": Fernet.generate_key().decode(),
        "BILLING_DATABASE_URL": database_url,
    }
    done = quick(["worker"], environment_of(good | changed))
    assert done.returncode == 1
    assert "BILLING_TOKEN_KEY does not open 1 of 1 tokens" in done.stderr
    assert done.stderr.count("\n") == 1

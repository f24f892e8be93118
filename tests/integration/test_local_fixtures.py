"""What the shared fixtures promise to every other test."""

import os

import psycopg
import pytest
import redis

from billing import config
from billing.domain.errors import NotConfigured
from billing.sandbox.process import SandboxProcess


@pytest.mark.parametrize("again", range(2))
def test_every_test_gets_an_empty_migrated_database(database_url: str, again: int) -> None:
    """What one test writes the next does not see, and the tables are there."""
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE written_by_a_test (a int)")
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert revision is not None


@pytest.mark.parametrize("again", range(2))
def test_every_test_gets_an_empty_redis(redis_url: str, again: int) -> None:
    """Messages of one test do not reach the next."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "over")


def test_a_connection_left_open_does_not_keep_its_database(database_url: str) -> None:
    """A test that forgets to close a connection does not break the next one."""
    psycopg.connect(database_url.replace("+psycopg", "")).close()


def test_the_sandbox_answers(sandbox: SandboxProcess) -> None:
    """The pretend gateway of a test is up when the test begins."""
    assert sandbox.control("GET", "health")["status"] == "ok"


def test_nothing_of_the_persons_own_settings_reaches_a_test() -> None:
    """Neither variables nor files: a test that needs a setting says so."""
    assert not [name for name in os.environ if name.startswith("BILLING_")]
    with pytest.raises(NotConfigured, match="BILLING_DATABASE_URL is not set"):
        _ = config.load().database

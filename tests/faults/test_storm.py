"""The storm in the suite: fixed seeds, every seed that ever failed, and a test of the test."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults.storm.bugs import BUGS
from tests.faults.storm.play import Result, run_seed
from tests.servers import Servers

FIXED = range(1, 11)
ONCE_FAILED = [
    int(line.partition("#")[0])
    for line in (Path(__file__).parent / "storm_seeds.txt").read_text().splitlines()
    if line.partition("#")[0].strip()
]
SEEDS_UNTIL_FOUND = 50
CHARGES_MIN, CRASHES_MIN = 60, 15


@pytest.fixture(scope="module")
def admin(shared_servers: Servers) -> Iterator[psycopg.Connection]:
    """A connection that makes and drops databases."""
    with psycopg.connect(shared_servers.url("postgres"), autocommit=True) as connection:
        shared_servers.ensure_template(connection)
        yield connection


def told(result: Result) -> str:
    """What is wrong, and how it came to that."""
    return "\n".join([f"seed {result.seed}", *result.findings, *result.trace])


@pytest.mark.parametrize("seed", sorted({*FIXED, *ONCE_FAILED}))
def test_every_promise_holds_after_a_storm(
    shared_servers: Servers, admin: psycopg.Connection, seed: int
) -> None:
    """Whatever breaks, no invoice is debited twice, nothing is lost, and all is on record."""
    result = run_seed(seed, shared_servers, admin)

    assert not result.findings, told(result)
    assert result.met["charges sent"] >= CHARGES_MIN
    assert result.crashes >= CRASHES_MIN


def test_a_seed_decides_everything(shared_servers: Servers, admin: psycopg.Connection) -> None:
    """The same seed gives the same storm, line by line, so that a failure can be looked at."""
    first, second = (run_seed(11, shared_servers, admin) for _ in range(2))

    assert first.trace == second.trace
    assert first.trace_hash == second.trace_hash
    assert first.met == second.met


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_the_storm_finds_a_deliberate_bug(
    shared_servers: Servers, admin: psycopg.Connection, bug: str
) -> None:
    """A storm that cannot be failed promises nothing: each known mistake is found soon."""
    results = (
        run_seed(seed, shared_servers, admin, bug) for seed in range(1, SEEDS_UNTIL_FOUND + 1)
    )

    assert any(result.findings for result in results)

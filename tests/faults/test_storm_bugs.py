"""A test of the storm: what it has to find, it finds."""

import psycopg
import pytest

from tests.faults.storm.bugs import BUGS
from tests.faults.storm.play import run_seed
from tests.servers import Servers

SEEDS = 50
LOOK_FIRST_AT = {"no_rule_against_a_second_charge": 10}
"""Where a bug that few seeds show was found last; the other seeds follow, should it have moved."""


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_the_storm_finds_a_deliberate_bug(
    shared_servers: Servers, admin: psycopg.Connection, bug: str
) -> None:
    """A storm that cannot be failed promises nothing: each known mistake is found in 50 seeds."""
    first = LOOK_FIRST_AT.get(bug, 1)
    seeds = [*range(first, SEEDS + 1), *range(1, first)]
    results = (run_seed(seed, shared_servers, admin, bug) for seed in seeds)

    assert any(result.findings for result in results)

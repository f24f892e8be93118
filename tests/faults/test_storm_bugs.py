"""A test of the storm: what it has to find, it finds."""

from collections.abc import Sequence

import psycopg
import pytest

from tests.faults.storm.bugs import BUGS
from tests.faults.storm.play import run_seed
from tests.servers import Servers

pytestmark = pytest.mark.tools

SEEDS = 50
LOOK_FIRST_AT: dict[str, Sequence[int]] = {
    "no_rule_against_a_second_charge": [8], "claim_after_the_call": [2], "no_rule_of_http": [4],
    "no_rule_of_time": [13], "pages_are_final": [6], "one_row_stops_all": [5],
    "declined_payout_loses_the_balance": [4], "no_rule_of_two": [2],
}  # fmt: skip
"""Where a bug was found soonest; the other seeds follow, should it have moved."""
ANY = {""}
"""How every finding begins."""
BROKEN = {
    "no_rule_of_time": {"PAID DAYS", "INTENT", "UNPAID", "BACKDATED", "AHEAD"},
    "one_row_stops_all": {"ISOLATION"},
    "no_rule_of_http": {"KEY", "FEED", "NOTICE"},
    "pages_are_final": {"DOUBLE", "LOST"},
    "no_rule_of_two": {"REQUEST", "ALONE"},
    "declined_payout_loses_the_balance": {"audit: what is paid out of a credit adds up"},
}
"""Bugs of a wide storm, and how what it says of them begins."""


def seeds(bug: str) -> Sequence[int]:
    """All seeds, in the order in which they are played for a bug."""
    first = LOOK_FIRST_AT.get(bug, ())
    return [*first, *(seed for seed in range(1, SEEDS + 1) if seed not in first)]


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_the_storm_finds_a_deliberate_bug(
    shared_servers: Servers, admin: psycopg.Connection, bug: str
) -> None:
    """The storm can fail: each known bug is found within 50 seeds."""
    results = (run_seed(seed, shared_servers, admin, bug, until=ANY) for seed in seeds(bug))

    assert any(result.findings for result in results)


@pytest.mark.parametrize("bug", sorted(BROKEN))
def test_a_wide_storm_finds_a_rule_that_is_off(
    shared_servers: Servers, admin: psycopg.Connection, bug: str
) -> None:
    """With a rule's code disabled a wide storm says so, each rule by its own kind of finding."""
    missing = set(BROKEN[bug])
    for seed in seeds(bug):
        result = run_seed(seed, shared_servers, admin, bug, wide=True, until=missing)
        missing -= {word for word in missing for said in result.findings if said.startswith(word)}
        if not missing:
            return

    assert not missing

"""PostgreSQL restarted under charges that are claimed, on the wire, or being settled.

The server is the file's own. Crash means its immediate shutdown: what was not committed is gone,
and the next start begins with a recovery.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from billing.services.reading import auditing
from tests.faults.ground import HOUR, Ground, grounds

ASKED = timedelta(seconds=61)
MINUTE = timedelta(minutes=1)
MODES = pytest.mark.parametrize("crash", [False, True], ids=["fast", "crash"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Ground]:
    """One engine for the file."""
    with grounds() as there:
        yield there


@pytest.fixture
def ground(shared: Ground) -> Iterator[Ground]:
    """A worker and a beat; after each test they are the same, and the rows equal the ledger."""
    shared.fleet.man(["one"], beats=["one"])
    before = [child.pid for child in shared.fleet.crew.children]
    yield shared
    assert [child.pid for child in shared.fleet.crew.children if child.running] == before
    shared.reckon()


def begin(ground: Ground, plan: str, work: str, seconds: float) -> list[str]:
    """
    Four members in one batch: two are on the wire, two are claimed and wait for their turn.

    With `later` the gateway decides after the hold, with `done` before it.
    """
    people = ground.members(4, plan)
    held = ground.script("hold", times=2, seconds=seconds, work=work)
    ground.jump(HOUR)
    ground.await_met(held, 2)
    assert ground.charges(people) == ["in_flight"] * 4
    return people


@MODES
def test_a_restart_between_claim_call_and_settlement_is_not_noticed(
    ground: Ground, crash: bool
) -> None:
    """
    Both restarts are over before the answers come: each is settled on a new connection.

    Two charges were claimed and not yet called, two were called and not yet settled.
    """
    people = begin(ground, f"back-{crash:d}", "done", seconds=4.5)
    ground.stop_postgres(crash=crash)
    ground.start_postgres()
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "all are settled")
    assert ground.debits(people) == [1] * 4


@MODES
@pytest.mark.parametrize("work", ["done", "later"])
def test_answers_that_cannot_be_written_down_are_asked_for_again(
    ground: Ground, crash: bool, work: str
) -> None:
    """
    PostgreSQL is away when the answers come: nothing is guessed from the lost answers.

    The rows still say that payments may exist. When they are asked about, the gateway knows.
    """
    people = begin(ground, f"away-{work}-{crash:d}", work, seconds=2.5)
    ground.stop_postgres(crash=crash)
    ground.poll(lambda: sum(ground.debits(people)) == 4, "all four calls were made")
    ground.poll(lambda: idle(ground), "the task has given up")
    ground.start_postgres()
    assert "succeeded" not in ground.charges(people)
    assert ground.debits(people) == [1] * 4
    ground.work_off(ASKED)
    ground.work_off(15 * MINUTE)
    assert ground.charges(people) == ["succeeded"] * 4
    assert ground.debits(people) == [1] * 4
    assert auditing.audit(ground.context) == []


def idle(ground: Ground) -> bool:
    """Return whether the worker has no message of the queue `charges`."""
    active = ground.messenger.control.inspect(timeout=2, limit=1).active() or {}
    return not any(task["name"] == "charges.collect" for work in active.values() for task in work)


def test_ticks_outlive_a_database_that_is_away(ground: Ground) -> None:
    """Failing ticks write a log line and end no process; work continues afterwards."""
    ground.stop_postgres()
    ground.ticked_out()
    refused = ground.run("doctor")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stdout + refused.stderr
    ground.start_postgres()
    people = ground.members(4, "outlive")
    ground.jump(HOUR)
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "all are charged")
    assert ground.debits(people) == [1] * 4

"""PostgreSQL switched over to its copy, while the old primary stays up and takes no writes.

The servers are the file's own. A connection to the old primary still answers; what ends it is
that it cannot write.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import text

from billing.local import servers
from billing.local.processes import Crew
from billing.local.stack import Stack
from billing.store.session import Database
from tests import prepared
from tests.faults.fleet import Fleet
from tests.faults.ground import HOUR, SETTINGS, Ground
from tests.faults.pair import Pair, pairs, socket_of
from tests.servers import fast_place

BOUND_SECONDS = 30
"""Workers go on within this time after the copy was promoted."""


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two servers, ended afterwards."""
    home = Path(tempfile.mkdtemp(prefix="ovo-", dir=fast_place() or "/tmp"))
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, home, ignore_errors=True)
        crew = Crew()
        undo.callback(crew.close)
        yield undo.enter_context(pairs(crew, home))


@pytest.fixture
def ground(pair: Pair) -> Iterator[Ground]:
    """An engine whose database is the pair's address; workers are the test's to start."""
    home = Path(tempfile.mkdtemp(prefix="ovo-", dir=fast_place() or "/tmp"))
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, home, ignore_errors=True)
        crew = Crew()
        undo.callback(crew.close)
        redis = servers.start_redis(crew, home / "redis", home / "redis.log")
        named = {"BILLING_DATABASE_URL": pair.url, "BILLING_REDIS_URL": redis.url}
        stack = undo.enter_context(
            Stack(
                home / "stack", parts=(), environment=SETTINGS | named,
                any_ports=True, migrate=lambda found: prepared.upgrade(found.database),
            )
        )  # fmt: skip
        there = Ground(stack, Fleet(stack), pair.old, redis)
        undo.callback(there.close)
        yield there


def test_workers_move_to_the_new_primary_by_themselves(pair: Pair, ground: Ground) -> None:
    """
    A switchover under a wave: two charges on the wire, two claimed, two batches in Redis.

    No process is restarted, no customer is charged twice, and both waves are done within the limit;
    the old primary has none of their rows.
    """
    ground.fleet.man(["one"], beats=["one"])
    before = [child.pid for child in ground.fleet.crew.children]
    people = ground.members(12, "wave")
    held = ground.script("hold", times=2, seconds=3, work="done")
    ground.jump(HOUR)
    ground.await_met(held, 2)

    pair.demote()
    ground.poll(lambda: sum(ground.debits(people)) >= 2, "both calls were made")
    log = ground.fleet.workers["one"].program.log
    ground.poll(lambda: "connection_lost" in log.read_text(), "an answer could not be kept")
    pair.promote()
    promoted_at = monotonic()

    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 12, "all settled", BOUND_SECONDS)
    more = ground.members(4, "next")
    ground.jump(HOUR)
    ground.poll(lambda: ground.charges(more) == ["succeeded"] * 4, "all are charged")
    assert monotonic() - promoted_at < BOUND_SECONDS
    assert ground.debits(people + more) == [1] * 16
    assert [child.pid for child in ground.fleet.crew.children if child.running] == before
    ground.reckon()


def test_a_list_of_hosts_leads_to_the_one_that_takes_writes(pair: Pair) -> None:
    """Without a moving address, both hosts are in the URL, and the read-only one is skipped."""
    new, old = (socket_of(server).parent for server in (pair.new, pair.old))
    database = Database(f"postgresql+psycopg://billing@/billing?host={new},{old}")

    def server() -> str:
        with database.transaction() as connection:
            connection.execute(text("CREATE TEMPORARY TABLE written (x int) ON COMMIT DROP"))
            return str(connection.scalar(text("SHOW data_directory")))

    try:
        assert server() == str(pair.old.child.program.folder)
        pair.demote()
        pair.promote()
        assert server() == str(pair.new.child.program.folder)
    finally:
        database.dispose()

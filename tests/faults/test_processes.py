"""Processes that die, stop, or are there twice, at the worst moment.

Each test runs real workers and beats; what is true afterwards is read from the gateway's ledger.
"""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from time import monotonic

import psycopg
import pytest

from billing.domain.events import Actor
from billing.local.processes import running
from billing.services.collecting.charging import GO_ON_SECONDS
from billing.services.context import LEASE_SECONDS
from billing.services.operating import kill_switch
from tests.faults.fleet import kill, pool_of
from tests.faults.ground import HOUR, SETTINGS, Ground, grounds

MINUTE = timedelta(minutes=1)
ASKED = timedelta(seconds=61)
"""A charge on the wire is asked about after 60 s (DOKU, Check Status)."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Ground]:
    """One engine for the file."""
    with grounds() as there:
        yield there


@pytest.fixture
def ground(shared: Ground) -> Iterator[Ground]:
    """The engine; after each test the rows equal the ledger and every invariant holds."""
    yield shared
    shared.reckon()


def caught_in_flight(ground: Ground, members: int, plan: str, seconds: float) -> list[str]:
    """Members whose first batch is on the wire: two were debited, and wait for their answers."""
    people = ground.members(members, plan)
    held = ground.script("hold", times=2, seconds=seconds, work="done")
    ground.jump(HOUR)
    ground.tick()
    ground.await_met(held, 2)
    return people


def queued(ground: Ground, members: int, plan: str) -> list[str]:
    """Members whose batches wait in the queue, for the worker takes none until `let_go`."""
    ground.messenger.control.cancel_consumer("charges", reply=True, limit=1)
    people = ground.members(members, plan)
    ground.jump(HOUR)
    ground.tick(["ticks.open_periods"])
    batches = -(-members // int(SETTINGS["BILLING_BATCH_SIZE"]))
    ground.poll(lambda: ground.broker().llen("charges") == batches, "the batches wait")
    return people


def let_go(ground: Ground) -> None:
    """Let the worker take batches again."""
    ground.messenger.control.add_consumer(
        "charges", exchange="charges", routing_key="charges", reply=True, limit=1
    )


def test_a_pool_child_killed_in_the_middle_of_a_batch_charges_nobody_twice(
    ground: Ground,
) -> None:
    """
    The message comes back to the pool's next child, which finds nothing left to claim.

    The charge on the wire gets a status query, and is found to be paid.
    """
    ground.fleet.man(["one"])
    people = ground.members(3, "child")
    held = ground.script("hold", people[0], seconds=5, work="done")
    ground.jump(HOUR)
    ground.tick()
    ground.await_met(held)
    ground.poll(lambda: ground.charges(people).count("succeeded") == 2, "the others were paid")

    victim = pool_of(ground.fleet.workers["one"])[0]
    victim.kill()
    ground.poll(lambda: bool(pool_of(ground.fleet.workers["one"])), "the pool is full again")
    ground.poll(lambda: not running(victim), "the child is gone")
    ground.tick()
    assert ground.charges(people) == ["in_flight", "succeeded", "succeeded"]
    ground.work_off(ASKED)
    assert ground.charges(people) == ["succeeded"] * 3
    assert ground.debits(people) == [1, 1, 1]


def test_a_killed_worker_costs_less_than_a_minute(ground: Ground) -> None:
    """
    After a SIGKILL with a batch on the wire a new worker charges what was not begun within 60 s.

    That is real time, with the clock standing still. The killed batch itself is claimed and waits
    to be asked about: what the gateway has is booked, what it never got is sent once more, with
    the same Request-Id, when "not found" may be believed.
    """
    ground.fleet.man(["one"])
    people = caught_in_flight(ground, 12, "whole", seconds=5)
    killed_at = monotonic()
    kill(ground.fleet.workers["one"])
    ground.fleet.man(["one"], beats=["one"])
    ground.poll(lambda: ground.charges(people).count("succeeded") >= 8, "8 are charged", 60)
    assert monotonic() - killed_at < 60
    assert ground.charges(people) == ["in_flight"] * 4 + ["succeeded"] * 8
    assert sum(ground.debits(people)) == 10, "two of the killed batch were debited, two not"

    ground.work_off(ASKED)
    assert ground.charges(people) == ["succeeded"] * 10 + ["unknown"] * 2
    ground.work_off(15 * MINUTE)
    assert ground.charges(people) == ["succeeded"] * 12
    assert ground.debits(people) == [1] * 12


def test_a_killed_workers_fetched_batch_is_started_again_within_a_minute(
    ground: Ground,
) -> None:
    """
    A worker was killed with a fetched but unclaimed batch; Celery has not redelivered the message.

    The message is not needed: when the lease of the invoices has ended, a tick sends them again.
    Until then only a worker that charges others, too, may take them, and here none does. The test
    reads from the row that the lease ends within the minute, and shortens it to one second to save
    45 s of waiting.
    """
    ground.fleet.man(["one"])
    people = queued(ground, 4, "fetched")
    with psycopg.connect(ground.postgres.url) as elsewhere:
        elsewhere.execute("LOCK TABLE charges IN ACCESS EXCLUSIVE MODE")
        let_go(ground)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ground.poll(lambda: ground.value(waiting) == 1, "the worker is about to claim")
        kill(ground.fleet.workers["one"])
        elsewhere.rollback()
    ground.fleet.man(["one"], beats=["one"])
    ground.ticked()
    assert ground.charges(people) == [], "nobody begins what another has leased"
    left = ground.value(
        "SELECT extract(epoch FROM max(leased_until) - clock_timestamp()) FROM invoices"
        " WHERE customer_id = ANY(:who)", who=people,
    )  # fmt: skip
    assert 0 < left <= LEASE_SECONDS
    ground.shorten_leases(1)
    assert LEASE_SECONDS + float(SETTINGS["BILLING_TICK_SECONDS"]) < 60
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "all are charged")
    assert ground.debits(people) == [1] * 4


def test_a_killed_beat_delays_and_loses_nothing(ground: Ground) -> None:
    """While beat is dead no work is found; the next beat finds all of it."""
    ground.fleet.man(["one"], beats=["one"])
    people = ground.members(6, "beat")
    kill(ground.fleet.beats["one"])
    ground.poll(lambda: ground.broker().llen("ticks") == 0, "the last ticks are done")
    ground.jump(HOUR)
    assert ground.charges(people) == []
    ground.fleet.man(["one"], beats=["one"])
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 6, "all are charged")
    assert ground.debits(people) == [1] * 6


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "soft"])
def test_a_worker_that_is_told_to_stop_finishes_its_batch(
    ground: Ground, stop: signal.Signals
) -> None:
    """
    The batch that is on the wire is finished and settled: nothing is left unknown.

    Fetched but unstarted messages go back to the queue for the next worker, since the time in which
    a task may continue with other due work is over when the calls are answered. (A soft stop always
    takes its whole time, one HTTP timeout and ten seconds, because Celery sleeps.)
    """
    ground.fleet.man(["one"])
    seconds = GO_ON_SECONDS + 0.5
    people = caught_in_flight(ground, 8, f"stop-{stop.name.lower()}", seconds=seconds)
    worker = ground.fleet.workers["one"]
    os.kill(worker.pid, stop)
    ground.poll(lambda: not worker.running, "the worker ends by itself", 60)
    assert ground.charges(people) == ["succeeded"] * 4
    ground.fleet.man(["one"])
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 8, "the rest follows")
    assert ground.debits(people) == [1] * 8


def test_two_beats_are_one_too_many_and_harmless(ground: Ground) -> None:
    """Every tick comes twice; each invoice is charged once."""
    ground.fleet.man(["one", "two"], beats=["one", "two"])
    people = ground.members(24, "beats")
    ground.jump(HOUR)
    ground.poll(lambda: ground.charges(people).count("succeeded") >= 24, "all are charged")
    assert ground.charges(people) == ["succeeded"] * 24
    assert ground.debits(people) == [1] * 24


def test_two_workers_with_the_same_batch_charge_it_once(ground: Ground) -> None:
    """One message, given to two workers at the same moment: the claim decides who acts."""
    ground.fleet.man(["one", "two"])
    people = ground.members(4, "same")
    ground.jump(HOUR)
    before = done(ground)
    held = ground.script("hold", times=2, seconds=1, work="done")
    ground.tick(["ticks.open_periods"])
    ground.await_met(held, 2)
    ids = [str(row.id) for row in ground.rows(
        "SELECT id FROM invoices WHERE customer_id = ANY(:who)", who=people
    )]  # fmt: skip
    for _ in range(4):
        ground.messenger.send_task("charges.collect", args=[ids])
    ground.poll(lambda: sum(done(ground).values()) >= sum(before.values()) + 5, "all are taken")
    after = done(ground)
    assert all(after[name] > before.get(name, 0) for name in after), "both workers had one"
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "all are charged")
    assert ground.debits(people) == [1] * 4


def done(ground: Ground) -> dict[str, int]:
    """How many batches each worker has taken so far."""
    stats = ground.messenger.control.inspect(timeout=2, limit=len(ground.fleet.workers)).stats()
    return {name: told["total"].get("charges.collect", 0) for name, told in (stats or {}).items()}


def test_messages_that_are_lost_doubled_or_out_of_order_change_nothing(ground: Ground) -> None:
    """One batch is taken out of the queue, one comes three times, and the last comes first.

    The invoices of the lost message are charged by the worker that has nothing else to do.
    """
    ground.fleet.man(["one"])
    people = queued(ground, 12, "post")
    broker = ground.broker()
    first, lost, last = broker.lrange("charges", 0, -1)
    broker.delete("charges")
    broker.rpush("charges", last, first, first, last, first)
    assert lost not in broker.lrange("charges", 0, -1)
    let_go(ground)
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 12, "all are charged")
    ground.poll(lambda: broker.llen("charges") == 0, "every message was taken")

    ground.forget_leases()
    ground.work_off()
    assert ground.charges(people) == ["succeeded"] * 12
    assert ground.debits(people) == [1] * 12


def test_the_kill_switch_stops_a_wave_at_the_batch_that_is_on_the_wire(ground: Ground) -> None:
    """Claimed charges are finished and settled; nothing new is claimed until charging starts."""
    ground.fleet.man(["one"], beats=["one"])
    people = caught_in_flight(ground, 12, "switch", seconds=2.5)
    kill_switch.stop_charging(ground.context, Actor("on call", "a wrong price"))
    try:
        ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "the batch is finished")
        ground.forget_leases()
        ground.ticked()
        assert ground.charges(people) == ["succeeded"] * 4
        assert sum(ground.debits(people)) == 4
    finally:
        started = ground.run("start-charging")
    assert started.returncode == 0, started.stderr
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 12, "the rest follows")
    assert ground.debits(people) == [1] * 12

"""Redis emptied, crashed, restarted, away and frozen: messages are hints, rows are the truth.

The server belongs to this file, so that no other test's messages are lost.
"""

import base64
import json
import os
import re
import signal
from collections.abc import Iterator
from time import monotonic
from uuid import uuid4

import pytest
from kombu.exceptions import OperationalError

from billing import bootstrap
from billing.services.collecting.charging import GO_ON_SECONDS
from tests.faults.fleet import pool_of
from tests.faults.ground import HOUR, Ground, grounds

BOUND_SECONDS = 20
LONG = GO_ON_SECONDS + 0.5
"""No caller waits longer than this for a broker that is away."""
RECONNECTS = re.compile("Connection to broker lost|Cannot connect to redis")


@pytest.fixture(scope="module")
def shared() -> Iterator[Ground]:
    """One engine for the file."""
    with grounds() as there:
        yield there


@pytest.fixture
def ground(shared: Ground) -> Iterator[Ground]:
    """Worker and beat that run; after each test the rows equal the ledger."""
    shared.fleet.man(["one"], beats=["one"])
    yield shared
    shared.reckon()


def begin_a_wave(ground: Ground, plan: str, seconds: float) -> list[str]:
    """Twelve members: one batch is on the wire, the messages of two others are in Redis.

    With `LONG` seconds its task claims nothing else when its calls are answered.
    """
    people = ground.members(12, plan)
    held = ground.script("hold", times=2, seconds=seconds, work="done")
    ground.jump(HOUR)
    ground.await_met(held, 2)
    ground.poll(lambda: ground.broker().llen("charges") == 2, "two batches wait")
    return people


def end_of_the_wave(ground: Ground, people: list[str]) -> None:
    """All customers are charged once, by the same processes as before."""
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 12, "all are charged", 60)
    assert ground.debits(people) == [1] * 12
    assert all(child.running for child in ground.fleet.crew.children)


def test_a_flush_in_the_middle_of_a_wave_loses_nobody(ground: Ground) -> None:
    """
    FLUSHALL takes the waiting batches, the unacknowledged one, and every binding.

    The batch on the wire is settled normally; the others are sent again when their leases end (the
    test ends them at once to save 45 s of waiting).
    """
    people = begin_a_wave(ground, "flush", seconds=LONG)
    ground.broker().flushall()
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "the batch is settled")
    ground.forget_leases()
    end_of_the_wave(ground, people)


@pytest.mark.parametrize("crash", [False, True], ids=["in-order", "killed"])
def test_worker_and_beat_survive_a_restart_by_themselves(ground: Ground, crash: bool) -> None:
    """Both connect again, without being started again; what came back twice meets the claim."""
    people = begin_a_wave(ground, f"restart-{crash:d}", seconds=2)
    ground.restart_redis(crash=crash)
    ground.poll(lambda: ground.charges(people).count("succeeded") >= 4, "the batch is settled")
    ground.forget_leases()
    end_of_the_wave(ground, people)


def test_redis_may_be_away_for_a_while(ground: Ground) -> None:
    """
    Without Redis a batch on the wire is settled, and callers get an error in a bounded time.

    When it is back, worker and beat reconnect, and work continues.
    """
    people = begin_a_wave(ground, "away", seconds=LONG)
    ground.stop_redis()
    gone_at = monotonic()
    with pytest.raises(OperationalError):
        ground.messenger.send_task("ticks.reconcile")
    assert monotonic() - gone_at < BOUND_SECONDS
    refused = ground.run("clock", "advance", "1m", "--wait")
    assert refused.returncode == 1
    assert "cannot reach Redis" in refused.stderr
    assert "Traceback" not in refused.stderr
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "the batch is settled")
    ground.poll(lambda: monotonic() - gone_at > 10, "ten seconds are over")
    ground.start_redis()
    ground.forget_leases()
    end_of_the_wave(ground, people)


def test_a_redis_that_is_silent_holds_no_caller(ground: Ground) -> None:
    """A server that accepts and never answers is given up within a bounded time, too."""
    client = bootstrap.messenger(ground.stack.settings)
    begun_at = monotonic()
    os.kill(ground.redis.pid, signal.SIGSTOP)
    try:
        with pytest.raises(OperationalError):
            client.send_task("ticks.reconcile")
    finally:
        os.kill(ground.redis.pid, signal.SIGCONT)
        client.close()
    assert monotonic() - begun_at < BOUND_SECONDS


NOWHERE = ("127.0.0.1", 1)
STRIKES: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {
    "replica": ([("REPLICAOF", *map(str, NOWHERE))], [("REPLICAOF", "NO", "ONE")]),
    "replica that answers nothing": (
        [
            ("CONFIG", "SET", "replica-serve-stale-data", "no"),
            ("REPLICAOF", *map(str, NOWHERE)),
        ],
        [("REPLICAOF", "NO", "ONE"), ("CONFIG", "SET", "replica-serve-stale-data", "yes")],
    ),
    "no permission": (
        [("ACL", "SETUSER", "default", "-brpop")],
        [("ACL", "SETUSER", "default", "+brpop")],
    ),
    "wrong type": ([("DEL", "charges"), ("SET", "charges", "x")], [("DEL", "charges")]),
}
"""What makes a running server answer the blocking read with errors, and what ends that."""


def in_hand(ground: Ground, queue: str) -> set[str]:
    """The tags of what workers have fetched of a queue and not acknowledged."""
    fetched = ground.broker().hgetall("unacked")
    return {tag.decode() for tag, message in fetched.items() if json.loads(message)[2] == queue}


def test_a_message_that_cannot_be_acknowledged_holds_no_place(ground: Ground) -> None:
    """
    A worker that can acknowledge no batch still fetches the others.

    Redis allows reads and refuses to remove a message: no error ends the connection, so that a
    prefetch slot that is not released would be lost until the worker restarts.
    """
    left_over = in_hand(ground, "charges")  # by a Redis that was restarted, of other tests
    people = begin_a_wave(ground, "unacknowledged", seconds=LONG)
    log = ground.fleet.workers["one"].program.log
    connected = len(RECONNECTS.findall(log.read_text()))
    [first] = in_hand(ground, "charges") - left_over
    ground.broker().execute_command("ACL", "SETUSER", "default", "-zrem", "-hdel")
    try:
        end_of_the_wave(ground, people)
        # The last batch may have been charged by the worker of the second, and is fetched then.
        ground.poll(
            lambda: len(in_hand(ground, "charges") - left_over) == 3,
            "all three batches are fetched, and none was taken out",
        )
        tags = in_hand(ground, "charges") - left_over
        assert first in tags
        ground.poll(
            lambda: all(f"Couldn't ack '{tag}'" in log.read_text() for tag in tags),
            "each acknowledgement was lost",
        )
    finally:
        ground.broker().execute_command("ACL", "SETUSER", "default", "+zrem", "+hdel")
    assert len(RECONNECTS.findall(log.read_text())) == connected, "it never had to connect again"


def test_a_batch_that_ends_while_redis_is_a_replica_holds_no_place(ground: Ground) -> None:
    """A worker whose batches all end while Redis is a replica fetches others afterwards."""
    people = begin_a_wave(ground, "replicated", seconds=2)
    log = ground.fleet.workers["one"].program.log
    seen = len(RECONNECTS.findall(log.read_text()))
    ground.broker().replicaof(*NOWHERE)
    try:
        ground.poll(lambda: ground.charges(people).count("succeeded") >= 4, "the batch is settled")
        ground.poll(
            lambda: len(RECONNECTS.findall(log.read_text())) > seen + 1, "the worker has noticed"
        )
    finally:
        ground.broker().replicaof("NO", "ONE")
    end_of_the_wave(ground, people)


@pytest.mark.parametrize("strike", STRIKES)
def test_an_error_reply_makes_the_worker_connect_again(ground: Ground, strike: str) -> None:
    """
    UNBLOCKED, READONLY, MASTERDOWN, NOPERM or WRONGTYPE: the worker stays, and works on afterwards.

    It tries again for as long as that lasts, with the very processes that it had.
    """
    worker, broker = ground.fleet.workers["one"], ground.broker()
    before = [worker.pid, *(child.pid for child in pool_of(worker))]
    begin, end = STRIKES[strike]
    seen = len(RECONNECTS.findall(worker.program.log.read_text()))
    for command in begin:
        broker.execute_command(*command)
    try:
        ground.poll(
            lambda: len(RECONNECTS.findall(worker.program.log.read_text())) > seen + 1,
            "it goes on trying",
        )
    finally:
        for command in end:
            broker.execute_command(*command)
    people = ground.members(4, strike.replace(" ", "-"))
    ground.jump(HOUR)
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 4, "all are charged", 60)
    assert ground.debits(people) == [1] * 4
    assert [worker.pid, *(child.pid for child in pool_of(worker))] == before
    assert all(child.running for child in ground.fleet.crew.children)


def envelope(body: bytes, **headers: object) -> bytes:
    """A message as Celery sends it, but for what is wrong with it."""
    known = {"lang": "py", "task": "charges.collect", "id": "x", "root_id": "x"}
    properties = {
        "correlation_id": "x", "delivery_mode": 2, "delivery_tag": str(uuid4()), "priority": 0,
        "delivery_info": {"exchange": "", "routing_key": "charges"}, "body_encoding": "base64",
    }  # fmt: skip
    message = {
        "body": base64.b64encode(body).decode(), "content-encoding": "utf-8",
        "content-type": "application/json", "headers": known | headers, "properties": properties,
    }  # fmt: skip
    return json.dumps(message).encode()


def malformed() -> list[bytes]:
    """Messages that are wrong in every layer, from the bytes to the arguments."""
    return [
        b"",
        b"garbage{",
        b"\xff\xfe\x00",
        b"42",
        b"[1, 2]",
        b"{}",
        b'{"body": "x", "properties": {}}',
        envelope(b"{{{"),
        envelope(b"null"),
        envelope(b"[1, 2, 3]"),
        envelope(b'[["not an id"], {}, {}]'),
        envelope(b'[[["not an id"]], {}, {}]'),
        envelope(b'[[], {"unexpected": 1}, {}]'),
        envelope(b"[[], {}, {}]", task="no.such_task"),
        envelope(b"[[], {}, {}]", expires="never", eta="soon", timelimit="long"),
        envelope(b"[[], {}, {}]").replace(b'"headers": {', b'"headers": null, "x": {'),
        envelope(b"cos\nsystem\n.").replace(b"application/json", b"application/x-python-serialize"),
        envelope(b"[[], {}, {}]").replace(b'"base64"', b'"rot13"'),
    ]


def test_a_malformed_message_kills_no_worker(ground: Ground) -> None:
    """The worker takes any message of a queue, drops an invalid one, and charges the next wave."""
    worker, broker = ground.fleet.workers["one"], ground.broker()
    started = worker.pid
    # What it had in hand when Redis was restarted comes back later; two processes have one each.
    in_hand = broker.hlen("unacked") + 2
    for queue in bootstrap.CONSUMED:
        broker.lpush(queue, *malformed())
    ground.poll(lambda: not any(map(broker.llen, bootstrap.CONSUMED)), "all were taken", 40)
    people = ground.members(12, "after")
    ground.jump(HOUR)
    end_of_the_wave(ground, people)
    assert worker.running
    assert worker.pid == started
    ground.poll(lambda: broker.hlen("unacked") <= in_hand, "nothing stays fetched for ever")

"""Many renewals and slow wallets: other work is done at the same time.

One worker with the usual options serves every queue.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.faults.ground import HOUR, Ground, grounds

MEMBERS = 120
SLOW_SECONDS = 5
WAITING_MAX = 16 + 8
"""Batches that may wait, and questions beside them (workers/ticks.py)."""


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


def test_slow_wallets_stop_neither_ticks_nor_refunds_nor_the_queue_from_being_short(
    ground: Ground,
) -> None:
    """
    A refund is done while every charging process waits for a wallet, long before the renewals.

    Ticks continue, and the queue never holds more batches than its limit.
    """
    ground.fleet.man(["one"], ["one"])
    [early] = ground.members(1, "early")
    ground.jump(HOUR)
    ground.work_off()
    invoice = str(ground.value("SELECT id FROM invoices WHERE customer_id = :who", who=early))
    people = ground.members(MEMBERS, "flood")
    slow = ground.script("hold", times=1_000, seconds=SLOW_SECONDS, work="done")
    ground.jump(HOUR)
    ground.await_met(slow, 2)
    lengths = []

    ground.messenger.send_task("admin.refund_invoice", kwargs={"invoice": invoice})
    ground.poll(
        lambda: (
            lengths.append(ground.broker().llen("charges"))
            or ground.value("SELECT count(*) FROM refunds WHERE status = 'succeeded'") == 1
        ),
        "the refund is done",
        pause_seconds=0.05,  # each look is a sample of the queue's length
    )
    paid = "SELECT count(*) FROM invoices WHERE status = 'paid' AND customer_id = ANY(:who)"
    assert ground.value(paid, who=people) <= MEMBERS / 10, "it did not wait for its turn"
    beaten = ground.value("SELECT max(at) FROM heartbeats WHERE tick = 'sweep_charges'")
    ground.poll(
        lambda: (
            ground.value("SELECT max(at) FROM heartbeats WHERE tick = 'sweep_charges'")
            > beaten + timedelta(seconds=1)
        ),
        "ticks go on",
    )

    assert ground.value(paid, who=people) <= MEMBERS / 10, "ticks did not wait for it either"
    assert ground.value("SELECT count(*) FROM charges WHERE status = 'in_flight'") > 0
    assert 0 < max(lengths) <= WAITING_MAX
    assert WAITING_MAX < MEMBERS / 4  # or it would have been short by itself
    ground.pretend.call("DELETE", "scripts")
    still_open = "SELECT count(*) FROM invoices WHERE status = 'open'"
    ground.poll(lambda: ground.value(still_open) == 0, "the flood is worked off", seconds=60)
    assert ground.debits(people) == [1] * MEMBERS

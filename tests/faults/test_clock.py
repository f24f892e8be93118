"""A clock that jumps a quarter of a year ahead, and one that goes back by an hour."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.faults.ground import HOUR, Ground, grounds, set_clock_back

ASKED = timedelta(seconds=61)
QUARTER = timedelta(days=92)


@pytest.fixture(scope="module")
def shared() -> Iterator[Ground]:
    """One engine for the file."""
    with grounds() as there:
        yield there


@pytest.fixture
def ground(shared: Ground) -> Iterator[Ground]:
    """A worker and a beat; after each test the rows equal the ledger."""
    shared.fleet.man(["one"], beats=["one"])
    yield shared
    shared.reckon()


def test_a_leap_of_three_months_is_caught_up_as_the_plan_says(ground: Ground) -> None:
    """
    `all` bills every missed period, oldest first, one charge at a time; `latest` the current one.

    What `latest` leaves out is on record as skipped.
    """
    everything = ground.members(3, "leap-all")
    latest = ground.members(3, "leap-latest", catch_up="latest")
    ground.jump(HOUR)
    ground.poll(lambda: ground.debits([*everything, *latest]) == [1] * 6, "the first period")
    ground.poll(lambda: "in_flight" not in ground.charges(everything + latest), "settled")
    ground.jump(QUARTER)
    ground.poll(lambda: ground.debits(everything) == [4] * 3, "all periods are billed")
    ground.poll(lambda: ground.debits(latest) == [2] * 3, "the current one is billed")
    ground.work_off()
    assert ground.debits([*everything, *latest]) == [4] * 3 + [2] * 3
    for who in everything:
        numbers = [row["number"] for row in ground.pretend.ledger()
                   if row["customer_id"] == who and row["kind"] == "payment"]  # fmt: skip
        assert [number.split("-")[1] for number in numbers] == ["0", "1", "2", "3"]
    skipped = ground.rows(
        "SELECT data->>'first' AS first, data->>'last' AS last FROM events"
        " WHERE kind = 'period.skipped' AND customer_id = ANY(:who)", who=latest,
    )  # fmt: skip
    assert [tuple(row) for row in skipped] == [("1", "2")] * 3


def test_a_clock_that_goes_back_bills_no_hour_twice(ground: Ground) -> None:
    """
    Periods that were opened and charges that were made stay; what is to come waits a little more.

    A charge whose outcome is unknown is asked about when the clock is there again.
    """
    people = ground.members(4, "back")
    lost = ground.script("drop_after", people[0])
    ground.jump(HOUR)
    ground.await_met(lost)
    paid = ["succeeded"] * 3 + ["unknown"]
    ground.poll(lambda: ground.charges(people) == paid, "three are paid, one is unknown")
    set_clock_back(ground, HOUR)
    later = ground.members(2, "back-later")
    ground.ticked()
    assert ground.charges(people) == paid
    assert ground.charges(later) == []

    ground.jump(HOUR)
    ground.poll(lambda: ground.charges(later) == ["succeeded"] * 2, "the newcomers' hour has come")
    assert ground.charges(people) == paid
    ground.work_off(ASKED)
    assert ground.charges(people) == ["succeeded"] * 4
    assert ground.debits([*people, *later]) == [1] * 6

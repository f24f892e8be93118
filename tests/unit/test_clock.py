"""Clocks: billing time may be moved by a test, what the outside world checks may not."""

from datetime import UTC, datetime, timedelta, timezone

from freezegun import freeze_time

from billing.clock import Clock, SystemClock, TestClock, real_now

FROZEN = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)
MOVED = datetime(2030, 6, 1, tzinfo=UTC)


@freeze_time(FROZEN)
def test_system_clock_is_the_operating_systems_in_utc() -> None:
    """An instant always has an offset, and it is UTC's."""
    assert SystemClock().now() == FROZEN
    assert SystemClock().now().tzinfo is UTC


def test_system_clock_goes_on() -> None:
    """It is asked each time, and not once at start."""
    with freeze_time(FROZEN) as frozen:
        clock = SystemClock()
        assert clock.now() == FROZEN
        frozen.tick(timedelta(days=1))
        assert clock.now() == FROZEN + timedelta(days=1)


@freeze_time(FROZEN)
def test_test_clock_is_real_until_somebody_sets_it() -> None:
    """A new stack starts today."""
    assert TestClock(lambda: None).now() == FROZEN


@freeze_time(FROZEN)
def test_test_clock_stands_where_it_was_put_and_reads_each_time() -> None:
    """Every process reads the same row, so nothing may be cached."""
    stands: list[datetime | None] = [None]
    clock = TestClock(lambda: stands[0])
    assert clock.now() == FROZEN

    stands[0] = MOVED
    assert clock.now() == MOVED

    stands[0] = MOVED + timedelta(days=30)
    assert clock.now() == MOVED + timedelta(days=30)


@freeze_time(FROZEN)
def test_real_time_is_not_moved_by_a_test_clock() -> None:
    """The signature's timestamp is real time: the gateway allows an hour at most."""
    assert TestClock(lambda: MOVED).now() == MOVED
    assert real_now() == FROZEN


def test_a_test_clock_keeps_the_instant_whatever_its_offset() -> None:
    """An instant set as Jakarta's morning is the same instant."""
    morning = datetime(2026, 1, 31, 9, tzinfo=timezone(timedelta(hours=7)))

    assert TestClock(lambda: morning).now() == FROZEN


def test_both_clocks_are_clocks() -> None:
    """Both clocks fit the protocol; pytest collects neither as a test case."""
    clocks: list[Clock] = [SystemClock(), TestClock(lambda: MOVED)]

    assert all(clock.now().utcoffset() is not None for clock in clocks)
    assert TestClock.__test__ is False

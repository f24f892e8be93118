"""Times of gateway calls in memory: buckets, taking, putting back."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from billing.call_times import BOUNDS_SECONDS, NOTHING, CallTimes


@pytest.mark.parametrize(
    ("seconds", "slot"), [(0.0, 0), (0.05, 0), (0.051, 1), (1.0, 4), (75.0, 9), (75.1, 10)]
)
def test_a_call_is_counted_in_the_bucket_whose_bound_it_does_not_exceed(
    seconds: float, slot: int
) -> None:
    """A bound belongs to its bucket, as Prometheus defines `le`; the last bucket has no bound."""
    times = CallTimes()

    times.add("pay", seconds)

    taken = times.take()["pay"]
    assert taken.buckets.index(1) == slot
    assert sum(taken.buckets) == 1
    assert taken.seconds == seconds


def test_putting_times_back_adds_to_later_ones() -> None:
    """Taking empties; putting back adds to what was counted meanwhile."""
    times = CallTimes()
    times.add("pay", 0.01)
    taken = times.take()
    assert times.take() == {}

    times.add("pay", 60.0)
    times.put_back(taken)

    again = times.take()["pay"]
    assert (again.buckets[0], again.buckets[9]) == (1, 1)
    assert again.seconds == pytest.approx(60.01)


def test_no_call_of_many_threads_is_lost() -> None:
    """Threads add while another takes."""
    times = CallTimes()
    total = NOTHING
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(times.add, "pay", 0.2) for _ in range(2_000)]
        while not all(call.done() for call in done):
            total += times.take().get("pay", NOTHING)
    total += times.take().get("pay", NOTHING)

    assert sum(total.buckets) == 2_000
    assert len(total.buckets) == len(BOUNDS_SECONDS) + 1


def test_storing_is_due_for_one_caller_in_each_span() -> None:
    """Of many callers within the span only the first stores."""
    times = CallTimes()

    assert times.is_due(100.0, 5)
    assert not times.is_due(104.9, 5)
    assert times.is_due(105.0, 5)

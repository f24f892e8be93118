"""Call times: how long calls to the gateway took, counted in memory as histograms.

Each process counts its own calls; `billing.services.operating.call_times` adds them to the database
from time to time. What a killed process had not added yet is lost; nothing is decided by it.
"""

from bisect import bisect_left
from dataclasses import dataclass
from threading import Lock

BOUNDS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 75.0)
"""Upper bounds of the buckets; one more bucket has everything that took longer. 75 s is how long a
charge waits for its answer by default."""


@dataclass(frozen=True, slots=True)
class Times:
    """The calls of one kind: how many ended in each bucket, and how long they took together."""

    buckets: tuple[int, ...]
    seconds: float

    def __add__(self, other: "Times") -> "Times":
        """Return both together."""
        added = zip(self.buckets, other.buckets, strict=True)
        return Times(tuple(one + two for one, two in added), self.seconds + other.seconds)


NOTHING = Times((0,) * (len(BOUNDS_SECONDS) + 1), 0.0)


class CallTimes:
    """The calls of this process since they were last taken. May be used by many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._due_at = 0.0

    def is_due(self, now: float, every_seconds: float) -> bool:
        """Whether they were last stored long enough ago, for one caller; `now` is monotonic."""
        with self._lock:
            if now < self._due_at:
                return False
            self._due_at = now + every_seconds
            return True

    def add(self, call: str, seconds: float) -> None:
        """Count one call."""
        slot = bisect_left(BOUNDS_SECONDS, seconds)
        with self._lock:
            if call not in self._buckets:
                self._buckets[call] = list(NOTHING.buckets)
            self._buckets[call][slot] += 1
            self._seconds[call] = self._seconds.get(call, 0.0) + seconds

    def take(self) -> dict[str, Times]:
        """Return what was counted, by call, and begin again with nothing."""
        with self._lock:
            buckets, self._buckets = self._buckets, {}
            seconds, self._seconds = self._seconds, {}
        return {call: Times(tuple(found), seconds[call]) for call, found in buckets.items()}

    def put_back(self, taken: dict[str, Times]) -> None:
        """Count again what was taken and could not be stored."""
        with self._lock:
            for call, times in taken.items():
                now = Times(tuple(self._buckets.get(call, NOTHING.buckets)), 0.0) + times
                self._buckets[call] = list(now.buckets)
                self._seconds[call] = self._seconds.get(call, 0.0) + times.seconds

"""Recent: a figure that is costly to read, which the viewers of one process share for a minute.

It is kept with the context, and knows neither what it keeps nor who asks.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")
KEPT = timedelta(seconds=60)


class Recent(Generic[T]):
    """A value with the instant of billing time for which it was read."""

    def __init__(self, monotonic_now: Callable[[], float] = monotonic) -> None:
        self._now, self._lock = monotonic_now, Lock()
        self._found: tuple[float, datetime, T] | None = None

    def known(self, at: datetime) -> tuple[datetime, T] | None:
        """Return the value if it was read within a minute, of real time and of billing time."""
        found = self._found
        if found is None:
            return None
        read_at, of, value = found
        is_recent = self._now() - read_at < KEPT.total_seconds() and of <= at < of + KEPT
        return (of, value) if is_recent else None

    def get(self, at: datetime, read: Callable[[], T]) -> tuple[datetime, T]:
        """Return the recent value, or read it: one thread reads, and the others wait for it."""
        with self._lock:
            known = self.known(at)
            if known is not None:
                return known
            begun_at = self._now()
            value = read()
            self._found = (begun_at, at, value)
            return at, value

"""Clock: the only module that reads the operating system's time.

Billing time (`Clock.now`) can be moved by a test clock. `real_now` cannot, and is used for
everything that the outside world checks: signatures, leases between processes, log lines.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Billing time."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""


def real_now() -> datetime:
    """Return the operating system's instant, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place


class SystemClock:
    """Billing time that is real time."""

    def now(self) -> datetime:
        """Return the operating system's instant."""
        return real_now()


class TestClock:
    """Billing time that stays where a command set it; every process reads the same row.

    Not allowed with the production gateway: `config` refuses both together at start.
    """

    __test__ = False  # for pytest: this is not a test case

    def __init__(self, read: Callable[[], datetime | None]) -> None:
        self._read = read

    def now(self) -> datetime:
        """Return the instant that was set; real time until one is set."""
        return self._read() or real_now()

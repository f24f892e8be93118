"""What time it is: the one module that may ask the operating system.

Billing time (`Clock.now`) can be moved by a test clock; `real_now` cannot, and serves what the
outside world checks: signatures, leases between processes, log lines.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Billing time."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""


def real_now() -> datetime:
    """The operating system's instant, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place


class SystemClock:
    """Billing time is real time."""

    def now(self) -> datetime:
        """The operating system's instant."""
        return real_now()


class TestClock:
    """Billing time stands where it was put; every process reads the same row.

    Never used with the production gateway: `config` refuses the pair at start.
    """

    __test__ = False  # pytest: this is no test case

    def __init__(self, read: Callable[[], datetime | None]) -> None:
        self._read = read

    def now(self) -> datetime:
        """The instant that was set; real time until somebody sets one."""
        return self._read() or real_now()

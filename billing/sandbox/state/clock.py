"""The two times of the sandbox: real time for signatures, business time for everything else.

Instants are texts of one form, `2026-01-31T09:00:00Z`, which sort by time. This module does not
know what happens at a given time.
"""

import re
from datetime import UTC, datetime, timedelta

_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def real_now() -> datetime:
    """Return the real time in UTC; signatures are checked against this time only."""
    # The sandbox is separate from the engine and cannot use the engine's clock.
    return datetime.now(UTC)  # noqa: TID251 - the one place of a program of its own


def stamp(moment: datetime) -> str:
    """Write an instant in UTC, to the second, with a literal Z (DOKU, Request Header)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def read_stamp(text: str) -> datetime | None:
    """Read the form of `stamp`; None for any other form, and for days that do not exist."""
    if not _STAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def later(text: str, delta: timedelta) -> str:
    """Return the stamp `delta` after another stamp."""
    return stamp(datetime.fromisoformat(text) + delta)


class BusinessClock:
    """Real time until it is set; then the instant it was set to, until it is released."""

    def __init__(self) -> None:
        self.frozen_at: str | None = None

    def now(self) -> str:
        """Return the business time as a stamp."""
        return self.frozen_at or stamp(real_now())

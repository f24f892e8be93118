"""The two times of the sandbox: real time for signatures, business time for everything else.

Instants are texts of one fixed form, `2026-01-31T09:00:00Z`, which sort as they follow each other.
This module does not know what is done at a given time.
"""

import re
from datetime import UTC, datetime, timedelta

_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def real_now() -> datetime:
    """The real time in UTC: the only time that a signature is judged by."""
    # The sandbox stands outside the engine, so it cannot use the engine's clock.
    return datetime.now(UTC)  # noqa: TID251 - the one place of a program of its own


def stamp(moment: datetime) -> str:
    """Write an instant in UTC, to the second, with a literal Z (DOKU, Request Header)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def read_stamp(text: str) -> datetime | None:
    """Read what `stamp` writes; None for any other form, and for days that do not exist."""
    if not _STAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def later(text: str, delta: timedelta) -> str:
    """The stamp that follows another stamp by `delta`."""
    return stamp(datetime.fromisoformat(text) + delta)


class BusinessClock:
    """Real time until it is set; from then on the instant it was set to, until it is freed."""

    def __init__(self) -> None:
        self.frozen_at: str | None = None

    def now(self) -> str:
        """The business time as a stamp."""
        return self.frozen_at or stamp(real_now())

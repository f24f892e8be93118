"""An append-only file of JSON lines: one line has all events of one request.

A kill of the process at any byte loses no complete line (a power cut may: nothing is fsynced before
the end). It does not know what the events mean.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from billing.sandbox.state.events import EVENTS, Event


class JournalUnusable(Exception):
    """The state file is in use by another sandbox, or is not one of ours."""


class Journal:
    """One open state file, locked by this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise JournalUnusable(f"cannot open {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise JournalUnusable(f"{path} is in use by another sandbox") from error

    def replay(self) -> Iterator[Event]:
        """Yield every event so far, and cut off an incomplete last line."""
        good = 0
        with self._path.open("rb") as lines:
            for count, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    events = [EVENTS[name](**fields) for name, fields in orjson.loads(line)]
                except (ValueError, KeyError, TypeError) as error:
                    raise JournalUnusable(f"{self._path}: line {count} is not readable") from error
                yield from events
                good += len(line)
        os.ftruncate(self._descriptor, good)

    def append(self, events: Sequence[Event]) -> None:
        """Write one line; when this returns, killing the process no longer loses it."""
        line = orjson.dumps(
            [(type(event).__name__, event) for event in events],
            option=orjson.OPT_APPEND_NEWLINE,
        )
        while line:
            line = line[os.write(self._descriptor, line) :]

    def close(self) -> None:
        """Sync everything to the disk and close the file."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

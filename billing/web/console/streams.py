"""Streams: parts of pages that are sent again and again, as Server-Sent Events.

A stream reads, sends, and waits in the event loop: between two readings it holds no thread and no
database connection. It ends with the session, the role, the server, and after some minutes, after
which the browser opens the next one. What all viewers see alike is read once for all of them.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from billing.domain.errors import BillingError

T = TypeVar("T")

KIND = "text/event-stream"
EVERY_SECONDS = 5.0
STREAM_SECONDS = 300.0
"""A stream ends after this time: proxies cut long answers, and headers are checked again."""
SEND_SECONDS = 10.0
"""A browser that takes nothing for this long has gone."""
STREAMS_MAX, PER_SESSION = 200, 6
"""Open streams of one process, and of one session; a further one is told to poll."""
READERS_MAX = 4
"""Threads that all streams of a process use for reading; the others are left to pages."""
SHARED_SECONDS = 2.0
SHARED_WAIT_SECONDS = 5.0
HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would keep events until its buffer is full
}
_LINES = re.compile(r"\r\n|\n|\r")


def event(name: str, text: str) -> bytes:
    """Write one event; a line break in its text begins another line of data."""
    lines = "".join(f"data: {line}\n" for line in _LINES.split(text))
    return f"event: {name}\n{lines}\n".encode(errors="replace")


ENDED = event("ended", "")
"""The last event, when the session or the role has ended: the page has to be opened again."""
BEGINNING = b"retry: 5000\n\n"
"""How many milliseconds later a browser opens the next stream."""
STALE = event("stale", "")
"""The figures could not be read this time."""


class Streams:
    """The open streams of one process. Only the event loop changes it."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Event, str] = {}
        self._is_stopped = False
        self.shared: dict[str, Shared[object]] = {}
        self._readers: CapacityLimiter | None = None

    @property
    def readers(self) -> CapacityLimiter:
        """Return what bounds the readings at one time; it belongs to the running event loop."""
        if self._readers is None:
            self._readers = CapacityLimiter(READERS_MAX)
        return self._readers

    def start(self) -> None:
        """Accept streams."""
        self._is_stopped = False
        self._readers = None
        self.shared.clear()

    def stop(self) -> None:
        """End all streams, and accept no more."""
        self._is_stopped = True
        for each in self._open:
            each.set()

    def begin(self, owner: str) -> asyncio.Event | None:
        """Return what ends a new stream; None when there are too many."""
        counts = Counter(self._open.values())
        is_full = len(self._open) >= STREAMS_MAX or counts[owner] >= PER_SESSION
        if self._is_stopped or is_full:
            return None
        ending = asyncio.Event()
        self._open[ending] = owner
        return ending

    def end(self, ending: asyncio.Event) -> None:
        """Forget a stream."""
        del self._open[ending]

    def __len__(self) -> int:
        return len(self._open)


class SharedBusy(BillingError):
    """Another thread has been reading for a long time."""


class Shared(Generic[T]):
    """A value that is read at most every two seconds, for all who ask for it."""

    def __init__(self, monotonic_now: Callable[[], float] = monotonic) -> None:
        self._now, self._lock = monotonic_now, Lock()
        self._found: tuple[float, T] | None = None

    def get(self, read: Callable[[], T], asked_at: float | None = None) -> T:
        """Return a value that was read within two seconds, or since it was asked for.

        All who wait for one reading share it, however long it takes: `asked_at` is when the wait
        began. A value from before is never shown while another thread reads: it can be older than
        a page.
        Raises SharedBusy when the other thread takes too long.
        """
        asked_at = self._now() if asked_at is None else asked_at
        if not self._lock.acquire(timeout=SHARED_WAIT_SECONDS):
            raise SharedBusy("the figures are being read, which takes long")
        try:
            found, now = self._found, self._now()
            if found is None or (found[0] < asked_at and now - found[0] >= SHARED_SECONDS):
                found = self._found = (now, read())
            return found[1]
        finally:
            self._lock.release()


class Stream(Response):
    """An answer that sends what `read` returns, every five seconds.

    The first time is after five seconds: what viewers share may be older than the page, which has
    just been made, and must not replace what is newer. `read` runs in a thread, is given when its
    wait for one began, and returns an event; after `ENDED` nothing more is sent.
    """

    def __init__(self, streams: Streams, owner: str, read: Callable[[float], bytes]) -> None:
        super().__init__(media_type=KIND, headers=HEADERS)
        del self.headers["content-length"]
        self._streams, self._owner, self._read = streams, owner, read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until one of the ends has come."""
        ending = self._streams.begin(self._owner)
        if ending is None:
            refused = Response(status_code=503, headers={"Retry-After": "60"})
            await refused(scope, receive, send)
            return
        listener = asyncio.create_task(_listen(receive, ending))
        try:
            with suppress(TimeoutError):
                await self._send_all(send, ending)
        finally:
            self._streams.end(ending)
            listener.cancel()

    async def _send_all(self, send: Send, ending: asyncio.Event) -> None:
        until = monotonic() + STREAM_SECONDS
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": BEGINNING, "more_body": True})
        while monotonic() < until and not await _is_set(ending, EVERY_SECONDS):
            readers = self._streams.readers
            found = await to_thread.run_sync(self._read, monotonic(), limiter=readers)
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": found, "more_body": True})
            if found == ENDED:
                break
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _is_set(ending: asyncio.Event, seconds: float) -> bool:
    """Wait at most this time for the end, and say whether it has come."""
    with suppress(TimeoutError):
        await asyncio.wait_for(ending.wait(), seconds)
    return ending.is_set()


async def _listen(receive: Receive, ending: asyncio.Event) -> None:
    """End the stream when the browser has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    ending.set()

"""Deadlines: one thread of the process ends the connections whose request takes too long.

A time-out of a socket begins again with every byte that arrives, and a timer for each request would
be a thread for each request. This module knows sockets only.
"""

import socket
from contextlib import suppress
from threading import Condition, Thread
from time import monotonic

_NEVER = float("inf")


class Watched:
    """A connection, ended by its twin: TLS takes the socket itself over."""

    def __init__(self, twin: socket.socket) -> None:
        self.twin = twin
        self.deadline = _NEVER
        self.is_ended = False


class Watchdog:
    """Ends connections at their deadlines, in a thread that sleeps until the earliest of them."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._watched: set[Watched] = set()
        self._thread: Thread | None = None
        self._wakes_at = _NEVER

    def begin(self, watched: Watched, deadline: float) -> None:
        """End the connection at this instant of `monotonic`, unless `rest` is called before."""
        with self._changed:
            watched.deadline = deadline
            self._watched.add(watched)
            # In a process that was forked the thread does not live.
            if self._thread is None or not self._thread.is_alive():
                self._wakes_at = _NEVER
                self._thread = Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            if deadline < self._wakes_at:
                self._wakes_at = deadline
                self._changed.notify()

    def rest(self, watched: Watched) -> bool:
        """Forget the deadline; return whether the connection was not ended."""
        with self._changed:
            self._watched.discard(watched)
            watched.deadline = _NEVER
            return not watched.is_ended

    def close(self, watched: Watched) -> None:
        """Forget the connection and close its twin."""
        with self._changed:
            self._watched.discard(watched)
            watched.twin.close()

    def _run(self) -> None:
        with self._changed:
            while True:
                now = monotonic()
                late = [each for each in self._watched if each.deadline <= now]
                for each in late:
                    each.is_ended = True
                    self._watched.discard(each)
                    with suppress(OSError):
                        each.twin.shutdown(socket.SHUT_RDWR)
                self._wakes_at = min((each.deadline for each in self._watched), default=_NEVER)
                self._changed.wait(
                    None if self._wakes_at == _NEVER else max(self._wakes_at - now, 0)
                )


WATCHDOG = Watchdog()

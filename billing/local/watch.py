"""The thread that restarts a child that died, until it has died too often.

It knows the crew and nothing about what its children do.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from billing.local.processes import Child, Crew

RESTARTS_MAX = 5
WITHIN_SECONDS = 60.0
LEAST_SECONDS = 1.0  # between two starts of one child, so that five starts span some time
LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Status:
    """The status of one child."""

    name: str
    pid: int
    state: Literal["running", "restarting", "given up"]
    restarts: int


class Watch:
    """Watches the children of a crew, from `start` to `stop`."""

    def __init__(self, crew: Crew, say: Callable[[str], None]) -> None:
        self._crew = crew
        self._say = say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._restarts: dict[str, list[float]] = defaultdict(list)
        self._given_up: set[str] = set()

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; nothing is restarted after this returns."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def status(self) -> list[Status]:
        """Return each child's status, in the order of their start."""
        return [
            Status(child.program.name, child.pid, self._state(child), self._count(child))
            for child in list(self._crew.children)
        ]

    def _state(self, child: Child) -> Literal["running", "restarting", "given up"]:
        if child.program.name in self._given_up:
            return "given up"
        return "running" if child.running else "restarting"

    def _count(self, child: Child) -> int:
        return len(self._restarts[child.program.name])

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for child in list(self._crew.children):
                if not child.running and child.program.name not in self._given_up:
                    self._revive(child)

    def _revive(self, child: Child) -> None:
        name, now = child.program.name, monotonic()
        if now - child.started < LEAST_SECONDS:
            return
        child.end()
        recent = [at for at in self._restarts[name] if now - at < WITHIN_SECONDS]
        if len(recent) >= RESTARTS_MAX:
            self._given_up.add(name)
            self._say(
                f"{name} died {RESTARTS_MAX} times in a minute and is left alone: "
                f"{child.last_words()}; log: {child.program.log}"
            )
            return
        self._restarts[name].append(now)
        self._say(f"{name} died and is started again: {child.last_words()}")
        child.start()

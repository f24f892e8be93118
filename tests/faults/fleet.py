"""Workers and beats that a test starts, kills and starts again.

The local stack restarts a process that died; here it stays dead until the test starts it. This
module does not know what the engine does.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from billing.config import Settings
from billing.local import programs
from billing.local.processes import Child, Crew, Program, running
from billing.local.stack import Stack
from tests.waits import wait_until

READY_SECONDS = 60.0


class Fleet:
    """The Celery processes of one engine, each under a name of its own."""

    def __init__(self, stack: Stack) -> None:
        self.settings: Settings = stack.settings
        self.environment: Mapping[str, str] = stack.environment
        self.logs: Path = stack.logs
        self.home: Path = stack.home
        self.crew = Crew()
        self.workers: dict[str, Child] = {}
        self.beats: dict[str, Child] = {}
        self.others: dict[str, Child] = {}
        """The web process, the worker that sends webhooks, and a receiver."""

    def start_worker(self, name: str = "one", **settings: str) -> Child:
        """Start a worker; `ready` waits for it. Settings override those of the stack."""
        log = self.logs / f"worker-{name}.log"
        part = programs.worker(self.settings, log, {**self.environment, **settings})
        argv = [*part.program.argv, "-n", f"{name}@%h"]
        child = self.crew.start(replace(part.program, name=f"worker {name}", argv=argv))
        self.workers[name] = child
        return child

    def start_beat(self, name: str = "one", **settings: str) -> Child:
        """Start a beat with a schedule file of its own."""
        schedule, log = self.home / f"beat-{name}", self.logs / f"beat-{name}.log"
        part = programs.beat(schedule, log, {**self.environment, **settings})
        child = self.crew.start(replace(part.program, name=f"beat {name}"))
        self.beats[name] = child
        return child

    def start_web(self, port: int, **settings: str) -> Child:
        """Start the HTTP interface."""
        log, environment = self.logs / "web.log", {**self.environment, **settings}
        return self._other(programs.web(port, log, environment).program)

    def start_webhooks(self) -> Child:
        """Start the worker that sends webhooks."""
        part = programs.webhooks(self.logs / "webhooks.log", self.environment)
        return self._other(part.program)

    def start_receiver(self, port: int, file: Path) -> Child:
        """Start a receiver of webhooks that writes to a file."""
        argv = [sys.executable, "-m", "tests.faults.siege.receiver", str(port), str(file)]
        environment = {**self.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
        log = self.logs / "receiver.log"
        return self._other(Program("receiver", argv, log, environment))

    def _other(self, program: Program) -> Child:
        self.others[program.name] = child = self.crew.start(program)
        return child

    def man(self, workers: Iterable[str] = ("one",), beats: Iterable[str] = ()) -> None:
        """Run exactly these processes; others of an earlier test are killed."""
        for crew, wanted, start in (
            (self.beats, set(beats), self.start_beat),
            (self.workers, set(workers), self.start_worker),
        ):
            for name, child in list(crew.items()):
                if name not in wanted or not child.running:
                    kill(child)
                    self.crew.end(crew.pop(name))
            for name in sorted(wanted - crew.keys()):
                start(name)
        self.ready()

    def ready(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until every started worker answers a ping, calling `meanwhile` during the wait."""
        wanted = set(self.workers)
        with Celery("ping", broker=self.settings.redis, set_as_current=False) as app:

            def answering() -> set[str]:
                if meanwhile is not None:
                    meanwhile()
                try:
                    answers = app.control.ping(timeout=0.5, limit=len(wanted))
                except (OperationalError, RedisError):  # a pooled connection to a server that left
                    return set()
                return {node.partition("@")[0] for answer in answers for node in answer}

            wait_until(
                lambda: wanted <= answering(), f"{sorted(wanted)} answer a ping",
                seconds=READY_SECONDS, state=self.words,
            )  # fmt: skip

    def words(self) -> str:
        """The last line of every process's log, for a message."""
        children = [*self.workers.values(), *self.beats.values(), *self.others.values()]
        return "; ".join(f"{child.program.name}: {child.last_words()}" for child in children)

    def stop(self) -> None:
        """End every worker and beat in order, beats first."""
        for crew in (self.others, self.beats, self.workers):
            with ThreadPoolExecutor() as together:  # each takes seconds of waiting
                list(together.map(self.crew.end, crew.values()))
            crew.clear()

    def close(self) -> None:
        """End everything at once, and then the guard."""
        for child in list(self.crew.children):
            kill(child)
        self.crew.close()


def kill(child: Child) -> None:
    """SIGKILL a process together with all that it started, and take it off the kernel's list."""
    if child.running:  # the number of one that has ended may be another's by now
        os.killpg(child.pid, signal.SIGKILL)  # its own group: it leads a session
    child.end()


def pool_of(worker: Child) -> list[psutil.Process]:
    """A worker's pool children, oldest first."""
    with suppress(psutil.NoSuchProcess):
        return [p for p in psutil.Process(worker.pid).children() if running(p)]
    return []

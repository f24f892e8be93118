"""Programs that replace the real ones, and a check of the processes that remain."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import psutil

from billing.local.processes import running, until
from tests.forked import Parent
from tests.waits import Lines

NAP = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]
FAIL = [sys.executable, "-I", "-S", "-c", "raise SystemExit('out of luck')"]
# Two children that do not care for SIGTERM, as a busy prefork pool.
_IGNORE = "import os, signal; signal.signal(15, signal.SIG_IGN); os.fork(); os.fork()"
STUBBORN = [*NAP[:-1], f"{_IGNORE}\nwhile True: signal.pause()"]
MARK = "OVO_TEST_MARK"

_UP = """
import signal, sys
from pathlib import Path
from billing.local.stack import Stack
from billing.store.migrate import upgrade

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

def say(text):
    print(text, flush=True)

stand_ins = {name: eval(sys.argv[2]) for name in ("worker", "webhooks", "beat", "flower")}
migrate = lambda settings: upgrade(settings.database)
try:
    with Stack(Path(sys.argv[1]), say=say, migrate=migrate, any_ports=True, stand_ins=stand_ins) as stack:
        say("up")
        while True:
            stack.wait()
except KeyboardInterrupt:
    say("down")
"""  # noqa: E501

_FIRST = (
    "alembic.command", "billing.bootstrap", "billing.local.stack", "billing.store.migrate",
    "billing.store.tables", "sqlalchemy.dialects.postgresql.psycopg",
)  # fmt: skip


def parent_of_ups() -> Parent:
    """What forks for each `Up`."""
    return Parent(_FIRST)


class Up:
    """A `billing up` in its own process, with stand-ins for its programs."""

    def __init__(
        self,
        parent: Parent,
        home: Path,
        environment: Mapping[str, str],
        program: Sequence[str] = NAP,
    ) -> None:
        self.home = home
        self.mark = uuid4().hex
        mine, its = os.pipe()
        with Path(os.devnull).open("rb") as nothing:
            self._process = parent.start(
                "", [str(home), repr(list(program))], {**environment, MARK: self.mark},
                (nothing.fileno(), its, 2), code=_UP,
            )  # fmt: skip
        os.close(its)
        self._output = os.fdopen(mine)
        self._lines = Lines(self._output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        for process in self.left():  # before its output ends: they may hold the other end
            process.kill()
        self._lines.await_end(10)
        self._output.close()

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    @property
    def said(self) -> list[str]:
        """The lines of its output so far."""
        return self._lines.lines

    def until_it_says(self, text: str, seconds: float = 60) -> None:
        """Wait for a line of its output; AssertionError when it ended without, or in silence."""
        self._lines.await_line(lambda line: line == text, f"a line {text!r}", seconds)

    def send(self, signal: int) -> None:
        """Send the supervisor a signal."""
        self._process.send_signal(signal)

    def end(self, seconds: float = 30) -> int:
        """Wait for the end of its output and of itself, and return the exit status."""
        self._lines.await_end(seconds)
        return self._process.wait(seconds)

    def left(self) -> list[psutil.Process]:
        """Return its living processes: those with its mark, or that work in its folder."""
        return [process for process in psutil.process_iter() if self._is_of_it(process)]

    def nothing_is_left(self, seconds: float) -> bool:
        """Whether, within the time, no process of it is alive."""
        return until(lambda: not self.left(), seconds)

    def _is_of_it(self, process: psutil.Process) -> bool:
        try:
            mine = process.environ().get(MARK) == self.mark
            # PostgreSQL's processes write their titles over their environment.
            return running(process) and (mine or Path(process.cwd()).is_relative_to(self.home))
        except psutil.Error:
            return False

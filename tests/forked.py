"""New processes that need not import again what each of them would import first.

A parent imports the given modules and nothing else. For each start it forks a child, which gets an
environment, arguments and code as `python -c` or `python -m` would, and ends as a program does.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryFile
from time import monotonic
from typing import IO, Any

Start = Callable[[Sequence[str], Mapping[str, str]], "CompletedProcess[str]"]
CHILD_SECONDS = 60.0
TREE = Path(__file__).parents[1]


class Forked:
    """A child of the parent: what subprocess.Popen is for a program."""

    def __init__(self, parent: "Parent", pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, None while it runs; it is off the kernel's list afterwards."""
        if self.returncode is None:
            self.returncode = self._parent.ended(self.pid)
        return self.returncode

    def wait(self, timeout: float = CHILD_SECONDS) -> int:
        """Wait for its end, and return its exit status. Raises TimeoutExpired."""
        deadline, pause = monotonic() + timeout, threading.Event()
        while (status := self.poll()) is None:
            if monotonic() > deadline:
                raise TimeoutExpired(str(self.pid), timeout)
            pause.wait(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.send_signal(signal.SIGKILL)


class Parent:
    """The process that forks; it is started when the first child is wanted."""

    def __init__(self, modules: Sequence[str], tree: Path = TREE) -> None:
        self._modules = modules
        self._tree = tree
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._mine: socket.socket | None = None
        self._answers: IO[bytes] | None = None

    def start(
        self, program: str, words: Sequence[str], environment: Mapping[str, str] | None,
        files: tuple[int, int, int], *, code: str = "", folder: Path | None = None, lower: int = 0,
    ) -> Forked:  # fmt: skip
        """Start a module as `python -m` does, or code; `lower` is its priority, as for `nice`."""
        asked = {
            "program": program, "words": list(words), "code": code, "lower": lower,
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(folder or Path.cwd()),
        }  # fmt: skip
        return Forked(self, int(self._ask(asked, files)))

    def run(
        self, program: str, words: Sequence[str], environment: Mapping[str, str], *,
        code: str = "", given: int | None = None, into: int | None = None,
        folder: Path | None = None,
    ) -> "CompletedProcess[bytes]":  # fmt: skip
        """Start a module or code, wait for its end, and return its output and errors.

        It reads from the file descriptor `given`, and writes to `into` where its output is not
        wanted here.
        """
        with (
            TemporaryFile() as said, TemporaryFile() as complained,
            Path(os.devnull).open("rb") as nothing,
        ):  # fmt: skip
            source = nothing.fileno() if given is None else given
            files = (source, said.fileno() if into is None else into, complained.fileno())
            child = self.start(program, words, environment, files, code=code, folder=folder)
            try:
                status = child.wait()
            finally:
                child.kill()
            said.seek(0)
            complained.seek(0)
            return CompletedProcess(list(words), status, said.read(), complained.read())

    def ended(self, child: int) -> int | None:
        """Return the exit status of a child that has ended."""
        status: int | None = self._ask({"ended": child}, ())
        return status

    def close(self) -> None:
        """End the parent."""
        if self._process is not None and self._mine is not None and self._answers is not None:
            self._answers.close()
            self._mine.close()
            self._process.wait(10)

    def _ask(self, asked: Mapping[str, Any], files: Sequence[int]) -> Any:
        with self._lock:
            if self._process is None:
                self._begin()
            assert self._mine is not None
            assert self._answers is not None
            line = json.dumps(asked).encode() + b"\n"
            sent = socket.send_fds(self._mine, [line], files)
            self._mine.sendall(line[sent:])
            return json.loads(self._answers.readline())

    def _begin(self) -> None:
        self._mine, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked_parent", str(its.fileno()), *self._modules],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(self._tree)},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=self._tree,
                pass_fds=(its.fileno(),), start_new_session=True,
            )  # fmt: skip
        self._answers = self._mine.makefile("rb")
        self._mine.settimeout(CHILD_SECONDS)
        assert self._answers.readline() == b'"ready"\n', "the parent did not start"


def decoded(done: "CompletedProcess[bytes]") -> "CompletedProcess[str]":
    """The same with output and errors as text."""
    said, complained = done.stdout.decode(), done.stderr.decode()
    return CompletedProcess(done.args, done.returncode, said, complained)


@contextmanager
def forking(code: str, modules: Sequence[str]) -> Iterator[Start]:
    """Give a function that runs the code in a new process, with arguments and environment."""
    parent = Parent(modules)

    def start(words: Sequence[str], environment: Mapping[str, str]) -> CompletedProcess[str]:
        return decoded(parent.run("", words, environment, code=code))

    try:
        yield start
    finally:
        parent.close()

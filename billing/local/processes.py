"""Child processes that are started, watched and ended together; none is left behind.

Each child leads a session of its own, so a Ctrl-C in the terminal reaches only the parent. A
guard process watches the parent through a pipe and ends the children if the parent dies first.
This module does not know what the children are.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic
from typing import IO

from billing.domain.errors import NotConfigured

EXTRA_MISSING = "the local stack is not installed; run: pip install 'ovo-billing[local]'"

try:
    import psutil
except ImportError:
    raise NotConfigured(EXTRA_MISSING) from None

KILL_SECONDS = 5.0  # what the kernel may need to remove a killed process
GUARD_SECONDS = 30.0
_LAUNCH = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True)
class User:
    """The user that a child of root runs as; with `reach` it may enter folders of root."""

    uid: int
    gid: int
    reach: bool = False


@dataclass(frozen=True)
class Program:
    """A program to run, and the signal and grace with which it is ended."""

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 5.0
    user: User | None = None
    folder: Path | None = None


def until(condition: Callable[[], bool], seconds: float, give_up: Event | None = None) -> bool:
    """Wait for a condition until a time limit; return False at once when told to stop."""
    deadline = monotonic() + seconds
    pause = give_up or Event()
    while not condition():
        if monotonic() >= deadline or pause.wait(0.05):
            return condition()
    return True


def running(process: psutil.Process) -> bool:
    """Whether this same process still runs: not gone, no zombie, no reused process id."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def alive(pid: int) -> bool:
    """Whether a process has this id and is no zombie."""
    try:
        return running(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def family(leader: int) -> list[psutil.Process]:
    """Return all living descendants of a session leader and members of its process group.

    Both are needed: PostgreSQL's backends leave the group, and children of a leader that was
    killed are no descendants any more.
    """
    members = set()
    with suppress(psutil.NoSuchProcess):
        members.update(psutil.Process(leader).children(recursive=True))
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == leader:
                members.add(process)
    return [process for process in members if running(process)]


def end_family(leader: int, stop: int, grace_seconds: float, hurry: Event | None = None) -> None:
    """Ask a session leader to end; after the grace, kill it and its family."""
    members = family(leader)
    for process in members:
        if process.pid == leader:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(stop)
    until(lambda: not any(map(running, members)), grace_seconds, hurry)
    rest = [process for process in {*members, *family(leader)} if running(process)]
    for process in rest:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: not any(map(running, rest)), KILL_SECONDS)


def launched(program: Program, log: IO[bytes], register: int) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own; the guard reads of it from `register`."""
    user = program.user
    become = f"{user.uid}:{user.gid}:{user.reach:d}" if user else "-"
    launch = (_LAUNCH, register, int(program.stop_signal), program.grace_seconds, become)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", *map(str, launch), *program.argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=program.environment,
        cwd=program.folder,
        pass_fds=(register,),
        start_new_session=True,
    )


class Child:
    """One program of a crew; it can be started again after it has ended."""

    def __init__(self, program: Program, register: int) -> None:
        self.program = program
        self._register = register
        self.start()

    def start(self) -> None:
        """Start the program; its output is appended to its log."""
        program = self.program
        program.log.parent.mkdir(parents=True, exist_ok=True)
        with program.log.open("ab") as log:
            self._log_start = log.tell()
            self._popen = launched(program, log, self._register)
        self.started = monotonic()
        self._process = psutil.Process(self._popen.pid)

    @property
    def pid(self) -> int:
        """The program's process id (and its session's and process group's)."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it runs; this does not reap it, so its process id cannot be reused yet."""
        return running(self._process)

    @property
    def succeeded(self) -> bool:
        """Whether it has ended with exit status 0."""
        return self._popen.returncode == 0

    def end(self, hurry: Event | None = None) -> None:
        """End it and its family; safe to call twice."""
        if self._popen.returncode is None:
            end_family(self.pid, self.program.stop_signal, self.program.grace_seconds, hurry)
            self._popen.wait(KILL_SECONDS)
            with suppress(BrokenPipeError):
                os.write(self._register, f"-{self.pid}\n".encode())

    def last_words(self) -> str:
        """Return the last line of its log since its start; PostgreSQL's fatal errors come first."""
        with self.program.log.open("rb") as log:
            log.seek(self._log_start)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        lines = [line for line in lines if line] or ["no output"]
        fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        return (fatal or lines)[-1]


@dataclass
class Crew:
    """Children that are ended in the reverse order of their start.

    The file descriptors in `hold` stay open in the guard: a lock among them is held until the
    last child is gone, also after a kill of the parent.
    """

    hold: Sequence[int] = ()
    hurry: Event = field(default_factory=Event)
    children: list[Child] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        read, self._register = os.pipe()
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "billing.local.guard"],
            stdin=read,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(self.hold),
            start_new_session=True,
        )
        os.close(read)

    def start(self, program: Program) -> Child:
        """Start one more child."""
        child = Child(program, self._register)
        self.children.append(child)
        return child

    def remove_at_end(self, folder: Path) -> None:
        """Have the guard remove a folder when the last child is gone, also after a kill."""
        os.write(self._register, f"{folder.absolute()}\n".encode())

    def end(self, child: Child) -> None:
        """End one child before the others."""
        child.end(self.hurry)
        with suppress(ValueError):
            self.children.remove(child)

    def close(self) -> None:
        """End every child, the youngest first, and then the guard.

        The guard also ends a child that only the guard knows, because a signal arrived while the
        child was being started.
        """
        if self._guard.returncode is not None:
            return
        for child in reversed(list(self.children)):
            self.end(child)
        os.close(self._register)
        try:
            self._guard.wait(GUARD_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait(KILL_SECONDS)

"""The parent of several web processes: when it takes a child for dead. No process is started."""

from multiprocessing import Pipe
from threading import Event, Thread
from types import SimpleNamespace
from typing import cast

import pytest
from uvicorn.supervisors.multiprocess import Process

from billing.config import Settings
from billing.web import server
from billing.web.processes import LOOK_SECONDS, STARTS_MAX, Child, Supervisor

LOOKS = 4
SILENT = LOOKS * LOOK_SECONDS


@pytest.fixture
def child() -> Child:
    """A child whose process is alive, and which nobody has started."""
    made = Child(Settings(), server.configuration("none:app", "127.0.0.1", 0, 2), [])
    made.process = cast("Process", SimpleNamespace(is_alive=lambda: True))  # type: ignore[assignment]
    return made


def answer(child: Child, *, is_serving: bool) -> None:
    """Answer one ping, as the thread of the child does."""
    assert child.child_conn.recv() == b"ping"
    child.child_conn.send(is_serving)


def test_a_child_that_starts_may_take_long(child: Child) -> None:
    """Where many start at once on few cores, each takes a minute."""
    assert all(child.is_well(SILENT) for _ in range(LOOKS * 10))


def test_a_child_is_silent_after_looks_without_an_answer(child: Child) -> None:
    """One answer within the time is enough, however late it is."""
    assert child.is_well(SILENT)
    answer(child, is_serving=True)
    assert all(child.is_well(SILENT) for _ in range(LOOKS))
    answer(child, is_serving=True)
    assert all(child.is_well(SILENT) for _ in range(LOOKS))
    assert not child.is_well(SILENT)


def test_a_look_sends_no_second_ping_before_the_answer(child: Child) -> None:
    """The pipe of a stopped process never fills up, so that a look waits for nothing."""
    for _ in range(3):
        child.is_well(SILENT)
    answer(child, is_serving=False)

    assert not child.child_conn.poll()
    assert not child.is_serving


def test_a_child_stops_when_its_parent_has_gone(child: Child) -> None:
    """The end of the pipe is the end of the parent."""
    child._server = cast("server.Server", SimpleNamespace(started=True, should_exit=False))
    thread = Thread(target=child.always_pong, daemon=True)
    thread.start()
    assert child.is_well(SILENT)
    child.parent_conn.close()
    thread.join(10)

    assert child.server.should_exit


def test_a_pipe_that_is_broken_fails_no_look(child: Child) -> None:
    """The child is ending; whether its process is alive says the rest."""
    child.parent_conn, its = Pipe()
    its.close()

    assert child.is_well(SILENT)


def test_a_child_that_cannot_be_replaced_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the machine has no memory for another process, those that serve go on."""
    made = Supervisor.__new__(Supervisor)
    made.should_exit, made.config = Event(), server.configuration("none:app", "127.0.0.1", 0, 2)
    made._failed_starts, made._is_announced = 0, True
    made.processes = [cast("Child", Pretended(is_well=each)) for each in (False, True, True)]

    def refused() -> Child:
        raise BlockingIOError

    monkeypatch.setattr(made, "_started", refused)
    for _ in range(STARTS_MAX * 3):
        made.keep_subprocess_alive()
    assert not made.should_exit.is_set()
    monkeypatch.setattr(made, "_started", lambda: Pretended(is_well=True))
    made.keep_subprocess_alive()
    assert all(each.is_serving for each in made.processes)


def test_nobody_serves_and_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the parent ends, so that what started it starts it again."""
    made = Supervisor.__new__(Supervisor)
    made.should_exit, made.config = Event(), server.configuration("none:app", "127.0.0.1", 0, 2)
    made._failed_starts, made._is_announced = 0, True
    made.processes = [cast("Child", Pretended(is_well=False)) for _ in range(2)]

    def refused() -> Child:
        raise BlockingIOError

    monkeypatch.setattr(made, "_started", refused)
    made.keep_subprocess_alive()
    assert made.should_exit.is_set()


class Pretended:
    """A child that has served, and is well or not."""

    pid, exitcode, is_gone, is_serving = 1, -9, False, True

    def __init__(self, *, is_well: bool) -> None:
        self._is_well = is_well
        self.process = SimpleNamespace(join=lambda: None)

    def is_well(self, _seconds: float) -> bool:
        """Say so."""
        return self._is_well

    def kill(self) -> None:
        """End it."""

"""The parent of several web processes: when it takes a child for dead. No process is started."""

from multiprocessing import Pipe
from threading import Thread
from types import SimpleNamespace
from typing import cast

import pytest
from uvicorn.supervisors.multiprocess import Process

from billing.config import Settings
from billing.web import server
from billing.web.processes import LOOK_SECONDS, Child

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

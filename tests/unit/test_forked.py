"""A forked process is what a started one would be."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from billing.local.processes import alive
from tests.forked import Parent

TELL = """
import json, os, random, sys, threading, uuid
print(json.dumps({
    "words": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd(),
    "session": os.getsid(0) == os.getpid(), "threads": threading.active_count(),
    "files": sorted(map(int, os.listdir("/proc/self/fd")))[:4], "given": sys.stdin.read(),
    "random": [random.random(), str(uuid.uuid4())],
}))
"""


@pytest.fixture(scope="module")
def parent() -> Iterator[Parent]:
    """A parent that has imported what the child uses."""
    made = Parent(["random", "uuid"])
    yield made
    made.close()


def test_a_child_has_its_own_session_environment_arguments_and_seed(
    parent: Parent, tmp_path: Path
) -> None:
    """Nothing of the parent, of this process and of the child before it is left."""
    told = []
    for number in range(2):
        words, environment = [str(number), "ü"], {"ONLY": str(number)}
        done = parent.run("", words, environment, code=TELL, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, b"")
        told.append(json.loads(done.stdout))
        assert told[-1]["words"] == words
        assert told[-1]["environment"] == environment
        assert told[-1]["folder"] == str(tmp_path)
        assert told[-1]["session"]
        assert told[-1]["threads"] == 1
        assert told[-1]["files"][:3] == [0, 1, 2]
        assert told[-1]["given"] == ""
    assert not set(told[0]["random"]) & set(told[1]["random"])


@pytest.mark.parametrize(
    ("code", "status"),
    [("import sys; sys.exit(7)", 7), ("raise SystemExit('why')", 1), ("1 / 0", 1), ("pass", 0)],
)
def test_an_exit_status_and_what_was_said_are_those_of_a_program(
    parent: Parent, code: str, status: int
) -> None:
    """Also those of an error; what is left to do at the end is done."""
    atexit = "import atexit, sys; atexit.register(print, 'good-bye'); "
    done = parent.run("", [], {}, code=atexit + code)
    assert (done.returncode, done.stdout) == (status, b"good-bye\n")
    assert ("why" in done.stderr.decode()) == ("why" in code)
    assert ("ZeroDivisionError" in done.stderr.decode()) == ("/" in code)


def test_the_streams_are_opened_anew(parent: Parent) -> None:
    """In the encoding of the environment, and as what the files are: a pipe is not seekable."""
    code = "import sys; print(sys.stdout.encoding, sys.stdout.seekable(), sys.stderr.errors)"
    environment = {"PYTHONIOENCODING": "cp1252"}
    read, write = os.pipe()
    assert parent.run("", [], environment, code=code, into=write).returncode == 0
    os.close(write)
    with os.fdopen(read) as told:
        assert told.read() == "cp1252 False backslashreplace\n"


def test_a_child_that_runs_is_found_signalled_and_taken_off_the_list(parent: Parent) -> None:
    """Its process id is its own until its exit status was asked for."""
    with Path(os.devnull).open("r+b") as nothing:
        files = (nothing.fileno(),) * 3
        child = parent.start("", [], {}, files, code="import signal; signal.pause()")
    assert alive(child.pid)
    assert child.poll() is None
    with pytest.raises(TimeoutExpired):
        child.wait(0.01)
    child.send_signal(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
    assert not Path(f"/proc/{child.pid}").exists()
    child.kill()  # of one that has ended means nothing, and hits no other process


def test_a_parent_that_is_closed_is_gone() -> None:
    """Its children are of those who started them."""
    parent = Parent([])
    assert parent.run("", [], {}, code="pass").returncode == 0
    assert parent._process is not None
    parent.close()
    assert parent._process.returncode == 0

"""The waits of the suite: limits that hold, and messages that name the condition."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.house.tree import ROOT
from tests.waits import Lines, wait_until


def test_a_wait_ends_with_what_it_waited_for_and_the_state() -> None:
    """The message names the condition, the bound, and what the caller knows of the state."""
    with pytest.raises(AssertionError) as failed:
        wait_until(lambda: False, "rain", seconds=0.01, state=lambda: "due: 4 clouds")

    assert str(failed.value) == "rain: not so after 0.01 s\ndue: 4 clouds"


def test_a_wait_for_what_is_so_already_asks_once() -> None:
    """A wait for a true condition does not sleep."""
    asked: list[int] = []

    wait_until(lambda: asked.append(1) is None, "the first look", seconds=60)

    assert asked == [1]


@contextmanager
def child(code: str) -> Iterator[Lines]:
    """A Python program's output, killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = Lines(process.stdout)
        try:
            yield lines
        finally:
            process.kill()
            lines.await_end(10)


def test_reading_a_silent_child_has_an_end() -> None:
    """A child that stops writing does not block its reader."""
    with child("import signal; print('one', flush=True); signal.pause()") as lines:
        lines.await_line(lambda line: line == "one", "the first line", 30)
        with pytest.raises(AssertionError, match="a second line: not so after") as failed:
            lines.await_line(lambda line: line == "two", "a second line", 0.05)
        with pytest.raises(AssertionError, match="the end of its output: not so after"):
            lines.await_end(0.05)

    assert "it said: one" in str(failed.value)


def test_a_child_that_ends_without_the_line_is_not_waited_for() -> None:
    """The reader gets an error at once, with all the output."""
    with child("print('good-bye')") as lines, pytest.raises(AssertionError, match="good-bye"):
        lines.await_line(lambda line: line == "hello", "a greeting", 60)


def test_ignored_signals_of_the_shell_are_not_inherited() -> None:
    """
    Under `nohup` or in the background a shell has signals ignored; no child of a test has.

    The run itself continues after a hangup, as `nohup` promises.
    """
    code = (
        "import signal, subprocess, sys\n"
        "from tests.inherited import reset_signals\n"
        "reset_signals()\n"
        "signal.raise_signal(signal.SIGHUP)\n"
        "sys.exit(subprocess.run(['sh', '-c', 'kill -HUP $$; kill -INT $$; exit 7']).returncode)"
    )
    ignoring = 'trap \'\' HUP INT TERM; exec "$0" -c "$1"'

    done = subprocess.run(
        ["sh", "-c", ignoring, sys.executable, code],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30, check=False,
    )  # fmt: skip

    # exit(-1): the child was ended by SIGHUP, which it had not inherited as ignored.
    assert done.returncode == (-signal.SIGHUP) % 256

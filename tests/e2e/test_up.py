"""`billing up` as a newcomer meets it."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO

import psutil
import pytest

from billing.local.servers import port_is_free
from tests.e2e.world import environment_of
from tests.flower import ask
from tests.waits import wait_until

BILLING = str(Path(sys.executable).with_name("billing"))


@contextmanager
def up(home: Path, port: int, out: IO[bytes] | int) -> Iterator[subprocess.Popen[bytes]]:
    """A running `billing up`, killed at the end if it has not ended by itself."""
    settings = {
        "BILLING_HOME": str(home), "BILLING_UP_PORT": str(port),
        "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40",
    }  # fmt: skip
    process = subprocess.Popen(
        [BILLING, "up"], env=environment_of(settings), stdin=out, stdout=out, stderr=out,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def three_ports() -> int:
    """A free port whose next two are free too, below the kernel's ephemeral ports."""
    drawn = Random()  # not the shared one, which every test process seeds alike
    while True:
        port = drawn.randrange(20_000, 30_000)
        if all(port_is_free(port + more) for more in range(3)):
            return port


def below(pid: int) -> list[psutil.Process]:
    """A process and all it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def await_end(family: list[psutil.Process]) -> None:
    """Wait until nothing is left of a family."""
    wait_until(
        lambda: not any(p.is_running() for p in family), "every process is gone",
        state=lambda: f"left: {[p for p in family if p.is_running()]}",
    )  # fmt: skip


@pytest.mark.timeout(300)  # 63 s on an idle machine: a minute of real time has to go by
def test_the_first_minutes_show_all_that_can_happen_and_a_terminal_a_picture(
    state_folder: Path,
) -> None:
    """
    Links, first payments, renewals and a decline are printed, and Flower shows the worker.

    SIGTERM leaves no process; a second start continues with the same data. On a terminal it is one
    panel with figures, processes and addresses, and Ctrl-C ends it.
    """
    home, log, port = state_folder / "home", state_folder / "up.log", three_ports()
    with log.open("a+b") as out, up(home, port, out) as process:
        wanted = (
            "wallet.linked", "first_payment true", "first_payment false", "insufficient_funds",
            "invoice.short", "received · last",
        )  # fmt: skip
        wait_until(
            lambda: all(word in log.read_text() for word in wanted), f"{wanted} are told",
            seconds=90, state=log.read_text,
        )  # fmt: skip
        flower = f"http://127.0.0.1:{port}/workers"
        password = (home / "flower.password").read_text().strip()
        assert (home / "flower.password").stat().st_mode & 0o077 == 0
        assert password not in log.read_text()
        assert ask(flower, "").status == 401
        assert b"celery@" in ask(flower, f"operator:{password}").body
        family = below(process.pid)
        assert len(family) > 6
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    await_end(family)
    said = log.read_text()
    assert "the database was empty" in said
    assert "Traceback" not in said
    assert said.rstrip().endswith("the data are kept for the next start")

    parent, child = pty.openpty()
    seen = bytearray()
    try:
        with up(home, port, child) as process:
            os.close(child)
            shown = (
                b"subscriptions", b"processes", b"Flower", b"invoice.paid", password.encode(),
            )  # fmt: skip
            while not all(word in seen for word in shown):
                assert select.select([parent], [], [], 60)[0], "it shows nothing new"
                seen += os.read(parent, 65536)
                assert len(seen) < 5_000_000
            family = below(process.pid)
            process.send_signal(signal.SIGINT)
            while select.select([parent], [], [], 60)[0] and (chunk := _read(parent)):
                seen += chunk
            assert process.wait(40) == 0
    finally:
        os.close(parent)
    await_end(family)
    assert b"the database was empty" not in seen
    assert b"Traceback" not in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO when the other side has closed
        return b""

"""`billing up` as a newcomer meets it."""

import os
import pty
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psutil

from billing.local.processes import until
from billing.local.servers import port_is_free
from tests.e2e.world import environment_of

BILLING = str(Path(sys.executable).with_name("billing"))


@contextmanager
def up(home: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running `billing up`, killed at the end if it has not ended by itself."""
    settings = {"BILLING_HOME": str(home), "BILLING_UP_PORT": str(port)}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [BILLING, "up"], env=environment_of(settings), stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def two_ports() -> int:
    """A free port whose next is free, too; below those that the kernel gives to whoever asks."""
    drawn = Random()  # not the shared one, which every test process seeds alike
    while True:
        port = drawn.randrange(20_000, 30_000)
        if port_is_free(port) and port_is_free(port + 1):
            return port


def below(pid: int) -> list[psutil.Process]:
    """A process and all it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def test_the_first_minutes_show_all_that_can_happen(state_folder: Path) -> None:
    """
    Links, first payments, renewals and a decline are on the screen, and Flower shows the worker.

    Ctrl-C leaves no process; a second start goes on with the same data.
    """
    home, log, port = state_folder / "home", state_folder / "up.log", two_ports()
    with up(home, port, log) as process:
        wanted = (
            "wallet.linked", "first_payment true", "first_payment false", "insufficient_funds",
            "fell_short",
        )  # fmt: skip
        assert until(lambda: all(word in log.read_text() for word in wanted), 90), log.read_text()
        flower = f"http://127.0.0.1:{port}/workers"
        with urllib.request.urlopen(flower, timeout=10) as page:
            assert b"celery@" in page.read()
        family = below(process.pid)
        assert len(family) > 6
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
    assert until(lambda: not any(p.is_running() for p in family), 5), "a process was left"
    said = log.read_text()
    assert "Traceback" not in said
    assert said.rstrip().endswith("what happened is kept for the next start")

    log.unlink()
    with up(home, port, log) as process:
        assert until(lambda: "invoice.paid" in log.read_text(), 60), log.read_text()
        assert "the database was empty" not in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0


def test_a_terminal_sees_a_live_picture(state_folder: Path) -> None:
    """On a terminal there is one panel with figures, processes and where things are."""
    settings = {
        "BILLING_HOME": str(state_folder / "home"), "BILLING_UP_PORT": str(two_ports()),
        "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40",
    }  # fmt: skip
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [BILLING, "up"], env=environment_of(settings), stdin=child, stdout=child, stderr=child,
        start_new_session=True,
    )  # fmt: skip
    os.close(child)
    seen = bytearray()
    try:
        wanted = (b"subscriptions", b"processes", b"Flower", b"wallet.linked")
        while not all(word in seen for word in wanted):
            assert select.select([parent], [], [], 60)[0], "it shows nothing new"
            seen += os.read(parent, 65536)
            assert len(seen) < 5_000_000
        process.send_signal(signal.SIGINT)
        while chunk := _read(parent):
            seen += chunk
        assert process.wait(40) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        os.close(parent)
    assert b"Traceback" not in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO when the other side has closed
        return b""

"""The tests come in one order: processes that share them have to agree on it."""

import os
import subprocess
import sys

from tests.house.tree import ROOT

SECONDS_MAX = 300


def collecting(seed: str) -> subprocess.Popen[str]:
    """A process that lists all tests, with its own order of sets."""
    options = ("--collect-only", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "tests"], cwd=ROOT, text=True,
        env={**os.environ, "PYTHONHASHSEED": seed}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_every_process_collects_the_tests_in_the_same_order() -> None:
    """The order of a set differs from process to process; pytest-xdist then refuses to begin."""
    lists = []
    for process in [collecting("1"), collecting("2")]:
        told, _ = process.communicate(timeout=SECONDS_MAX)
        assert process.returncode == 0, told[-2_000:]
        lists.append([line for line in told.splitlines() if "::" in line])

    assert lists[0]
    assert lists[0] == lists[1]

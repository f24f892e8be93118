"""A run of pytest in a process of its own: bounded, ended with all it started, and read afterwards.

What the run is for is the caller's to know.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from xml.etree import ElementTree as ET

from billing.local.processes import end_family

GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class PytestResult:
    """The result of a run: the failed tests, the number of tests, and whether it ended in time."""

    failed: Sequence[str]
    tests: int
    seconds: float
    status: int | None
    log: Path

    @property
    def is_clean(self) -> bool:
        """Whether tests ran, and all of them passed."""
        return self.status == 0 and self.tests > 0 and not self.failed


def run_pytest(
    arguments: Sequence[str],
    *,
    tree: Path,
    folder: Path,
    name: str,
    seconds: float,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> PytestResult:
    """Run pytest on a tree with a time limit in seconds; its log and report are in the folder."""
    log, report = folder / f"{name}.log", folder / f"{name}.xml"
    argv = [*prefix, sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments]
    began = monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, cwd=tree, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(tree), **(environment or {})},
            start_new_session=True,
        )  # fmt: skip
        status: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(seconds)
        finally:
            if process.returncode is None:
                end_family(process.pid, signal.SIGINT, GRACE_SECONDS)
                process.wait(GRACE_SECONDS)
    failed, tests = read_report(report)
    if status is None:
        failed = [*failed, f"(the run did not end in {seconds:g} s)"]
    elif status != 0 and not failed:
        failed = [f"(pytest ended with {status})"]
    return PytestResult(failed, tests, monotonic() - began, status, log)


def read_report(report: Path) -> tuple[list[str], int]:
    """The tests that failed or broke according to a JUnit report, and how many ran."""
    if not report.exists():
        return [], 0
    failed, tests = [], 0
    for case in ET.parse(report).getroot().iter("testcase"):
        tests += case.find("skipped") is None
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname', '')}::{case.get('name', '')}")
    return failed, tests

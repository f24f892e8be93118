"""The time limit of every test, tried on one that hangs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

HANGS = """
import threading
import pytest

pytestmark = pytest.mark.tools

@pytest.mark.timeout(1)
def test_that_hangs():
    threading.Event().wait()

def test_that_does_not():
    pass
"""


@pytest.mark.parametrize("jobs", [[], ["-n", "1"]], ids=["alone", "in a worker"])
def test_a_test_that_hangs_is_ended_with_its_stack(tmp_path: Path, jobs: list[str]) -> None:
    """The run ends with a failure that names the test, and the stack shows where it was."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_hangs.py").write_text(HANGS)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), *jobs,
         "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip

    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "in test_that_hangs" in said
    if jobs:
        assert "1 failed, 1 passed" in said


def test_every_test_has_a_limit(pytestconfig: pytest.Config) -> None:
    """Every test of this run has a time limit."""
    assert float(pytestconfig.getini("timeout")) > 0
    assert pytestconfig.getini("timeout_method") == "thread"

"""`make demo`: the year whose end is a comparison with the gateway's ledger."""

import subprocess
import sys

from tests.e2e.world import environment_of


def test_the_demo_ends_equal() -> None:
    """
    120 subscribers, lost answers; exit code 0 means equal charge by charge.

    Four months of it; `make demo` plays twelve.
    """
    done = subprocess.run(
        [sys.executable, "-m", "billing.local.demo", "4"], env=environment_of({}),
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal, charge by charge; audit clean" in done.stdout
    assert "Traceback" not in done.stderr

"""The tool that looks for unsteady tests, on suites of one test."""

from pathlib import Path
from random import Random

import pytest

from tests import flaky
from tests.flaky import planned, summary
from tests.pytest_runs import PytestResult, read_report

pytestmark = pytest.mark.tools

REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_good"/>
<testcase classname="tests.a" name="test_bad"><failure message="no">…</failure></testcase>
<testcase classname="tests.b" name="test_broken"><error message="no">…</error></testcase>
<testcase classname="tests.b" name="test_left_out"><skipped/></testcase>
</testsuite></testsuites>"""


def result(*failed: str, status: int | None = 1) -> PytestResult:
    """Build a run with this result."""
    return PytestResult(failed, tests=3, seconds=1.0, status=status, log=Path("log"))


def test_half_of_the_runs_are_burdened_and_half_under_nohup() -> None:
    """Ten runs have each combination at least twice, and no two the same order."""
    runs = planned(10, Random(1))

    assert sum(run.burdened for run in runs) == 5
    assert sum(run.nohup for run in runs) == 5
    pairs = [(run.burdened, run.nohup) for run in runs]
    assert all(pairs.count(pair) >= 2 for pair in set(pairs))
    assert len(set(pairs)) == 4
    assert len({run.seed for run in runs}) == 10


def test_the_same_seed_plans_the_same_runs() -> None:
    """A plan that found something can be made again."""
    assert planned(4, Random(7)) == planned(4, Random(7))


def test_the_summary_counts_runs_by_test() -> None:
    """The most unsteady test comes first; a test that fails twice in a run counts once."""
    told = summary([result("t::b", "t::a"), result("t::b", "t::b"), result(status=0)])

    assert told == ["2 of 3 runs: t::b", "1 of 3 runs: t::a"]


def test_a_report_tells_failures_and_errors_apart_from_passes(tmp_path: Path) -> None:
    """What was skipped did not run; a report that was never written has no tests."""
    report = tmp_path / "report.xml"
    report.write_text(REPORT)

    assert read_report(report) == (["tests.a::test_bad", "tests.b::test_broken"], 3)
    assert read_report(tmp_path / "nowhere.xml") == ([], 0)


@pytest.mark.parametrize(("status", "failed", "tests", "clean"), [
    (0, (), 3, True), (0, (), 0, False), (1, ("t::a",), 3, False), (None, (), 3, False),
])  # fmt: skip
def test_a_run_is_clean_only_when_tests_ran_and_passed(
    status: int | None, failed: tuple[str, ...], tests: int, clean: bool
) -> None:
    """A run without tests, or one that was killed at its limit, proves nothing."""
    assert PytestResult(failed, tests, 1.0, status, Path("log")).is_clean is clean


SUITE = """
import subprocess
HUNG_UP = ["sh", "-c", "kill -HUP $$; exit 7"]
def test_good():
    assert subprocess.run(HUNG_UP).returncode == -1
def test_bad():
    assert subprocess.run(HUNG_UP).returncode == 7
"""


def test_a_run_under_nohup_beside_a_burning_core(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One real run: no ignored SIGHUP is inherited, what fails is named, and the exit says so."""
    monkeypatch.setattr(flaky, "BURNERS", 1)
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_two.py").write_text(SUITE)
    # Names are from here, wherever this tree lies.
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    code = flaky.main([
        "--runs", "1", "--jobs", "1", "--seconds", "50", "--out", str(tmp_path / "logs"),
        "--seed", "1", str(tmp_path / "test_two.py"),
    ])  # fmt: skip

    said = capsys.readouterr().out
    assert code == 1, said
    assert "beside burning cores, under nohup: 2 tests" in said
    assert [line for line in said.splitlines() if "of 1 runs" in line] == [
        "1 of 1 runs: test_two::test_bad"
    ]

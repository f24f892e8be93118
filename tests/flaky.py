"""`python -m tests.flaky`: the suite again and again, as it is run on machines that are not quiet.

Half of the runs share the machine with processes that burn a core, half are under `nohup`, and
each has a random order of its own. Exit code 1 when any test failed in any run.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich.console import Console

from tests.house.tree import ROOT
from tests.pytest_runs import PytestResult, run_pytest

RUN_SECONDS = 1_800
BURNERS = 3
SUITE = ("-q", "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0")
_BURN = [sys.executable, "-I", "-S", "-c", "while True: pass"]


@dataclass(frozen=True)
class Conditions:
    """Under which one run takes place."""

    number: int
    seed: int
    burdened: bool
    nohup: bool

    def __str__(self) -> str:
        words = [f"run {self.number}", f"seed {self.seed}"]
        words += ["beside burning cores"] if self.burdened else []
        words += ["under nohup"] if self.nohup else []
        return ", ".join(words)


def planned(runs: int, rng: Random) -> list[Conditions]:
    """So many runs, half of them burdened and half under nohup, in every combination."""
    return [
        Conditions(
            number + 1, rng.randrange(2**32), burdened=number % 2 == 0, nohup=number % 4 in {0, 3}
        )
        for number in range(runs)
    ]


@contextmanager
def burning(count: int) -> Iterator[None]:
    """So many processes that use all the CPU they can get."""
    burners = [subprocess.Popen(_BURN) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait(10)


def play(
    conditions: Conditions, arguments: Sequence[str], *, jobs: int, seconds: float, folder: Path
) -> PytestResult:
    """One run of the suite, or of what the arguments choose of it."""
    with burning(BURNERS if conditions.burdened else 0):
        return run_pytest(
            [*SUITE, "-n", str(jobs), "-p", "randomly", f"--randomly-seed={conditions.seed}",
             *arguments],
            tree=ROOT, folder=folder, name=f"run-{conditions.number}", seconds=seconds,
            prefix=["nohup"] if conditions.nohup else [],
        )  # fmt: skip


def summary(results: Sequence[PytestResult]) -> list[str]:
    """Each test that failed, and in how many runs, most often first."""
    failed = Counter(name for result in results for name in set(result.failed))
    by_count = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    return [f"{count} of {len(results)} runs: {name}" for name, count in by_count]


def main(words: Sequence[str] | None = None) -> int:
    """Run the suite as often as asked, and print what failed and how often."""
    ask = argparse.ArgumentParser(prog="python -m tests.flaky", description=__doc__)
    ask.add_argument("--runs", type=int, default=10, help="how many runs (10)")
    ask.add_argument("--jobs", type=int, default=4, help="test processes of each run (4)")
    ask.add_argument("--seconds", type=float, default=RUN_SECONDS, help="bound of a run (1800)")
    ask.add_argument("--seed", type=int, help="draw the same orders again")
    ask.add_argument("--out", type=Path, help="folder for the logs (a new one in /tmp)")
    ask.add_argument("tests", nargs="*", help="what of the suite, as pytest takes it (all)")
    asked = ask.parse_args(words)
    seed = Random().randrange(2**32) if asked.seed is None else asked.seed
    folder = asked.out or Path(tempfile.mkdtemp(prefix="ovo-flaky-"))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"--seed {seed}, logs in {folder}")
    results = []
    for conditions in planned(asked.runs, Random(seed)):
        result = play(
            conditions, asked.tests, jobs=asked.jobs, seconds=asked.seconds, folder=folder
        )
        results.append(result)
        end = "clean" if result.is_clean else f"{max(len(result.failed), 1)} failed"
        console.print(f"{conditions}: {result.tests} tests, {result.seconds:.0f} s, {end}")
    for line in summary(results):
        console.print(line, markup=False)
    unclean = sum(not result.is_clean for result in results)
    console.print(f"{len(results)} runs, {unclean} of them with failures")
    return 1 if unclean or not results else 0


if __name__ == "__main__":
    sys.exit(main())

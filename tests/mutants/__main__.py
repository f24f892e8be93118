"""`python -m tests.mutants`: plant each known bug into a copy of the tree; the tests must find it.

Exit code 1 when a bug survives, takes too long to be found, or can no longer be planted.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from time import monotonic

from rich.console import Console

from tests.house.tree import ROOT
from tests.mutants.bugs import BUGS
from tests.mutants.planting import Bug, Finding, Tree, Verdict

WHOLE_SECONDS = 600.0


def main(words: Sequence[str] | None = None) -> int:
    """Judge the bugs that were asked for, and print a table of what became of them."""
    ask = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    ask.add_argument("names", nargs="*", help="only these bugs (all)")
    ask.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    ask.add_argument("--list", action="store_true", help="print the names, and plant nothing")
    asked = ask.parse_args(words)
    console = Console(highlight=False, soft_wrap=True)
    unknown = set(asked.names) - {bug.name for bug in BUGS}
    if unknown:
        console.print(f"no such bug: {', '.join(sorted(unknown))}", style="red")
        return 2
    chosen = [bug for bug in BUGS if not asked.names or bug.name in asked.names]
    if asked.list:
        for bug in chosen:
            console.print(bug.name, markup=False)
        return 0
    home, began = Path(tempfile.mkdtemp(prefix="ovo-mutants-")), monotonic()
    trees = [Tree(ROOT, home / str(number)) for number in range(max(asked.jobs, 1))]
    if not all(tree.holds_what_runs() for tree in trees):
        console.print("the copies are not what Python imports; nothing was planted", style="red")
        return 2
    if not _healthy(console, trees, chosen):
        return 2
    findings = []
    for finding in judged(trees, chosen):
        findings.append(finding)
        style = None if finding.verdict is Verdict.CAUGHT else "red"
        console.print(
            f"{finding.bug:45} {finding.verdict:18} {finding.seconds:5.1f} s  {finding.told}",
            style=style, markup=False,
        )  # fmt: skip
    missed = [finding for finding in findings if finding.verdict is not Verdict.CAUGHT]
    console.print(
        f"{len(findings)} bugs, {len(findings) - len(missed)} caught, {len(missed)} not;"
        f" {monotonic() - began:.0f} s; logs in {home}"
    )
    return 1 if missed else 0


def _healthy(console: Console, trees: Sequence[Tree], chosen: Sequence[Bug]) -> bool:
    """Return whether all named tests pass without a bug: else a failure would prove nothing."""
    named, began = sorted({test for bug in chosen for test in bug.tests}), monotonic()
    parts = [(tree, named[number :: len(trees)]) for number, tree in enumerate(trees)]
    with ThreadPoolExecutor(len(trees)) as pool:
        results = list(
            pool.map(
                lambda part: part[0].run("without-a-bug", part[1], WHOLE_SECONDS),
                [part for part in parts if part[1]],
            )
        )
    tests = sum(result.tests for result in results)
    console.print(f"without a bug: {tests} tests, {monotonic() - began:.0f} s")
    for result in results:
        if not result.is_clean:
            failed = ", ".join(result.failed) or "not ended in time"
            console.print(f"they do not pass: {failed}; {result.log}", style="red")
    return all(result.is_clean for result in results)


def judged(trees: Sequence[Tree], bugs: Sequence[Bug]) -> Iterator[Finding]:
    """Judge bugs, each in a tree that is free, as they are done."""
    free: Queue[Tree] = Queue()
    for tree in trees:
        free.put(tree)

    def judge(bug: Bug) -> Finding:
        tree = free.get()
        try:
            return tree.judge(bug)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        yield from pool.map(judge, bugs)


if __name__ == "__main__":
    sys.exit(main())

"""Planting a known bug into a copy of the tree, and seeing whether the tests that must find it do.

The worktree itself is never changed. Which bugs there are, and what finds them, is `bugs`.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.pytest_runs import PytestResult, run_pytest

COPIED = (
    "billing", "workers", "schedules", "tests", "docs", ".ci", "pyproject.toml",
    "requirements.lock", "requirements-production.lock", "Makefile", "README.md",
    "CHANGELOG.md", "CONTRIBUTING.md",
    "DECISIONS.md", "SECURITY.md", "Dockerfile", "docker-compose.yml", ".env.example",
    ".dockerignore", ".gitignore",
)  # fmt: skip
SECONDS = 90.0
ONE_BY_ONE = ("-q", "-x", "-n", "0", "-p", "no:randomly", "-o", "timeout=120")


class PatchDoesNotApply(Exception):
    """The text that a bug replaces is not there, or more than once."""


@dataclass(frozen=True)
class Edit:
    """One replacement in one file."""

    file: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The text with the bug; raises PatchDoesNotApply."""
        found = text.count(self.old)
        if found != 1:
            raise PatchDoesNotApply(f"{self.file}: {found} times: {self.old.strip()[:60]!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Bug:
    """A bug to plant, and the tests of which at least one must fail within the time."""

    name: str
    edits: Sequence[Edit]
    tests: Sequence[str]
    seconds: float = SECONDS


def bug(name: str, file: str, old: str, new: str, *tests: str, seconds: float = SECONDS) -> Bug:
    """A bug of one edit."""
    return Bug(name, [Edit(file, old, new)], tests, seconds)


class Verdict(StrEnum):
    """What became of a planted bug."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    LATE = "NOT IN TIME"
    STALE = "DOES NOT APPLY"
    BROKEN = "TESTS DID NOT RUN"


@dataclass(frozen=True)
class Finding:
    """A bug's verdict, and the test that found it or what else is to be said."""

    bug: str
    verdict: Verdict
    seconds: float
    told: str = ""


class Tree:
    """A copy of the tree in which bugs are planted one after another."""

    def __init__(self, source: Path, home: Path) -> None:
        self.root = home / "tree"
        self._logs = home
        self.root.mkdir(parents=True)
        for name in COPIED:
            there = source / name
            if there.is_dir():
                left_out = shutil.ignore_patterns("__pycache__", ".local")
                shutil.copytree(there, self.root / name, ignore=left_out)
            elif there.exists():
                shutil.copy2(there, self.root / name)

    def holds_what_runs(self) -> bool:
        """Whether a test that runs here imports this copy, and not the worktree."""
        code = "import billing, tests; print(billing.__file__, tests.__file__)"
        said = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.root, env={"PYTHONPATH": str(self.root)},
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout.split()  # fmt: skip
        return all(Path(path).is_relative_to(self.root) for path in said)

    @contextmanager
    def planted(self, bug: Bug) -> Iterator[None]:
        """The tree with a bug in it; raises PatchDoesNotApply, and then changes nothing."""
        before = {edit.file: (self.root / edit.file).read_text() for edit in bug.edits}
        after = dict(before)
        for edit in bug.edits:
            after[edit.file] = edit.applied(after[edit.file])
        try:
            self._write(after)
            yield
        finally:
            self._write(before)

    def run(self, name: str, tests: Sequence[str], seconds: float) -> PytestResult:
        """Run some tests on the tree as it is now."""
        return run_pytest(
            [*ONE_BY_ONE, *tests], tree=self.root, folder=self._logs, name=name, seconds=seconds
        )

    def judge(self, bug: Bug) -> Finding:
        """Plant a bug and see whether it is caught."""
        try:
            with self.planted(bug):
                result = self.run(bug.name, bug.tests, bug.seconds)
        except PatchDoesNotApply as stale:
            return Finding(bug.name, Verdict.STALE, 0.0, str(stale))
        return Finding(bug.name, verdict_of(result), result.seconds, _told(result))

    def _write(self, texts: dict[str, str]) -> None:
        for file, text in texts.items():
            path = self.root / file
            path.write_text(text)
            # Python compares seconds and sizes; two bugs may be planted within one second.
            for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                compiled.unlink()


def verdict_of(result: PytestResult) -> Verdict:
    """What a run with a planted bug says of it: only a test that failed has caught it."""
    if result.status is None:
        return Verdict.LATE
    if result.status == 0:
        return Verdict.SURVIVED if result.tests else Verdict.BROKEN
    return Verdict.CAUGHT if result.status == 1 and result.failed else Verdict.BROKEN


def _told(result: PytestResult) -> str:
    if verdict_of(result) is Verdict.CAUGHT:
        return result.failed[0].rpartition("::")[2]
    return str(result.log)

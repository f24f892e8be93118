"""The bugs of `make mutants`: each can be planted in this tree, and what finds it is there."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.mutants.bugs import BUGS, PASSED_ONCE
from tests.mutants.planting import (
    Bug,
    Edit,
    PatchDoesNotApply,
    Tree,
    Verdict,
    verdict_of,
)
from tests.pytest_runs import PytestResult

LEAST = 25


def test_there_are_enough_of_them() -> None:
    """At least twenty-five, each named once, with the seven that passed the suite among them."""
    assert len(BUGS) >= LEAST
    assert len(PASSED_ONCE) == 7
    assert set(Counter(bug.name for bug in BUGS).values()) == {1}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """The text that it replaces is there once, and what it puts there compiles."""
    for edit in bug.edits:
        text = (ROOT / edit.file).read_text()
        assert edit.applied(text) != text
        compile(edit.applied(text), edit.file, "exec")
    assert bug.tests
    assert [test for test in bug.tests if not _exists(test)] == []


def _exists(test: str) -> bool:
    """Whether the file is there, with the classes and functions that pytest is to find in it."""
    file, *named = test.split("::")
    path = ROOT / file
    if not path.is_file():
        return False
    return {part.partition("[")[0] for part in named} <= _defined(path)


@cache
def _defined(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("text", ["", "one = 1\none = 1\n"])
def test_a_patch_that_does_not_fit_is_told(text: str) -> None:
    """Text that is gone, or there twice, is an error that names the file."""
    with pytest.raises(PatchDoesNotApply, match=r"a\.py: [02] times"):
        Edit("a.py", "one = 1", "one = 2").applied(text)


def result(status: int | None, *failed: str, tests: int = 3) -> PytestResult:
    """Build a run with this result."""
    return PytestResult(failed, tests, 1.0, status, Path("log"))


@pytest.mark.parametrize(("run", "verdict"), [
    (result(1, "t::a"), Verdict.CAUGHT),
    (result(0), Verdict.SURVIVED),
    (result(None), Verdict.LATE),
    (result(0, tests=0), Verdict.BROKEN),
    (result(2, "t::a"), Verdict.BROKEN),
    (result(5), Verdict.BROKEN),
])  # fmt: skip
def test_only_a_test_that_fails_has_caught_a_bug(run: PytestResult, verdict: Verdict) -> None:
    """Tests that could not be collected, or were not ended in time, have found nothing."""
    assert verdict_of(run) is verdict


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with one function and one test of it."""
    source = tmp_path / "source"
    (source / "billing").mkdir(parents=True)
    (source / "tests").mkdir()
    (source / "billing" / "__init__.py").write_text("")
    (source / "billing" / "sum.py").write_text("def add(a, b):\n    return a + b\n")
    (source / "tests" / "__init__.py").write_text("")
    (source / "tests" / "test_sum.py").write_text(
        "from billing.sum import add\ndef test_add():\n    assert add(2, 1) == 3\n"
    )
    return source


def test_a_planted_bug_is_judged_and_dug_up_again(source: Path, tmp_path: Path) -> None:
    """The copy is as before after each bug, and the source is never touched."""
    tree = Tree(source, tmp_path / "copy")
    there, here = source / "billing" / "sum.py", tree.root / "billing" / "sum.py"
    before = there.read_text()
    tests = ["-p", "no:cacheprovider", "tests/test_sum.py"]

    def judge(old: str, new: str) -> Verdict:
        return tree.judge(Bug("b", [Edit("billing/sum.py", old, new)], tests)).verdict

    assert tree.holds_what_runs()
    assert judge("a + b", "a - b") is Verdict.CAUGHT
    assert judge("a + b", "b + a") is Verdict.SURVIVED
    assert judge("a * b", "a - b") is Verdict.STALE
    assert (there.read_text(), here.read_text()) == (before, before)

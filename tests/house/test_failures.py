"""The page of failures names a test in each row, and each of them exists."""

import re

from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "failures.md"
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^\s*def (test_\w+)", path.read_text(), re.MULTILINE)
}


def rows() -> list[str]:
    """The rows of the page's tables, without their heads."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith(("| failure", "|---"))]


def test_each_failure_names_a_test_that_exists() -> None:
    """Each row names a test, and each named test exists."""
    assert len(rows()) > 40
    for row in rows():
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= TESTS, f"{set(named) - TESTS} in: {row}"


def test_each_failure_is_listed_once() -> None:
    """No two rows have the same failure, or are proved by the same tests."""
    faults = [row.split(" | ")[0] for row in rows()]
    proofs = [frozenset(re.findall(r"`(test_\w+)`", row)) for row in rows()]
    named = [test for proof in proofs for test in proof]

    assert len(faults) == len(set(faults))
    assert len(proofs) == len(set(proofs))
    assert [test for test in sorted(set(named)) if named.count(test) > 1] == []

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
    return [line for line in lines if not line.startswith(("| fault", "|---"))]


def test_each_failure_names_a_test_that_exists() -> None:
    """Each row names a test, and each named test exists."""
    assert len(rows()) > 40
    for row in rows():
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= TESTS, f"{set(named) - TESTS} in: {row}"

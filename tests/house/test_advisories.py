"""`make advisories` passes only when every pin was looked up: silence is no answer."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.house.tree import ROOT

SCRIPT = ROOT / ".ci" / "advisories.py"
FINE = {"name": "Kombu", "version": "5.7.0", "vulns": []}
HOLE = {"id": "GHSA-x", "fix_versions": ["6.6.2"], "aliases": [], "description": "…"}
BAD = {"name": "tornado", "version": "6.6.1", "vulns": [HOLE]}
SKIPPED = {"name": "tornado", "skip_reason": "Dependency not found on PyPI"}
PINNED = {"kombu", "tornado"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script, which is in no package."""
    spec = importlib.util.spec_from_file_location("advisories", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ([FINE, BAD | {"vulns": []}], 0, "none is known"),
        ([FINE, BAD], 1, "tornado 6.6.1: GHSA-x, fixed in 6.6.2"),
        ([FINE, SKIPPED], 2, "1 of 2 not audited; tornado: Dependency not found"),
        ([FINE], 2, "tornado: it was not looked up"),
        ([SKIPPED | {"name": "kombu"}, BAD], 1, "GHSA-x"),
        ([], 2, "2 of 2 not audited"),
    ],
)
def test_only_a_whole_answer_is_good(
    script: ModuleType, found: list[dict[str, Any]], status: int, said: str
) -> None:
    """0: all were looked up; 1: a hole is known; 2: it cannot be said."""
    code, lines = script.verdict({"dependencies": found}, PINNED)

    assert code == status
    assert said in "\n".join(lines)


def test_every_pin_of_the_lock_is_asked_about(script: ModuleType) -> None:
    """Extras and odd spellings in the lock are the same packages."""
    lock = (ROOT / "requirements.lock").read_text()

    assert {"celery", "psycopg", "sqlalchemy", "typing-extensions"} <= script.pins(lock)
    assert script.pins("A_b[c]==1 \\\n x==2 ; sys_platform == 'win32'\n") == {"a-b"}


def test_an_auditor_that_does_not_run_is_no_good_news(tmp_path: Path) -> None:
    """Here it is not installed: one line, and exit 2."""
    (tmp_path / "lock").write_text("kombu==5.7.0\n")

    ran = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(tmp_path / "lock")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 2
    assert ran.stderr.startswith("advisories: cannot say: ")
    assert len(ran.stderr.splitlines()) == 1

"""An instant as people read it: local time, its offset, and nothing smaller than a second."""

import ast
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from billing.domain.backdating import AtOnce, refusal
from billing.domain.instants import at_home, spoken

REPOSITORY = Path(__file__).parents[2]
READ_BY_PEOPLE = ("domain", "services", "cli")
AS_IT_WAS_TYPED = "canceling.py"
"""It repeats the date that a person gave with --at, with the offset that they wrote."""


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 12, 1, 2, tzinfo=UTC), "2026-12-01 09:00:00+07:00"),
        (datetime(2026, 11, 29, 21, 37, 0, 957949, tzinfo=UTC), "2026-11-30 04:37:00+07:00"),
        (datetime(2026, 11, 29, 21, 37, 5, 957949, tzinfo=UTC), "2026-11-30 04:37:05+07:00"),
        (datetime(2026, 3, 1, 9, tzinfo=ZoneInfo("Asia/Jayapura")), "2026-03-01 09:00:00+09:00"),
        (datetime(2026, 3, 1, 2, tzinfo=ZoneInfo("UTC")), "2026-03-01 09:00:00+07:00"),
    ],
)
def test_an_instant_is_read_in_local_time_with_its_offset(at: datetime, text: str) -> None:
    """UTC becomes the engine's zone, the zone of a plan stays, and microseconds are left out."""
    assert spoken(at) == text


def test_an_instant_at_home_is_the_same_instant() -> None:
    """Exports name the same moment, with the offset by which finance counts days."""
    at = datetime(2026, 11, 30, 20, tzinfo=UTC)
    assert at_home(at) == at
    assert at_home(at).isoformat() == "2026-12-01T03:00:00+07:00"


def test_a_refused_start_is_named_in_local_time() -> None:
    """A start given as local time is not answered in UTC."""
    start, now = datetime(2026, 6, 30, 2, tzinfo=UTC), datetime(2026, 11, 29, tzinfo=UTC)
    told = refusal("start", start, now, 35, AtOnce(5, 1))
    assert told is not None
    assert str(told).startswith("start 2026-06-30 09:00:00+07:00 is 151 days ago")


def test_no_sentence_has_an_instant_in_iso_format() -> None:
    """Every sentence with an instant shows it in the form for people."""
    found = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for folder in READ_BY_PEOPLE
        for path in sorted((REPOSITORY / "billing" / folder).rglob("*.py"))
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.JoinedStr) and path.name != AS_IT_WAS_TYPED
        for node in ast.walk(text)
        if isinstance(node, ast.Attribute) and node.attr == "isoformat"
    ]
    assert found == []

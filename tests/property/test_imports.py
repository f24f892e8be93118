"""Imports of random files: every line is accounted for once, with its own number."""

from collections.abc import Sequence
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.cli import records
from billing.domain.events import OPERATOR
from billing.services.operating import import_rows, importing
from tests.integration.engine import Engine

NAMES = ("Ani", "Budi", "نیک\u200cآیین", "Ani \U0001f469\u200d\U0001f467", "Ny. Siti, S.H.")
BAD_NAMES = ("", "x" * 51, "a\u202eb", "\x1b[2J", "\u200d", "\udcc1")
Written = tuple[str, str, str | None]
"""A line, the customer's number in it, and the name if the row by itself is good."""


def quoted(name: str, style: str) -> str:
    """A name as a spreadsheet may write it."""
    return f'"{name}"' if style == "quoted" or "," in name else name


good = st.builds(
    lambda number, name, style: (f"%{number},{quoted(name, style)}", str(number), name),
    st.integers(0, 5), st.sampled_from(NAMES), st.sampled_from(["plain", "quoted"]),
)  # fmt: skip
bad = st.one_of(
    st.builds(lambda name: (f"%1,{name}", "1", None), st.sampled_from(BAD_NAMES)),
    st.builds(lambda name: (f'%2,"{name}', "2", None), st.sampled_from(NAMES)),
    st.builds(lambda number: (f'%{number},a "b" "c', str(number), None), st.integers(0, 5)),
    st.just(("%3", "3", None)),
    st.just((",Ani", "", None)),
    st.just(("%4,Ani,and more", "4", None)),
    st.just(('%5,"Ani"x', "5", None)),
)
empty = st.just(("", "", None))
files = st.lists(st.one_of(good, good, bad, empty), max_size=14)


def expected(file: Sequence[Written]) -> tuple[int, int, list[int]]:
    """Return the added and existing rows and the rejected lines, by a model of a few lines."""
    names: dict[str, str] = {}
    there, rejected = 0, []
    for line, (text, number, name) in enumerate(file, 2):
        if not text:
            continue
        if name is None or names.get(number, name) != name:
            rejected.append(line)
        elif number in names:
            there += 1
        else:
            names[number] = name
    return len(names), there, rejected


@given(file=files, batch=st.integers(1, 4), ending=st.sampled_from(["\n", ""]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_is_added_or_there_or_rejected(
    engine: Engine, file: list[Written], batch: int, ending: str
) -> None:
    """
    Open quotes, repeats, other content, joiners and bidi marks, in any order and batch size.

    A dry run says what the run will do; the run does it; the same file again adds nothing.
    """
    mark = uuid4().hex[:12]
    text = "\n".join(["id,name", *(line.replace("%", mark) for line, _, _ in file)]) + ending
    added, there, rejected = expected(file)

    def imported(*, dry_run: bool) -> tuple[int, int, list[int]]:
        numbered = enumerate(text.splitlines(keepends=True), 1)
        names = records.header(numbered)
        import_rows.checked_header("customers", names)
        rows = records.rows(numbered, names)
        [*_, report] = importing.customers(engine.context, rows, OPERATOR, dry_run=dry_run)
        return report.added, report.there, sorted(line for line, _ in report.bad)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "BATCH", batch)
        assert imported(dry_run=True) == (added, there, rejected)
        assert imported(dry_run=False) == (added, there, rejected)
        assert imported(dry_run=False) == (0, added + there, rejected)
    found = engine.rows("SELECT name FROM customers WHERE id LIKE :mark", mark=f"{mark}%")
    assert len(found) == added

"""Documents: what of a row is shown, under which names, and in which order."""

from datetime import UTC, datetime
from typing import NamedTuple

from billing.domain.documents import Hidden, Inline, document, ready

AT = datetime(2026, 1, 31, 2, tzinfo=UTC)


class Row(NamedTuple):
    """A row with a field that is not shown."""

    id: int
    at: datetime
    timezone: Hidden[str | None]
    lines: list[dict[str, object]]


class Page(NamedTuple):
    """A row with what belongs to it."""

    row: Inline[Row]
    parts: list[Row]
    latest: Row | None
    id: str


ROW = Row(7, AT, "Asia/Jakarta", [{"amount": 5}])
SHOWN = {"id": 7, "at": AT, "lines": [{"amount": 5}]}


def test_hidden_fields_are_left_out_and_values_stay_values() -> None:
    """An instant is no text yet, and what is hidden is nowhere."""
    assert document(ROW) == SHOWN


def test_an_inline_rows_fields_stand_in_its_place() -> None:
    """The page's own value of a name takes the place of the row's, in the order of the row."""
    found = document(Page(ROW, [], None, "seven"))

    assert found == {"id": "seven", "at": AT, "lines": [{"amount": 5}], "parts": [], "latest": None}
    assert list(found) == ["id", "at", "lines", "parts", "latest"]


def test_rows_inside_lists_pages_and_documents_are_documents() -> None:
    """However deep a row is, it is never written as a list of values."""
    page = Page(ROW, [ROW], ROW, "x")
    assert document(page)["parts"] == [SHOWN]
    assert document(page)["latest"] == SHOWN
    assert ready([{"change": (ROW, 1)}]) == [{"change": [SHOWN, 1]}]


def test_a_document_stays_as_it_is() -> None:
    """Commands add names to a document and give it back."""
    assert document(document(ROW) | {"gateway": "declined"}) == SHOWN | {"gateway": "declined"}

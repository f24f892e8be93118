"""Cursors: the place of a row, for one list with its filters; anything else is refused."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import InvalidValue
from billing.domain.filters import ChargeFilter, InvoiceFilter
from billing.domain.invoice import InvoiceStatus
from billing.domain.paging import (
    CURSOR_MAX,
    Of,
    Value,
    checked_span,
    cursor,
    place_of,
)

AT = datetime(2026, 1, 31, 2, 0, 0, 123456, tzinfo=UTC)
ID = UUID("6f1c93d4-4c11-8a34-8b9e-5f1c7d2a6f1c")
OF = Of.wanted("invoices", InvoiceFilter(customer="C1", status=InvoiceStatus.PAID, since=AT))
PLACE: list[Value] = [AT, 3, "Siti ✓", ID]
KINDS: list[type[Value]] = [datetime, int, str, UUID]


def made(*content: object) -> str:
    """A cursor with any content, written as ours are."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def test_a_cursor_gives_back_the_place() -> None:
    """Instants keep their microseconds, ids and texts their type, and the text fits a URL."""
    text = cursor(OF, PLACE)

    assert place_of(text, OF, KINDS) == PLACE
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_of_another_list_is_refused() -> None:
    """The list's name is in the cursor, also when both lists have the same filters."""
    other = Of("charges", OF.filters)
    with pytest.raises(InvalidValue, match="another list, not from the list of invoices"):
        place_of(cursor(other, PLACE), OF, KINDS)


@pytest.mark.parametrize(
    "wanted",
    [
        InvoiceFilter(),
        InvoiceFilter(customer="C2", status=InvoiceStatus.PAID, since=AT),
        InvoiceFilter(plan="C1", status=InvoiceStatus.PAID, since=AT),
        InvoiceFilter(customer="C1", status=InvoiceStatus.OPEN, since=AT),
        InvoiceFilter(customer="C1", status=InvoiceStatus.PAID, until=AT),
        InvoiceFilter(customer="C1", status=InvoiceStatus.PAID, since=AT + timedelta(seconds=1)),
    ],
)
def test_a_cursor_with_other_filters_is_refused(wanted: InvoiceFilter) -> None:
    """Every filter belongs to the cursor: the place means nothing in another selection."""
    with pytest.raises(InvalidValue, match="other filters"):
        place_of(cursor(OF, PLACE), Of.wanted("invoices", wanted), KINDS)


def test_the_same_instant_in_another_zone_is_the_same_filter() -> None:
    """A program may write the filter's instant with any offset."""
    jakarta = AT.astimezone(timezone(timedelta(hours=7)))
    here, there = (Of.wanted("charges", ChargeFilter(since=at)) for at in (AT, jakarta))
    assert here == there


HOSTILE: list[Any] = [
    "", "x", "====", "nonsense", "é", "\x00", "A" * (CURSOR_MAX + 1), "W10", "bnVsbA", "MQ",
    "[1]", "-" * 40, urlsafe_b64encode(b"\xff\xfe").decode(),
    urlsafe_b64encode(b"[" * 700).decode(),
    made(), made(1), made(1, *OF), made(1, *OF, None), made(1, *OF, {"a": 1}), made(1, *OF, []),
    made(2, *OF, [AT.isoformat(), 3, "x", str(ID)]),
    made("1", *OF, [AT.isoformat(), 3, "x", str(ID)]),
    made(1, *OF, [AT.isoformat(), 3, "x"]),
    made(1, *OF, [AT.isoformat(), 3, "x", str(ID), 1]),
    made(1, *OF, [AT.isoformat(), 3, "x", "not an id"]),
    made(1, *OF, [AT.isoformat(), 3, "x", ID.hex]),
    made(1, *OF, [AT.isoformat(), True, "x", str(ID)]),
    made(1, *OF, [AT.isoformat(), 2**63, "x", str(ID)]),
    made(1, *OF, [AT.isoformat(), 1.5, "x", str(ID)]),
    made(1, *OF, [AT.isoformat(), "3", "x", str(ID)]),
    made(1, *OF, [AT.isoformat(), 3, "a\x00b", str(ID)]),
    made(1, *OF, [AT.isoformat(), 3, "\ud800", str(ID)]),
    made(1, *OF, [AT.isoformat(), 3, ["x"], str(ID)]),
    made(1, *OF, ["2026-01-31T02:00:00", 3, "x", str(ID)]),
    made(1, *OF, ["2026-01-31T09:00:00+07:00", 3, "x", str(ID)]),
    made(1, *OF, ["0001-01-01T00:00:00+14:00", 3, "x", str(ID)]),
    made(1, *OF, ["infinity", 3, "x", str(ID)]),
    made(1, *OF, [0, 3, "x", str(ID)]),
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_damaged_or_invented_cursor_is_refused(text: str) -> None:
    """One line says so; nothing of it reaches a statement."""
    with pytest.raises(InvalidValue) as refused:
        place_of(text, OF, KINDS)
    assert "\n" not in str(refused.value)
    assert "cursor" in str(refused.value)


def test_each_changed_character_is_noticed() -> None:
    """A cursor with one wrong character is refused, or names another place of the same list."""
    text = cursor(OF, PLACE)
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        try:
            place = place_of(changed, OF, KINDS)
        except InvalidValue:
            continue
        assert cursor(OF, place) == changed
        assert place != PLACE


def test_a_span_ends_after_it_begins() -> None:
    """An empty span is a mistake; one end alone is no span."""
    checked_span(None, AT)
    checked_span(AT, None)
    checked_span(AT, AT + timedelta(microseconds=1))
    with pytest.raises(InvalidValue, match="before its end"):
        checked_span(AT, AT)

"""Filtered: one page of a list of the console, and all of its rows as a table for a file.

The filter decides which list it is. The file has exactly the rows of the filter, in the order of
the list, up to a limit. Nothing is written.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TypeAlias, TypeVar

from billing.domain.documents import document
from billing.domain.escaping import escape
from billing.domain.filters import (
    ChargeFilter,
    CustomerFilter,
    InvoiceFilter,
    RefundFilter,
    SubscriptionFilter,
)
from billing.domain.formulas import safe
from billing.domain.instants import at_home
from billing.domain.paging import PAGE_MAX, Listed, Page
from billing.services.reading import lists, results
from billing.store.queries import listing_rows as rows
from billing.store.session import Database

Filter: TypeAlias = (
    CustomerFilter | SubscriptionFilter | InvoiceFilter | ChargeFilter | RefundFilter
)
Row: TypeAlias = results.Customer | rows.Subscription | rows.Invoice | results.Charge | rows.Refund
R = TypeVar("R", bound=Row)
FILE_ROWS_MAX = 50_000
"""A file has at most this many rows; its last line says so when there are more."""
CUT = f"only the first {FILE_ROWS_MAX} rows are here: make the filter narrower"


def read(database: Database, wanted: Filter, page: Page) -> Listed[Row]:
    """Return one page of the list that the filter belongs to.

    Raises NotKnown for a customer or plan that does not exist, InvalidValue for a wrong cursor or
    span.
    """
    match wanted:
        case CustomerFilter():
            return _as_rows(lists.customers(database, wanted, page))
        case SubscriptionFilter():
            return _as_rows(lists.subscriptions(database, wanted, page))
        case InvoiceFilter():
            return _as_rows(lists.invoice_rows(database, wanted, page))
        case ChargeFilter():
            return _as_rows(lists.charges(database, wanted, page))
        case RefundFilter():
            return _as_rows(lists.refunds(database, wanted, page))


def _as_rows(found: Listed[R]) -> Listed[Row]:
    return Listed([*found.rows], found.next_cursor)


def file_of(
    database: Database, wanted: Filter, *, rows_max: int = FILE_ROWS_MAX
) -> Iterator[list[str]]:
    """Return all rows of a filter as cells of text, with the names of the columns first.

    The first page is read at once, so that a refusal is raised here and not in the middle of the
    file; the others while the file is sent, each in a transaction of its own.
    """
    return _cells(database, wanted, read(database, wanted, Page(min(PAGE_MAX, rows_max))), rows_max)


def _cells(
    database: Database, wanted: Filter, found: Listed[Row], rows_max: int
) -> Iterator[list[str]]:
    left, named = rows_max, False
    while True:
        for row in found.rows:
            shown = document(row)
            if not named:
                yield list(shown)
                named = True
            yield [cell(value) for value in shown.values()]
        left -= len(found.rows)
        if found.next_cursor is None:
            return
        if left <= 0:
            yield [CUT]
            return
        found = read(database, wanted, Page(min(PAGE_MAX, left), found.next_cursor))


def cell(value: object) -> str:
    """Write one value; a text that a spreadsheet would take for a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        # A wall time, such as an anchor, has no offset.
        return (at_home(value) if value.tzinfo else value).isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return safe(escape(str(value)))

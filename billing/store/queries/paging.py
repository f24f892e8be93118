"""Statements about pages: the conditions that are set, the order of a list, and its cursor.

A page is selected first and its details are joined afterwards, so that nothing is computed for rows
that are not shown. A condition that is not set is not in the statement: `:x IS NULL OR …` would
keep the planner from an index. This module knows no table.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.paging import Listed, Of, Page, Value, cursor, place_of
from billing.store.selecting import every
from billing.store.statements import text

R = TypeVar("R", bound=NamedTuple)
_LIMIT = "page_rows"


class Order(NamedTuple):
    """The order of a list: its name, its table with an alias, and the fields of the sorted columns.

    All columns are sorted in one direction and the last one is unique, so that one comparison of
    rows finds the next page, by an index. `columns` names the columns that differ from the fields.
    """

    name: str
    table: str
    alias: str
    fields: dict[str, type[Value]]
    columns: dict[str, str] = {}  # noqa: RUF012 - read only
    descending: bool = True

    @property
    def sorted_columns(self) -> list[str]:
        """The columns with their alias, most significant first."""
        return [f"{self.alias}.{self.columns.get(name, name)}" for name in self.fields]

    @property
    def clause(self) -> str:
        """The clause that sorts by them."""
        direction = " DESC" if self.descending else ""
        return "ORDER BY " + ", ".join(column + direction for column in self.sorted_columns)


NEWEST = {"created_at": datetime, "id": UUID}


class Search:
    """One page of a list: its conditions and their parameters, and the rows after its cursor."""

    def __init__(self, order: Order, wanted: NamedTuple, page: Page) -> None:
        """Begin with the place that the cursor names; raises InvalidValue for a wrong cursor."""
        self._order, self._page = order, page
        self._of = Of.wanted(order.name, wanted)
        self._conditions: list[str] = []
        self._parameters: dict[str, object] = {_LIMIT: page.limit + 1}
        if page.after is not None:
            place = place_of(page.after, self._of, list(order.fields.values()))
            self._begin_after(place)

    def _begin_after(self, place: Sequence[Value]) -> None:
        columns = self._order.sorted_columns
        names = [f"after_{number}" for number in range(len(columns))]
        sign = "<" if self._order.descending else ">"
        parameters = ", ".join(f":{name}" for name in names)
        self._conditions.append(f"({', '.join(columns)}) {sign} ({parameters})")
        self._parameters |= dict(zip(names, place, strict=True))

    def where(self, condition: str, **values: object) -> "Search":
        """Add a condition, unless one of its values is None."""
        if None not in values.values():
            self._conditions.append(condition)
            self._parameters |= values
        return self

    def created(
        self, since: datetime | None, until: datetime | None, column: str = "created_at"
    ) -> "Search":
        """Add a span of the instant at which rows were created."""
        name = f"{self._order.alias}.{column}"
        self.where(f"{name} >= :since", since=since)
        return self.where(f"{name} < :until", until=until)

    @property
    def clause(self) -> str:
        """The WHERE clause, or nothing."""
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    @property
    def source(self) -> str:
        """A subquery: the rows of this page in the table of the list, and one more if there is."""
        table, alias = self._order.table, self._order.alias
        return (
            f"(SELECT {alias}.* FROM {table} {alias} {self.clause}"  # noqa: S608 - constants of ours
            f" {self._order.clause} LIMIT :{_LIMIT})"
        )

    def read(self, connection: Connection, row: type[R], statement: str) -> Listed[R]:
        """Read the page by a statement that selects from `source`; it is sorted here."""
        ordered = text(f"{statement} {self._order.clause}")
        found = every(row, connection.execute(ordered, self._parameters))
        shown = found[: self._page.limit]
        if len(found) <= self._page.limit:
            return Listed(shown, None)
        last = [getattr(shown[-1], name) for name in self._order.fields]
        return Listed(shown, cursor(self._of, last))

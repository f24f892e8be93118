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
    With `of_few` the rows have a property for which an index has them alone in this order.
    """

    name: str
    table: str
    alias: str
    fields: dict[str, type[Value]]
    columns: dict[str, str] = {}  # noqa: RUF012 - read only
    descending: bool = True
    of_few: bool = False

    @property
    def sorted_columns(self) -> list[str]:
        """The columns with their alias, most significant first."""
        return [f"{self.alias}.{self.columns.get(name, name)}" for name in self.fields]

    @property
    def clause(self) -> str:
        """The clause that sorts by them.

        The planner reads the index of all rows until it has found enough of a few, as if these were
        spread among them: when they are all old, it reads the whole table. The index of the few
        has another place for nulls, which none of these columns has. Asked for that, the planner
        can use no other index for the order.
        """
        direction = " DESC" if self.descending else ""
        first, *others = (column + direction for column in self.sorted_columns)
        return "ORDER BY " + ", ".join([first + " NULLS LAST" * self.of_few, *others])


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
    def _plain(self) -> str:
        """The rows of this page in the table of the list, and one more if there is."""
        table, alias = self._order.table, self._order.alias
        where = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        ending = f"{self._order.clause} LIMIT :{_LIMIT}"
        return f"(SELECT {alias}.* FROM {table} {alias}{where} {ending})"  # noqa: S608 - constants of ours

    def read(self, connection: Connection, row: type[R], details: str) -> Listed[R]:
        """Read the page; `details` selects its columns, with `{}` in the place of the page."""
        ordered = text(f"{details.format(self._plain)} {self._order.clause}")
        return self._listed(every(row, connection.execute(ordered, self._parameters)))

    def _listed(self, found: list[R]) -> Listed[R]:
        shown = found[: self._page.limit]
        if len(found) <= self._page.limit:
            return Listed(shown, None)
        last = [getattr(shown[-1], name) for name in self._order.fields]
        return Listed(shown, cursor(self._of, last))

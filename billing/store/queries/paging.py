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
_LIMIT, _WINDOW = "page_rows", "window_rows"
_NEXT, _NEXT_A_ROW = 10_000, 20
"""Rows of a list that are read one by one for a property that no index knows, and how many more of
them for each row of the page."""


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


class Group(NamedTuple):
    """A property of rows that is no column of their table, such as the plan of an invoice.

    `value` reads it for a row of the list. `members` selects, as `m`, the rows of another table
    that have it as the parameter `group`, and `belongs` is the condition for a row of the list to
    be one of a member, by an index.
    """

    value: str
    members: str
    belongs: str


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
        return f"({self._select(*self._conditions)} {self._order.clause} LIMIT :{_LIMIT})"

    def _select(self, *conditions: str) -> str:
        table, alias = self._order.table, self._order.alias
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {alias}.* FROM {table} {alias}{where}"  # noqa: S608 - constants of ours

    @property
    def _next(self) -> str:
        return f"{self._select(*self._conditions)} {self._order.clause}"

    def _among_next(self, group: Group) -> str:
        alias, order = self._order.alias, self._order.clause
        return (
            f"(SELECT {alias}.* FROM ({self._next} LIMIT :{_WINDOW}) AS {alias}"  # noqa: S608 - the same
            f" WHERE {group.value} = :group {order} LIMIT :{_LIMIT})"
        )

    def _are_more_than_next(self, connection: Connection) -> bool:
        statement = text(f"SELECT EXISTS ({self._next} OFFSET :{_WINDOW} LIMIT 1)")
        return bool(connection.execute(statement, self._parameters).scalar_one())

    def _of_members(self, group: Group) -> str:
        alias, order = self._order.alias, self._order.clause
        return (
            f"(SELECT {alias}.* FROM ({group.members}) AS m CROSS JOIN LATERAL ("  # noqa: S608 - the same
            f"{self._select(group.belongs, *self._conditions)} {order} LIMIT :{_LIMIT}"
            f") AS {alias} {order} LIMIT :{_LIMIT})"
        )

    def read(self, connection: Connection, row: type[R], details: str) -> Listed[R]:
        """Read the page; `details` selects its columns, with `{}` in the place of the page."""
        return self._listed(self._read(connection, row, details, self._plain))

    def read_of_group(
        self, connection: Connection, row: type[R], details: str, group: Group, value: str | None
    ) -> Listed[R]:
        """Read the page of the rows whose group is `value`; without a value, of all rows.

        The next rows of the list are enough for a group that many rows belong to. For another
        one, or one whose rows are all old, its members are found first.
        """
        if value is None:
            return self.read(connection, row, details)
        window = _NEXT + _NEXT_A_ROW * self._page.limit
        self._parameters |= {"group": value, _WINDOW: window}
        found = self._read(connection, row, details, self._among_next(group))
        if len(found) <= self._page.limit and self._are_more_than_next(connection):
            found = self._read(connection, row, details, self._of_members(group))
        return self._listed(found)

    def _read(self, connection: Connection, row: type[R], details: str, page: str) -> list[R]:
        ordered = text(f"{details.format(page)} {self._order.clause}")
        return every(row, connection.execute(ordered, self._parameters))

    def _listed(self, found: list[R]) -> Listed[R]:
        shown = found[: self._page.limit]
        if len(found) <= self._page.limit:
            return Listed(shown, None)
        last = [getattr(shown[-1], name) for name in self._order.fields]
        return Listed(shown, cursor(self._of, last))

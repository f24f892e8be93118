"""Direct: run statements that are plain text by the driver alone, without SQLAlchemy's machinery.

SQLAlchemy takes as long for a text that selects one row as the driver and PostgreSQL together. A
statement with its own types, a statement made of columns, options, or a listener for statements:
all of these still go through SQLAlchemy. This module knows no table.
"""

from collections import namedtuple
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, TextClause
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

_DIALECT: Any = psycopg.dialect()  # type: ignore[no-untyped-call]


class DirectConnection(Connection):
    """A connection whose texts are executed directly; it is used like any other."""

    def execute(
        self, statement: Any, parameters: Any = None, *, execution_options: Any = None
    ) -> CursorResult[Any]:
        """Execute a statement; a text with values goes straight to the driver."""
        written = None
        if (
            type(statement) is TextClause
            and (parameters is None or isinstance(parameters, dict))
            and not execution_options
            and not self.dispatch.before_cursor_execute
            and not self.dispatch.before_execute
        ):
            written = _written(statement)
        if written is None:
            return super().execute(statement, parameters, execution_options=execution_options or {})
        cursor = None
        try:
            cursor = self.connection.cursor()
            cursor.execute(written, parameters or {})
        except Exception as error:  # noqa: BLE001 - SQLAlchemy decides what it is, and raises that
            self._handle_dbapi_exception(error, written, parameters, cursor, None)
        return cast("CursorResult[Any]", DirectResult(cursor))


@cache
def _written(statement: TextClause) -> str | None:
    """Return the driver's form of a text; None when its values need more than the driver."""
    compiled = statement.compile(dialect=_DIALECT)
    binds = compiled.binds.values()
    plain = not compiled._bind_processors and not compiled.escaped_bind_names  # noqa: SLF001
    if plain and all(bind.required and not bind.expanding for bind in binds):
        return compiled.string
    return None


@cache
def _row_of(names: tuple[str, ...]) -> Any:
    make: Any = namedtuple  # noqa: PYI024 - the names are known when it runs
    return make("Row", names, rename=True)._make


class DirectResult:
    """The rows of a statement, with those methods of SQLAlchemy's result that are used here."""

    def __init__(self, cursor: Any) -> None:
        self.rowcount: int = cursor.rowcount
        self._result = cursor.pgresult
        self._values: list[tuple[Any, ...]] = cursor.fetchall() if self._result.nfields else []

    def values(self) -> list[tuple[Any, ...]]:
        """Return the rows as plain tuples."""
        return self._values

    def _names(self) -> tuple[str, ...]:
        """Return the names of the columns; the driver's description of them takes much longer."""
        name = self._result.fname
        return tuple(name(number).decode() for number in range(self._result.nfields))

    def _rows(self, values: Iterable[tuple[Any, ...]]) -> list[Any]:
        return list(map(_row_of(self._names()), values))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def all(self) -> list[Any]:
        """Return all rows."""
        return self._rows(self._values) if self._values else []

    def first(self) -> Any:
        """Return the first row, or None."""
        return self._rows(self._values[:1])[0] if self._values else None

    fetchone = first

    def one_or_none(self) -> Any:
        """Return the only row, or None; raise MultipleResultsFound when there are more."""
        _at_most_one(self._values)
        return self.first()

    def one(self) -> Any:
        """Return the only row; raise NoResultFound or MultipleResultsFound."""
        _exactly_one(self._values)
        return self.first()

    def scalar(self) -> Any:
        """Return the first value of the first row, or None."""
        return self._values[0][0] if self._values else None

    def scalar_one(self) -> Any:
        """Return the first value of the only row; raise NoResultFound or MultipleResultsFound."""
        _exactly_one(self._values)
        return self._values[0][0]

    def scalar_one_or_none(self) -> Any:
        """Return the first value of the only row, or None."""
        _at_most_one(self._values)
        return self.scalar()

    def scalars(self) -> "DirectScalars":
        """Return the first value of each row."""
        return DirectScalars([row[0] for row in self._values])

    def mappings(self) -> "DirectScalars":
        """Return each row as a dictionary."""
        names = self._names()
        return DirectScalars([dict(zip(names, row, strict=True)) for row in self._values])


class DirectScalars:
    """One object of each row."""

    def __init__(self, found: list[Any]) -> None:
        self._found = found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found)

    def all(self) -> list[Any]:
        """Return all of them."""
        return self._found

    def first(self) -> Any:
        """Return the first one, or None."""
        return self._found[0] if self._found else None

    def one_or_none(self) -> Any:
        """Return the only one, or None; raise MultipleResultsFound when there are more."""
        _at_most_one(self._found)
        return self.first()

    def one(self) -> Any:
        """Return the only one; raise NoResultFound or MultipleResultsFound."""
        _exactly_one(self._found)
        return self._found[0]


def _at_most_one(found: list[Any]) -> None:
    if len(found) > 1:
        raise MultipleResultsFound("several rows were found when at most one was expected")


def _exactly_one(found: list[Any]) -> None:
    if not found:
        raise NoResultFound("no row was found when one was expected")
    _at_most_one(found)


def values_of(found: CursorResult[Any]) -> Iterable[Iterable[Any]]:
    """Return the rows of a result as the driver made them."""
    result: Any = found
    values: Iterable[Iterable[Any]] = (
        result.values() if isinstance(result, DirectResult) else result
    )
    return values

"""Texts that go straight to the driver give the same rows and errors as through SQLAlchemy."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, MultipleResultsFound, NoResultFound

from billing.store.direct import DirectResult
from tests.integration.engine import Engine

ROWS = "SELECT n, 'x' || n AS name, :given AS given FROM generate_series(1, :most) AS n"
READERS: dict[str, Callable[[Any], Any]] = {
    "all": lambda found: found.all(),
    "first": lambda found: found.first(),
    "iterated": list,
    "one": lambda found: found.one(),
    "one or none": lambda found: found.one_or_none(),
    "scalar": lambda found: found.scalar(),
    "scalar one": lambda found: found.scalar_one(),
    "scalar one or none": lambda found: found.scalar_one_or_none(),
    "scalars": lambda found: found.scalars().all(),
    "the only scalar": lambda found: found.scalars().one(),
    "the first scalar": lambda found: found.scalars().first(),
    "a scalar or none": lambda found: found.scalars().one_or_none(),
    "mappings": lambda found: [dict(row) for row in found.mappings()],
    "names": lambda found: [row.name for row in found.all()],
    "row count": lambda found: found.rowcount,
}


def read(engine: Engine, most: int, reader: Callable[[Any], Any], *, direct: bool) -> Any:
    """What a reader makes of some rows; an error's type when it raises."""
    options = {} if direct else {"execution_options": {"stream_results": False}}
    with engine.context.database.transaction() as connection:
        found = connection.execute(text(ROWS), {"given": "100 %", "most": most}, **options)
        assert isinstance(found, DirectResult) is direct
        try:
            return reader(found)
        except (NoResultFound, MultipleResultsFound) as error:
            return type(error)


@pytest.mark.parametrize("most", [0, 1, 3])
@pytest.mark.parametrize("name", READERS)
def test_rows_are_those_of_sqlalchemy(engine: Engine, name: str, most: int) -> None:
    """No row, one row, or several, by each way of reading them."""
    reader = READERS[name]

    assert read(engine, most, reader, direct=True) == read(engine, most, reader, direct=False)


def test_an_error_is_the_one_of_sqlalchemy_and_ends_the_transaction(engine: Engine) -> None:
    """Services recognise errors by SQLAlchemy's types; values are not in their text."""
    engine.customer(linked=False)
    again = text("INSERT INTO customers SELECT * FROM customers WHERE name <> :secret")

    def act() -> None:
        with engine.context.database.transaction() as connection:
            connection.execute(text("UPDATE engine SET stopped_reason = 'x'"))
            connection.execute(again, {"secret": "hush"})

    with pytest.raises(IntegrityError) as raised:
        act()
    assert "hush" not in str(raised.value)
    assert engine.rows("SELECT 1 FROM engine WHERE stopped_reason = 'x'") == []


def test_a_savepoint_keeps_what_was_before_it(engine: Engine) -> None:
    """An error inside is undone alone."""
    with engine.context.database.transaction() as connection:
        connection.execute(text("UPDATE engine SET stopped_reason = 'kept'"))
        with pytest.raises(DBAPIError), connection.begin_nested():
            connection.execute(text("SELECT 1 / :zero"), {"zero": 0})
    assert engine.rows("SELECT stopped_reason FROM engine") == [{"stopped_reason": "kept"}]


def test_a_listener_for_statements_hears_each_of_them(engine: Engine) -> None:
    """Measurements and the storm count and change statements."""
    heard: list[str] = []
    with engine.context.database.transaction() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda _c, _k, said, *_: heard.append(said)
        )
        connection.execute(text("SELECT 1"))
    assert heard == ["SELECT 1"]

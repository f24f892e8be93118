"""Statements for imports: many rows at once, leaving what is there as it is.

A batch travels as one array a column. Values for each row would be a text of a hundred thousand
parameters, and took six times as long.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, Table, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningInsert

from billing.store.tables import CUSTOMERS, EVENTS, SUBSCRIPTIONS, WALLETS


def known_customers(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these customers exist."""
    statement = text("SELECT id FROM customers WHERE id = ANY(:ids)")
    return set(connection.execute(statement, {"ids": list(set(ids))}).scalars())


def add_customers(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Insert customers, and return the ids of those that are new."""
    return _add(connection, CUSTOMERS, rows)


def add_subscriptions(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Insert subscriptions, and return the ids of those that are new."""
    return _add(connection, SUBSCRIPTIONS, rows)


def add_wallets(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert wallets; a customer who has a live one keeps it."""
    _add(connection, WALLETS, rows)


def record(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write events in the order given."""
    _add(connection, EVENTS, rows)


def _add(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> set[Any]:
    """Insert rows that all have the same columns; returns the ids of those that were not there."""
    if not rows:
        return set()
    values = {name: [row[name] for row in rows] for name in rows[0]}
    # What is the same in every row travels once; the first column says how many rows there are.
    same = {n: given[0] for n, given in values.items() if all(v == given[0] for v in given)}
    same.pop(next(iter(values)), None)
    statement = _insert([table.c[name] for name in values], set(same))
    return set(connection.execute(statement, values | same).scalars())


def _insert(columns: Sequence[Column[Any]], same: set[str]) -> ReturningInsert[Any]:
    arrays = {c.name: bindparam(c.name, type_=ARRAY(c.type)) for c in columns if c.name not in same}
    given = func.unnest(*arrays.values()).table_valued(*arrays).render_derived()
    row = [bindparam(c.name, type_=c.type) if c.name in same else given.c[c.name] for c in columns]
    table = columns[0].table
    statement = insert(table).from_select([column.name for column in columns], select(*row))
    return statement.on_conflict_do_nothing().returning(table.c.id)

"""Statements for imports: many rows at once, leaving what is there as it is.

A batch travels as one JSON parameter: arrays a column took three times as long to write, and
values for each row six times.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table

from billing.store.rows import as_json
from billing.store.statements import text
from billing.store.tables import CUSTOMERS, SUBSCRIPTIONS, WALLETS


def known_customers(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these customers exist."""
    statement = text(
        "SELECT id FROM customers"
        " WHERE id = ANY (ARRAY(SELECT json_array_elements_text(CAST(:ids AS json))))"
    )
    return set(connection.execute(statement, {"ids": as_json(list(set(ids)))}).scalars())


def add_customers(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Insert customers, and return the ids of those that are new."""
    return _add(connection, CUSTOMERS, rows)


def add_subscriptions(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Insert subscriptions, and return the ids of those that are new."""
    return _add(connection, SUBSCRIPTIONS, rows)


def add_wallets(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert wallets; a customer who has a live one keeps it."""
    _add(connection, WALLETS, rows)


def _add(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> set[Any]:
    """Insert rows that all have the same columns; returns the ids of those that were not there."""
    if not rows:
        return set()
    names = ", ".join(table.c[name].name for name in rows[0])
    statement = text(
        f"INSERT INTO {table.name} ({names}) SELECT {names}"  # noqa: S608 - names of our columns
        f" FROM json_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS json))"
        " ON CONFLICT DO NOTHING RETURNING id"
    )
    found = connection.execute(statement, {"rows": as_json(rows)})
    if found.rowcount == len(rows):
        return {row["id"] for row in rows}
    return set(found.scalars())

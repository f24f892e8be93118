"""Statements for imports: many rows at once, leaving what is there as it is."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from billing.store.tables import CUSTOMERS, SUBSCRIPTIONS, WALLETS


def known_customers(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these customers exist."""
    statement = text("SELECT id FROM customers WHERE id = ANY(:ids)")
    return set(connection.execute(statement, {"ids": list(set(ids))}).scalars())


def add_customers(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Insert customers, and return the ids of those that are new."""
    statement = insert(CUSTOMERS).on_conflict_do_nothing().returning(CUSTOMERS.c.id)
    return set(connection.execute(statement, list(rows)).scalars())


def add_subscriptions(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Insert subscriptions, and return the ids of those that are new."""
    statement = insert(SUBSCRIPTIONS).on_conflict_do_nothing().returning(SUBSCRIPTIONS.c.id)
    return set(connection.execute(statement, list(rows)).scalars())


def add_wallets(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert wallets; a customer who has a live one keeps it."""
    if rows:
        connection.execute(insert(WALLETS).on_conflict_do_nothing(), list(rows))

"""Statements about plans and customers."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.store.statements import text
from billing.store.tables import CUSTOMERS, PLANS


def add_plan(connection: Connection, **values: Any) -> bool:
    """Insert a plan; False when the code is taken."""
    statement = insert(PLANS).values(**values).on_conflict_do_nothing()
    return connection.execute(statement.returning(PLANS.c.code)).first() is not None


def plan(connection: Connection, code: str) -> RowMapping | None:
    """Read one plan."""
    statement = select(PLANS).where(PLANS.c.code == code)
    return connection.execute(statement).mappings().one_or_none()


def plans(connection: Connection) -> list[RowMapping]:
    """Read every plan, by code."""
    return list(connection.execute(select(PLANS).order_by(PLANS.c.code)).mappings())


def archive_plan(connection: Connection, code: str, at: datetime) -> bool:
    """Archive a plan; False when it was archived already."""
    statement = (
        update(PLANS)
        .where(PLANS.c.code == code, PLANS.c.archived_at.is_(None))
        .values(archived_at=at)
    )
    return connection.execute(statement).rowcount == 1


def add_customer(connection: Connection, **values: Any) -> bool:
    """Insert a customer; False when the id is taken."""
    statement = insert(CUSTOMERS).values(**values).on_conflict_do_nothing()
    return connection.execute(statement.returning(CUSTOMERS.c.id)).first() is not None


def customer(connection: Connection, customer_id: str) -> RowMapping | None:
    """Read one customer."""
    statement = select(CUSTOMERS).where(CUSTOMERS.c.id == customer_id)
    return connection.execute(statement).mappings().one_or_none()


def lock_customer(connection: Connection, customer_id: str) -> bool:
    """Lock a customer, before its subscriptions and wallets; False when there is none.

    It orders what needs both a wallet and the list of subscriptions: a new subscription, a new
    token, and the question whether a token is still needed.
    """
    statement = text("SELECT id FROM customers WHERE id = :id FOR NO KEY UPDATE")
    return connection.execute(statement, {"id": customer_id}).first() is not None


def customers(connection: Connection, limit: int) -> list[RowMapping]:
    """Read customers by id."""
    statement = select(CUSTOMERS).order_by(CUSTOMERS.c.id).limit(limit)
    return list(connection.execute(statement).mappings())


def near_codes(connection: Connection) -> list[str]:
    """Find plan codes similar to a mistyped one."""
    return list(connection.execute(text("SELECT code FROM plans LIMIT 1000")).scalars())

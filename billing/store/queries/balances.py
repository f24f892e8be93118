"""Statements about balances: the credits that are the customer's, and what invoices took of them.

Credits are locked after subscriptions, in the order of their ids, which is that of their age.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert

from billing.store.statements import text
from billing.store.tables import CREDIT_USES


def lock_left(connection: Connection, customer_ids: Sequence[str]) -> list[RowMapping]:
    """Lock what is left of the credits of customers, the oldest first."""
    statement = text(
        "SELECT id, customer_id, remaining FROM credits"
        " WHERE customer_id = ANY(:ids) AND remaining > 0 ORDER BY id FOR UPDATE"
    )
    return list(connection.execute(statement, {"ids": list(customer_ids)}).mappings())


def use(connection: Connection, rows: Sequence[tuple[int, UUID, int]]) -> None:
    """Take from credits, whose locks the caller holds: credit, invoice and rupiah."""
    if not rows:
        return
    used = [dict(zip(("credit_id", "invoice_id", "amount"), row, strict=True)) for row in rows]
    connection.execute(insert(CREDIT_USES), used)
    statement = text("UPDATE credits SET remaining = remaining - :amount WHERE id = :credit_id")
    connection.execute(statement, used)


def put_back(connection: Connection, invoice_ids: Sequence[UUID]) -> None:
    """Undo what invoices that are owed no more took; the caller holds their subscription."""
    ids = {"ids": list(invoice_ids)}
    connection.execute(
        text(
            "SELECT c.id FROM credits c JOIN credit_uses u ON u.credit_id = c.id"
            " WHERE u.invoice_id = ANY(:ids) ORDER BY c.id FOR UPDATE OF c"
        ),
        ids,
    )
    connection.execute(
        text("""
            WITH left_of AS (SELECT credit_id, sum(amount - returned) AS amount FROM credit_uses
                             WHERE invoice_id = ANY(:ids) GROUP BY 1),
            undone AS (UPDATE credit_uses SET returned = amount WHERE invoice_id = ANY(:ids))
            UPDATE credits c SET remaining = c.remaining + l.amount
            FROM left_of l WHERE c.id = l.credit_id
        """),
        ids,
    )


def one(connection: Connection, credit_id: int) -> RowMapping | None:
    """One credit."""
    statement = text("SELECT * FROM credits WHERE id = :id")
    return connection.execute(statement, {"id": credit_id}).mappings().one_or_none()


def lock_one(connection: Connection, credit_id: int) -> list[RowMapping]:
    """Lock one credit, if it exists."""
    statement = text("SELECT * FROM credits WHERE id = :id FOR UPDATE")
    return list(connection.execute(statement, {"id": credit_id}).mappings())


def of_customer(connection: Connection, customer_id: str, limit: int) -> list[RowMapping]:
    """A customer's credits, the oldest first."""
    statement = text(
        "SELECT id, customer_id AS customer, amount, remaining, paid_out, from_charge,"
        " invoice_id AS invoice, charge_id AS charge,"
        " reason, created_at FROM credits WHERE customer_id = :customer ORDER BY id LIMIT :limit"
    )
    parameters = {"customer": customer_id, "limit": limit}
    return list(connection.execute(statement, parameters).mappings())

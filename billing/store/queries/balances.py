"""Statements about credits: what remains of them, and what invoices used.

Credits are locked after subscriptions, in the order of their ids, which is the order of their age.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, insert

from billing.domain.pricing import CreditLeft
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


class Credit(NamedTuple):
    """A credit: its unused amount, and which part of it can be paid out."""

    id: int
    charge_id: UUID | None
    remaining: int
    from_charge: int
    paid_out: int


class ShownCredit(NamedTuple):
    """A credit as commands show it."""

    id: int
    customer: str
    amount: int
    amount_remaining: int
    amount_paid_out: int
    amount_from_charge: int
    invoice: UUID | None
    charge: UUID | None
    reason: str
    created_at: datetime


_LEFT = text(
    f"SELECT {columns(CreditLeft)} FROM credits"  # noqa: S608 - a constant of ours
    " WHERE customer_id = ANY(:ids) AND remaining > 0 ORDER BY id FOR UPDATE"
)
_ONE = f"SELECT {columns(Credit)} FROM credits WHERE id = :id"  # noqa: S608 - a constant of ours
_IDS = {name: f"b.{name}_id" for name in ("customer", "invoice", "charge")}
_AMOUNTS = {f"amount_{name}": f"b.{name}" for name in ("remaining", "paid_out", "from_charge")}
SHOWN = f"SELECT {columns(ShownCredit, 'b', **_IDS, **_AMOUNTS)} FROM {{}} AS b"  # noqa: S608 - a constant of ours


def lock_left(connection: Connection, customer_ids: Sequence[str]) -> list[CreditLeft]:
    """Lock the remaining credits of customers, oldest first."""
    return every(CreditLeft, connection.execute(_LEFT, {"ids": list(customer_ids)}))


def use(connection: Connection, rows: Sequence[tuple[int, UUID, int]]) -> None:
    """Use credits, whose locks the caller holds: credit, invoice and rupiah."""
    from billing.store.tables import CREDIT_USES

    if not rows:
        return
    used = [dict(zip(("credit_id", "invoice_id", "amount"), row, strict=True)) for row in rows]
    connection.execute(insert(CREDIT_USES), used)
    statement = text("UPDATE credits SET remaining = remaining - :amount WHERE id = :credit_id")
    connection.execute(statement, used)


def put_back(connection: Connection, invoice_ids: Sequence[UUID]) -> None:
    """Return the credits that void invoices used; the caller holds the subscription's lock."""
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


def one(connection: Connection, credit_id: int) -> Credit | None:
    """Read one credit."""
    return at_most_one(Credit, connection.execute(text(_ONE), {"id": credit_id}))


def shown(connection: Connection, credit_id: int) -> ShownCredit | None:
    """Read one credit as commands show it."""
    statement = text(f"{SHOWN.format('credits')} WHERE b.id = :id")
    return at_most_one(ShownCredit, connection.execute(statement, {"id": credit_id}))


def lock_one(connection: Connection, credit_id: int) -> Credit | None:
    """Lock one credit, if it exists."""
    statement = text(f"{_ONE} FOR UPDATE")
    return at_most_one(Credit, connection.execute(statement, {"id": credit_id}))

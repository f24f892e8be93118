"""Statements that hold one row, and release it. They contain no rules."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.store.statements import text


class Kind(StrEnum):
    """The kinds of rows that can be held: those that ticks process."""

    SUBSCRIPTION = "subscription"
    INVOICE = "invoice"
    CHARGE = "charge"
    REFUND = "refund"
    WALLET = "wallet"


class Owner(NamedTuple):
    """The customer, subscription and other ids of a row, for its event."""

    id: UUID
    customer_id: str
    subscription_id: UUID | None
    invoice_id: UUID | None
    charge_id: UUID | None


_OWNERS = {
    Kind.SUBSCRIPTION: ("id", "NULL", "NULL"),
    Kind.INVOICE: ("subscription_id", "id", "NULL"),
    Kind.CHARGE: ("subscription_id", "invoice_id", "id"),
    Kind.REFUND: (
        "(SELECT subscription_id FROM invoices WHERE invoices.id = invoice_id)",
        "invoice_id",
        "charge_id",
    ),
    Kind.WALLET: ("NULL", "NULL", "NULL"),
}
_FINAL = {
    Kind.SUBSCRIPTION: "ended_at IS NOT NULL",
    Kind.INVOICE: "status <> 'open'",
    Kind.CHARGE: "status NOT IN ('in_flight', 'pending', 'unknown')",
    Kind.REFUND: "status NOT IN ('requested', 'in_flight', 'unknown') AND next_attempt_at IS NULL",
    Kind.WALLET: "status IN ('unlinked', 'failed')",
}
"""The states in which a row needs no more work, so that holding it has no effect."""


def _columns(kind: Kind) -> str:
    subscription, invoice, charge = _OWNERS[kind]
    columns = ", ".join(f"CAST({column} AS uuid)" for column in (subscription, invoice, charge))
    return f"id, customer_id, {columns}"


def hold(connection: Connection, kind: Kind, row_id: UUID, why: str, now: datetime) -> Owner | None:
    """Hold a row; None when it is held already or needs no more work."""
    leased = "" if kind is Kind.SUBSCRIPTION else ", leased_until = NULL"
    statement = text(
        f"UPDATE {kind.value}s SET held_at = :now, held_why = :why{leased}"  # noqa: S608 - our names
        f" WHERE id = :id AND held_at IS NULL AND NOT ({_FINAL[kind]}) RETURNING {_columns(kind)}"
    )
    found = connection.execute(statement, {"id": row_id, "why": why, "now": now}).first()
    return Owner(*found) if found else None


def release(connection: Connection, kind: Kind, ids: Sequence[UUID] | None) -> list[Owner]:
    """Release one held row, or all of a kind; return those that were held."""
    statement = text(
        f"UPDATE {kind.value}s SET held_at = NULL, held_why = NULL WHERE held_at IS NOT NULL"  # noqa: S608 - our names
        f" AND (:every OR id = ANY(CAST(:ids AS uuid[]))) RETURNING {_columns(kind)}"
    )
    parameters = {"every": ids is None, "ids": list(ids or [])}
    return [Owner(*row) for row in connection.execute(statement, parameters)]


def owner_of(connection: Connection, kind: Kind, row_id: UUID) -> Owner | None:
    """Read the owner of a row, held or not; None when the row does not exist."""
    statement = text(f"SELECT {_columns(kind)} FROM {kind.value}s WHERE id = :id")  # noqa: S608 - our names
    found = connection.execute(statement, {"id": row_id}).first()
    return Owner(*found) if found else None


def is_contradicted(connection: Connection, charge_id: UUID) -> bool:
    """Whether a charge's resolution was contradicted and no operator has acknowledged it."""
    statement = text("""
        SELECT EXISTS (SELECT 1 FROM charges c JOIN events e ON e.subscription_id =
            c.subscription_id AND e.charge_id = c.id AND e.kind = 'charge.contradicted'
        WHERE c.id = :id AND NOT EXISTS (SELECT 1 FROM events seen
            WHERE seen.subscription_id = c.subscription_id AND seen.charge_id = c.id
              AND seen.kind IN ('charge.released', 'charge.confirmed') AND seen.id > e.id))
    """)
    return bool(connection.execute(statement, {"id": charge_id}).scalar_one())

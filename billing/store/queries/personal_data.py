"""Statements that read what only the export of a customer shows: encrypted phones, and imports."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.store.selecting import columns, every
from billing.store.statements import text


class Imported(NamedTuple):
    """The row with which a subscription was imported from another system."""

    reference: str
    subscription: UUID
    content: dict[str, str]


_IMPORTED = columns(Imported, "m", subscription="m.subscription_id")


def sealed_phones(connection: Connection, customer_id: str) -> dict[UUID, bytes]:
    """Read the encrypted phone of each of a customer's wallets."""
    statement = text("SELECT id, phone_sealed FROM wallets WHERE customer_id = :id")
    return {row.id: row.phone_sealed for row in connection.execute(statement, {"id": customer_id})}


def imported(connection: Connection, customer_id: str, limit: int) -> list[Imported]:
    """Read the imported rows of a customer's subscriptions."""
    statement = text(
        f"SELECT {_IMPORTED} FROM imports m JOIN subscriptions s ON s.id = m.subscription_id"  # noqa: S608 - a constant of ours
        " WHERE s.customer_id = :id ORDER BY m.reference LIMIT :limit"
    )
    return every(Imported, connection.execute(statement, {"id": customer_id, "limit": limit}))

"""The statement that finds rows by a part of their ids, with the index of ids."""

from uuid import UUID

from sqlalchemy import Connection

from billing.domain.short_ids import Part
from billing.store.statements import text

TABLES = {
    "subscription": "subscriptions", "invoice": "invoices", "charge": "charges",
    "refund": "refunds", "wallet": "wallets", "webhook": "webhook_endpoints",
}  # fmt: skip
"""The table of each kind of row that a command takes by its id."""


def matches(connection: Connection, kind: str, part: Part, limit: int) -> list[UUID]:
    """Read the first ids of a kind that have this part."""
    statement = text(
        f"SELECT id FROM {TABLES[kind]} WHERE id BETWEEN :low AND :high"  # noqa: S608 - a constant of ours
        " AND right(CAST(id AS text), length(:end)) = :end ORDER BY id LIMIT :limit"
    )
    return list(connection.execute(statement, {**part._asdict(), "limit": limit}).scalars())

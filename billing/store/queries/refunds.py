"""Statements about refunds; the sum that may be given back is a constraint on the charge."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, update
from sqlalchemy.dialects.postgresql import insert

from billing.store.rows import as_array
from billing.store.statements import text
from billing.store.tables import REFUNDS


def reserve(connection: Connection, charge_id: UUID, amount: int) -> bool:
    """Set aside what shall be given back; False when less than that is left of the charge."""
    statement = text(
        "UPDATE charges SET amount_refunding = amount_refunding + :amount WHERE id = :id"
        " AND status = 'succeeded' AND amount_refunding + :amount <= amount"
    )
    return connection.execute(statement, {"id": charge_id, "amount": amount}).rowcount == 1


def release(connection: Connection, charge_id: UUID, amount: int) -> None:
    """Undo a reservation whose refund was declined."""
    connection.execute(
        text("UPDATE charges SET amount_refunding = amount_refunding - :amount WHERE id = :id"),
        {"id": charge_id, "amount": amount},
    )


def next_ordinal(connection: Connection, charge_id: UUID) -> int:
    """The ordinal of a charge's next refund, from 1."""
    statement = text("SELECT coalesce(max(ordinal), 0) + 1 FROM refunds WHERE charge_id = :id")
    return int(connection.execute(statement, {"id": charge_id}).scalar_one())


def add(connection: Connection, **values: Any) -> None:
    """Insert a refund."""
    connection.execute(insert(REFUNDS).values(**values))


def lease_due(
    connection: Connection, now: datetime, *, lease_seconds: int, limit: int
) -> list[UUID]:
    """Lease refunds that are due to be sent, asked about or sent again."""
    statement = text("""
        UPDATE refunds SET leased_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (ARRAY(
            SELECT id FROM refunds
            WHERE next_attempt_at <= :now AND held_at IS NULL
              AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY next_attempt_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING id
    """)
    parameters = {"now": now, "lease": lease_seconds, "limit": limit}
    return list(connection.execute(statement, parameters).scalars())


def end_leases(connection: Connection, ids: Sequence[UUID]) -> None:
    """Let refunds be leased again at once: nobody works on them now."""
    connection.execute(
        text(
            "UPDATE refunds SET leased_until = NULL"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND leased_until IS NOT NULL"
        ),
        {"ids": as_array(ids)},
    )


def lock(connection: Connection, refund_id: UUID) -> RowMapping | None:
    """Lock the subscription of a refund and return the refund with its charge."""
    parameters = {"id": refund_id}
    connection.execute(
        text(
            "SELECT s.id FROM subscriptions s JOIN invoices i ON i.subscription_id = s.id"
            " JOIN refunds r ON r.invoice_id = i.id WHERE r.id = :id FOR UPDATE OF s"
        ),
        parameters,
    )
    statement = text(
        "SELECT r.*, c.gateway_number, c.amount AS charge_amount, c.subscription_id, c.surplus"
        " FROM refunds r JOIN charges c ON c.id = r.charge_id WHERE r.id = :id"
    )
    return connection.execute(statement, parameters).mappings().one_or_none()


def change(connection: Connection, refund_id: UUID, **values: Any) -> None:
    """Write some columns of one refund, whose subscription's lock the caller holds.

    One that was held moves again thereby.
    """
    free = dict.fromkeys(("leased_until", "held_at", "held_why"))
    connection.execute(update(REFUNDS).where(REFUNDS.c.id == refund_id).values(**free, **values))


def of_invoice(connection: Connection, invoice_ids: Sequence[UUID]) -> list[RowMapping]:
    """The refunds of invoices, oldest first."""
    statement = text("SELECT * FROM refunds WHERE invoice_id = ANY(:ids) ORDER BY created_at, id")
    return list(connection.execute(statement, {"ids": list(invoice_ids)}).mappings())

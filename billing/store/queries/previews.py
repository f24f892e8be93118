"""Statements of previews: sums of a subscription's money before and after a deed."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.subscription import SubscriptionStatus
from billing.store.rows import as_array
from billing.store.selecting import columns, of_values
from billing.store.statements import text


class Sums(NamedTuple):
    """Whole rupiah: void invoices, refunds that were requested, and unused credit."""

    voided: int
    invoices_voided: int
    refunded: int
    credit: int


class State(NamedTuple):
    """A subscription's status and dates."""

    status: SubscriptionStatus
    next_due_at: datetime | None
    cancel_at: datetime | None
    change_at: datetime | None


_SUMS = text("""
    SELECT coalesce(sum(i.amount) FILTER (WHERE i.status = 'void'), 0)::bigint AS voided,
           count(*) FILTER (WHERE i.status = 'void') AS invoices_voided,
           (SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r JOIN invoices o
                ON o.id = r.invoice_id WHERE o.subscription_id = :id) AS refunded,
           (SELECT coalesce(sum(c.remaining), 0)::bigint FROM credits c JOIN subscriptions s
                ON s.customer_id = c.customer_id WHERE s.id = :id) AS credit
    FROM invoices i WHERE i.subscription_id = :id
""")


def sums(connection: Connection, subscription_id: UUID) -> Sums:
    """Add up a subscription's void invoices and refunds, and its customer's unused credit."""
    return of_values(Sums, connection.execute(_SUMS, {"id": subscription_id}).one())


def state(connection: Connection, subscription_id: UUID) -> State:
    """Read a subscription's status and dates."""
    statement = text(f"SELECT {columns(State)} FROM subscriptions WHERE id = :id")  # noqa: S608 - a constant of ours
    return of_values(State, connection.execute(statement, {"id": subscription_id}).one())


def is_attempted_before(connection: Connection, subscription_id: UUID, at: datetime) -> bool:
    """Whether an open invoice will be attempted before an instant: its outcome is not known."""
    statement = text(
        "SELECT EXISTS (SELECT 1 FROM invoices WHERE subscription_id = :id AND status = 'open'"
        " AND next_attempt_at < :at)"
    )
    found = connection.execute(statement, {"id": subscription_id, "at": at})
    return bool(found.scalar_one())


def exists(connection: Connection, subscription_id: UUID) -> bool:
    """Whether there is a subscription with this id."""
    statement = text("SELECT EXISTS (SELECT 1 FROM subscriptions WHERE id = :id)")
    return bool(connection.execute(statement, {"id": subscription_id}).scalar_one())


def invoice_ids(connection: Connection, subscription_id: UUID) -> list[UUID]:
    """Read the ids of a subscription's invoices."""
    statement = text("SELECT id FROM invoices WHERE subscription_id = :id")
    return list(connection.execute(statement, {"id": subscription_id}).scalars())


def owed_of_others(connection: Connection, subscription_id: UUID, known: Sequence[UUID]) -> int:
    """Add up what is charged for the invoices that are not known, less the credit they use."""
    statement = text("""
        SELECT coalesce(sum(amount - credited), 0)::bigint FROM invoices
        WHERE subscription_id = :id AND status <> 'void' AND NOT id = ANY(CAST(:known AS uuid[]))
    """)
    values = {"id": subscription_id, "known": as_array(known)}
    return int(connection.execute(statement, values).scalar_one())

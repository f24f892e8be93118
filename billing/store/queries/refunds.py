"""Statements about refunds on their way; `conservation` has those that move the money."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, RowMapping, update

from billing.store.rows import as_array
from billing.store.statements import text
from billing.store.tables import REFUNDS

ABOUT = ("customer_id", "subscription_id", "invoice_id", "charge_id")
"""The columns of a locked refund that its events name."""


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
    statement = text(
        "SELECT * FROM refunds WHERE invoice_id = ANY(:ids) ORDER BY created_at, charge_id, ordinal"
    )
    return list(connection.execute(statement, {"ids": list(invoice_ids)}).mappings())


def unreturned_of(connection: Connection, charge_id: UUID) -> list[RowMapping]:
    """The refunds of a charge that were declined although their money must go back."""
    statement = text(
        "SELECT r.*, c.subscription_id, c.surplus FROM refunds r JOIN charges c"
        " ON c.id = r.charge_id WHERE r.charge_id = :id AND r.status = 'unreturned'"
        " ORDER BY r.ordinal"
    )
    return list(connection.execute(statement, {"id": charge_id}).mappings())


class Waiting(NamedTuple):
    """A refund that will not move by itself, or a charge whose money needs a person."""

    kind: str  # parked, unreturned, contradicted or breach
    id: UUID  # the refund's; of a breach the charge's
    customer_id: str
    invoice_id: UUID
    amount: int
    status: str
    since: datetime
    cause: str
    command: str  # what moves it


def waiting_for_a_person(connection: Connection, limit: int) -> list[Waiting]:
    """Every refund that waits for a person, and every charge whose parts were found not to add up.

    The oldest first.
    """
    rows = connection.execute(_WAITING, {"limit": limit})
    return [Waiting(*row) for row in rows]


CONTRADICTED = """
    FROM events e JOIN refunds r ON r.id = CAST(e.data->>'refund' AS uuid)
    WHERE e.kind = 'refund.contradicted' AND NOT (e.data->>'booked')::boolean
      AND NOT EXISTS (SELECT 1 FROM events a WHERE a.id > e.id
                      AND a.kind = 'refund.contradiction_acknowledged'
                      AND a.data->>'refund' = e.data->>'refund')"""
BREACHES = """
    FROM events e JOIN charges c ON c.id = e.charge_id
    WHERE e.kind = 'charge.breach_found'
      AND NOT EXISTS (SELECT 1 FROM events a WHERE a.kind = 'charge.breach_acknowledged'
                      AND a.charge_id = e.charge_id AND a.id > e.id)"""
_WAITING = text(f"""
    SELECT * FROM (
        SELECT 'parked' AS kind, id, customer_id, invoice_id, amount, status, parked_at AS since,
               coalesce(message, 'nobody can tell whether it was paid') AS cause,
               'billing refunds retry ' || id AS command
        FROM refunds WHERE parked_at IS NOT NULL AND status IN ('requested', 'in_flight', 'unknown')
        UNION ALL
        SELECT 'unreturned', id, customer_id, invoice_id, amount, status, settled_at,
               'declined' || coalesce(': ' || code, '') || '; the money must go back (' || purpose
                   || ')',
               'billing refunds retry ' || id
        FROM refunds WHERE status = 'unreturned'
        UNION ALL
        SELECT 'contradicted', r.id, r.customer_id, r.invoice_id, r.amount, r.status, e.at,
               'the gateway says: ' || (e.data->>'gateway'),
               'billing refunds acknowledge ' || r.id {CONTRADICTED}
        UNION ALL
        SELECT 'breach', c.id, c.customer_id, c.invoice_id, c.amount, c.status, e.at,
               'refunded ' || (e.data->>'refunded') || ' and credited ' || (e.data->>'credited')
                   || ' of ' || c.amount,
               'billing charge acknowledge ' || c.id {BREACHES}) AS waiting
    ORDER BY since, id LIMIT :limit
""")  # noqa: S608 - constants of ours


def is_contradicted(connection: Connection, refund_id: UUID) -> bool:
    """Whether the gateway said the opposite of a refund, and no person has seen to it."""
    statement = text(f"SELECT EXISTS (SELECT 1 {CONTRADICTED} AND r.id = :id)")
    return bool(connection.execute(statement, {"id": refund_id}).scalar_one())


def has_breach(connection: Connection, charge_id: UUID) -> bool:
    """Whether a charge's parts were found not to add up, and no person has seen to it."""
    statement = text(f"SELECT EXISTS (SELECT 1 {BREACHES} AND c.id = :id)")
    return bool(connection.execute(statement, {"id": charge_id}).scalar_one())

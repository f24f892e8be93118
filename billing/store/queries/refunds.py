"""Statements about refunds in progress; `conservation` has those that move the money."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, update

from billing.domain.conservation import Part
from billing.domain.refund import UNSETTLED, RefundPurpose, RefundStatus
from billing.store.expressions import listed
from billing.store.rows import as_array
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


class LockedRefund(NamedTuple):
    """A refund whose subscription is locked, with the columns of its charge that are needed."""

    id: UUID
    charge_id: UUID
    invoice_id: UUID
    subscription_id: UUID
    customer_id: str
    gateway_number: str
    surplus: bool  # whether its charge is a surplus
    amount: int
    source: Part
    credit_id: int | None
    purpose: RefundPurpose
    reason: str
    status: RefundStatus
    code: str | None
    message: str | None
    attempts: int
    unsent_attempts: int
    unsent_by_answer: bool
    waits: int
    created_at: datetime
    sent_at: datetime | None
    declined_seen_at: datetime | None
    failed_seen_at: datetime | None
    next_attempt_at: datetime | None
    parked_at: datetime | None
    held_at: datetime | None


class Progress(NamedTuple):
    """The progress of a refund."""

    id: UUID
    status: RefundStatus
    parked_at: datetime | None


class Changes(TypedDict, total=False):
    """The columns of a refund that change while it is in progress."""

    status: RefundStatus
    code: str | None
    message: str | None
    attempts: int
    unsent_attempts: int
    unsent_by_answer: bool
    waits: int
    sent_at: datetime | None
    declined_seen_at: datetime | None
    failed_seen_at: datetime | None
    resolved_at: datetime | None
    settled_at: datetime | None
    next_attempt_at: datetime | None
    parked_at: datetime | None


_OF_CHARGE = {name: f"c.{name}" for name in ("subscription_id", "gateway_number", "surplus")}
_LOCKED = (
    f"SELECT {columns(LockedRefund, 'r', **_OF_CHARGE)} FROM refunds r"  # noqa: S608 - a constant of ours
    " JOIN charges c ON c.id = r.charge_id"
)
_OF_INVOICE = text(
    f"SELECT {columns(Progress)} FROM refunds WHERE invoice_id = ANY(:ids)"  # noqa: S608 - a constant of ours
    " ORDER BY created_at, charge_id, sequence"
)


def lease_due(
    connection: Connection, now: datetime, *, lease_seconds: int, limit: int
) -> list[UUID]:
    """Lease refunds that are due to be sent, queried or resent."""
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
    """End the leases of refunds that are not worked on."""
    connection.execute(
        text(
            "UPDATE refunds SET leased_until = NULL"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND leased_until IS NOT NULL"
        ),
        {"ids": as_array(ids)},
    )


def lock(connection: Connection, refund_id: UUID) -> LockedRefund | None:
    """Lock the subscription of a refund, and read the refund with its charge."""
    parameters = {"id": refund_id}
    connection.execute(
        text(
            "SELECT s.id FROM subscriptions s JOIN invoices i ON i.subscription_id = s.id"
            " JOIN refunds r ON r.invoice_id = i.id WHERE r.id = :id FOR UPDATE OF s"
        ),
        parameters,
    )
    statement = text(f"{_LOCKED} WHERE r.id = :id")
    return at_most_one(LockedRefund, connection.execute(statement, parameters))


def change(connection: Connection, refund_id: UUID, **values: Unpack[Changes]) -> None:
    """Write some columns of one refund, whose subscription's lock the caller holds.

    A held refund is released.
    """
    from billing.store.tables import REFUNDS

    free = dict.fromkeys(("leased_until", "held_at", "held_why"))
    connection.execute(update(REFUNDS).where(REFUNDS.c.id == refund_id).values(**free, **values))


def of_invoice(connection: Connection, invoice_ids: Sequence[UUID]) -> list[Progress]:
    """Read the refunds of invoices, oldest first."""
    return every(Progress, connection.execute(_OF_INVOICE, {"ids": list(invoice_ids)}))


def unreturned_of(connection: Connection, charge_id: UUID) -> list[LockedRefund]:
    """Read the declined refunds of a charge whose money must be returned.

    The caller holds their subscription's lock.
    """
    statement = text(
        f"{_LOCKED} WHERE r.charge_id = :id AND r.status = 'unreturned' ORDER BY r.sequence"
    )
    return every(LockedRefund, connection.execute(statement, {"id": charge_id}))


def must_return(connection: Connection, charge_id: UUID, purpose: RefundPurpose) -> None:
    """Give an operator's unsettled refunds of a charge's kept money another purpose.

    The caller holds their subscription's lock.
    """
    statement = text(
        "UPDATE refunds SET purpose = :purpose WHERE charge_id = :id AND purpose = 'operator'"  # noqa: S608 - a constant of ours
        f" AND source = 'kept' AND {listed('status', UNSETTLED)}"
    )
    connection.execute(statement, {"id": charge_id, "purpose": purpose})


class Waiting(NamedTuple):
    """A refund that needs an operator, or a charge whose money does."""

    kind: str  # parked, unreturned, contradicted or breach
    id: UUID  # the refund's, or the charge's for a breach
    customer: str
    invoice: UUID
    amount: int
    status: str
    since_at: datetime
    cause: str
    command: str  # the command that resolves it


def waiting_for_a_person(connection: Connection, limit: int) -> list[Waiting]:
    """Read refunds that need an operator, and charges whose parts do not add up, oldest first."""
    return every(Waiting, connection.execute(_WAITING, {"limit": limit}))


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
_OF_WAITING = {"customer": "customer_id", "invoice": "invoice_id", "since_at": "since"}
_WAITING = text(f"""
    SELECT {columns(Waiting, **_OF_WAITING)} FROM (
        SELECT 'parked' AS kind, id, customer_id, invoice_id, amount, status, parked_at AS since,
               coalesce(message, 'nobody can tell whether it was paid') AS cause,
               'billing refunds retry ' || id AS command
        FROM refunds WHERE parked_at IS NOT NULL AND {listed("status", UNSETTLED)}
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
    """Whether a refund was contradicted and no operator has acknowledged it."""
    statement = text(f"SELECT EXISTS (SELECT 1 {CONTRADICTED} AND r.id = :id)")
    return bool(connection.execute(statement, {"id": refund_id}).scalar_one())


def has_breach(connection: Connection, charge_id: UUID) -> bool:
    """Whether a charge's parts do not add up and no operator has acknowledged it."""
    statement = text(f"SELECT EXISTS (SELECT 1 {BREACHES} AND c.id = :id)")
    return bool(connection.execute(statement, {"id": charge_id}).scalar_one())

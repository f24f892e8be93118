"""Statements about charges: query their status, and read what decisions need.

The statements that settle charges are in `settlements`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.outcomes import Fault
from billing.store.expressions import listed
from billing.store.rows import as_array
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


class Money(NamedTuple):
    """A charge and the split of its money; the parts are zero unless it succeeded."""

    id: UUID
    invoice_id: UUID
    subscription_id: UUID
    customer_id: str
    surplus: bool
    kept: int
    credited: int


class ChargeHistory(NamedTuple):
    """The outcomes of an invoice's earlier charges, counted."""

    invoice_id: UUID
    scheduled_declines: int
    technical_declines: int
    attempts: int
    last_fault: Fault | None
    unsent: int


class Question(NamedTuple):
    """A charge whose status query is due."""

    id: UUID
    gateway_number: str
    amount: int
    status: ChargeStatus
    invoice_id: UUID
    subscription_id: UUID


class Doubted(NamedTuple):
    """A charge that only an answer called unsent, and that is unknown now."""

    id: UUID
    customer_id: str
    subscription_id: UUID
    invoice_id: UUID
    message: str | None


class OperatorsCharge(NamedTuple):
    """A charge whose outcome an operator wants to set."""

    id: UUID
    gateway_number: str
    customer_id: str
    subscription_id: UUID
    invoice_id: UUID
    amount: int
    status: ChargeStatus
    sent_at: datetime
    parked_at: datetime | None
    contradicted_at: datetime | None


class Compared(NamedTuple):
    """A charge, as it is compared with the gateway's status of it."""

    id: UUID
    gateway_number: str
    amount: int
    status: ChargeStatus
    refunded: int


_MONEY = f"SELECT {columns(Money)} FROM charges"  # noqa: S608 - a constant of ours


_HISTORY = columns(
    ChargeHistory,
    scheduled_declines="count(*) FILTER (WHERE status = 'declined' AND trigger = 'scheduled'"
    " AND fault NOT IN ('wallet', 'technical'))",
    technical_declines="count(*) FILTER (WHERE status = 'declined' AND trigger = 'scheduled'"
    " AND fault = 'technical')",
    attempts="count(*) FILTER (WHERE status = 'declined' AND fault <> 'wallet')",
    last_fault="(array_agg(fault ORDER BY attempt DESC) FILTER (WHERE status = 'declined'"
    " AND trigger = 'scheduled' AND fault <> 'wallet'))[1]",
    unsent="coalesce(sum(unsent_attempts), 0)::int",
)


def history(connection: Connection, invoice_ids: Sequence[UUID]) -> dict[UUID, ChargeHistory]:
    """Count the outcomes of the earlier charges of invoices."""
    statement = text(
        f"SELECT {_HISTORY} FROM charges"  # noqa: S608 - a constant of ours
        " WHERE invoice_id = ANY(CAST(:ids AS uuid[])) GROUP BY invoice_id"
    )
    rows = every(ChargeHistory, connection.execute(statement, {"ids": as_array(invoice_ids)}))
    return {row.invoice_id: row for row in rows}


def doubt(
    connection: Connection,
    invoice_ids: Sequence[UUID],
    status: str,
    now: datetime,
    later: datetime,
) -> list[Doubted]:
    """Move charges that only an answer called unsent to `status`, if their invoice is closed.

    Only one charge of a subscription may be unresolved: another one is queried `later`. A charge
    whose invoice is open again is not moved, because the gateway is queried before it is sent.
    Returns the moved charges.
    """
    statement = text(f"""
        WITH doubtful AS (
            SELECT c.id, i.status = 'open' AS is_open, i.status <> 'open'
                AND row_number() OVER (PARTITION BY c.subscription_id
                    ORDER BY i.status = 'open', c.sent_at, c.id) = 1
                AND NOT EXISTS (SELECT 1 FROM charges u
                    WHERE u.subscription_id = c.subscription_id
                    AND {listed("u.status", UNRESOLVED)}) AS has_turn
            FROM charges c JOIN invoices i ON i.id = c.invoice_id
            WHERE c.invoice_id = ANY(CAST(:ids AS uuid[]))
              AND c.status = 'unsent' AND c.unsent_by_answer
        ), changed AS (
            UPDATE charges c SET leased_until = NULL,
                status = CASE WHEN d.has_turn THEN :status ELSE c.status END,
                settled_at = CASE WHEN NOT d.has_turn THEN c.settled_at END,
                next_check_at = CASE WHEN d.has_turn THEN CAST(:now AS timestamptz)
                    WHEN NOT d.is_open THEN CAST(:later AS timestamptz) END
            FROM doubtful d WHERE c.id = d.id
            RETURNING c.id, c.customer_id, c.subscription_id, c.invoice_id, c.message, d.has_turn
        )
        SELECT {columns(Doubted)} FROM changed WHERE has_turn
    """)  # noqa: S608 - constants of ours
    parameters = {"ids": as_array(invoice_ids), "status": status, "now": now, "later": later}
    return every(Doubted, connection.execute(statement, parameters))


def see_to(connection: Connection, charge_id: UUID) -> None:
    """Mark a contradicted charge as handled by an operator."""
    statement = text("UPDATE charges SET contradicted_at = NULL WHERE id = :id")
    connection.execute(statement, {"id": charge_id})


def lease_to_ask(
    connection: Connection, now: datetime, *, lease_seconds: int, limit: int
) -> list[UUID]:
    """Lease unresolved charges whose status query is due."""
    statement = text("""
        UPDATE charges SET leased_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (ARRAY(
            SELECT id FROM charges
            WHERE next_check_at <= :now AND held_at IS NULL
              AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY next_check_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING id
    """)
    parameters = {"now": now, "lease": lease_seconds, "limit": limit}
    return list(connection.execute(statement, parameters).scalars().all())


def to_ask(connection: Connection, ids: Sequence[UUID], now: datetime) -> list[Question]:
    """Read the charges among `ids` whose status query is still due."""
    statement = text(
        f"SELECT {columns(Question)} FROM charges"  # noqa: S608 - a constant of ours
        " WHERE id = ANY(:ids) AND next_check_at <= :now AND held_at IS NULL"
        " ORDER BY next_check_at, id"
    )
    return every(Question, connection.execute(statement, {"ids": list(ids), "now": now}))


def ask_again(
    connection: Connection, ids: Sequence[UUID], asked_at: datetime, now: datetime
) -> None:
    """Make charges due again of which a notification came after their query was sent.

    The answer may be older than the notification, and settling it has set a later date.
    """
    statement = text(
        "UPDATE charges SET next_check_at = greatest(notified_at, :now)"
        " WHERE id = ANY(CAST(:ids AS uuid[])) AND notified_at > :asked_at"
        " AND next_check_at > greatest(notified_at, :now) AND status IN ('pending', 'unknown')"
    )
    parameters = {"ids": as_array(ids), "asked_at": asked_at, "now": now}
    connection.execute(statement, parameters)


def end_leases(connection: Connection, charge_ids: Sequence[UUID]) -> None:
    """End the leases of charges that are not worked on."""
    connection.execute(
        text(
            "UPDATE charges SET leased_until = NULL"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND leased_until IS NOT NULL"
        ),
        {"ids": as_array(charge_ids)},
    )


def to_resolve(connection: Connection, charge_id: UUID) -> OperatorsCharge | None:
    """Read one charge whose outcome an operator wants to set."""
    statement = text(f"SELECT {columns(OperatorsCharge)} FROM charges WHERE id = :id")  # noqa: S608 - a constant of ours
    return at_most_one(OperatorsCharge, connection.execute(statement, {"id": charge_id}))


def money_of(connection: Connection, charge_id: UUID) -> Money | None:
    """Read the split of one charge's money."""
    statement = text(f"{_MONEY} WHERE id = :id")
    return at_most_one(Money, connection.execute(statement, {"id": charge_id}))


def unresolved_of(connection: Connection, subscription_id: UUID) -> int:
    """Count the unresolved charges of a subscription: zero or one."""
    statement = text(
        "SELECT count(*) FROM charges WHERE subscription_id = :id"  # noqa: S608 - a constant of ours
        f" AND {listed('status', UNRESOLVED)}"
    )
    return int(connection.execute(statement, {"id": subscription_id}).scalar_one())


def paying(connection: Connection, invoice_id: UUID) -> Money | None:
    """Read the charge that paid an invoice."""
    statement = text(f"{_MONEY} WHERE invoice_id = :id AND status = 'succeeded' AND NOT surplus")
    return at_most_one(Money, connection.execute(statement, {"id": invoice_id}))


def refundable(connection: Connection, invoice_id: UUID) -> Money | None:
    """Read the charge to refund an invoice from: a surplus one with money left, or the paying one.

    A surplus payment is refunded automatically; it has money left only if that refund was declined.
    """
    statement = text(
        f"{_MONEY} WHERE invoice_id = :id AND status = 'succeeded'"
        " ORDER BY (surplus AND kept > 0) DESC, surplus LIMIT 1"
    )
    return at_most_one(Money, connection.execute(statement, {"id": invoice_id}))


def page_of_window(
    connection: Connection, since: datetime, until: datetime, after: UUID, limit: int
) -> list[Compared]:
    """Read charges made from `since` to before `until`, by id, after the previous page."""
    statement = text(
        f"SELECT {columns(Compared)} FROM charges"  # noqa: S608 - a constant of ours
        " WHERE created_at >= :since AND created_at < :until AND id > :after"
        " ORDER BY id LIMIT :limit"
    )
    parameters = {"since": since, "until": until, "after": after, "limit": limit}
    return every(Compared, connection.execute(statement, parameters))

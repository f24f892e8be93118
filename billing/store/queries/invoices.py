"""Statements about invoices: open, lease, block and close them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Required, TypedDict
from uuid import UUID

from sqlalchemy import Connection, bindparam, update

from billing.domain.charge import UNRESOLVED, Trigger
from billing.domain.invoice import Blocked
from billing.store.expressions import listed
from billing.store.queries.invoice_rows import (
    Attempted,
    BilledDays,
    GivenUp,
    Invoice,
    NewInvoice,
    PeriodInvoice,
    Standing,
)
from billing.store.rows import as_array, as_json
from billing.store.selecting import at_most_one, columns, every, of_values
from billing.store.statements import text


class AttemptPlan(TypedDict, total=False):
    """The columns of an open invoice that say when it is attempted next, and why it waits."""

    key: Required[UUID]  # the invoice's id
    next_attempt_at: datetime
    next_trigger: Trigger
    blocked_on: Blocked | None
    reason: str | None
    shortfall: int | None
    steps_short: int
    step_deadline_at: datetime | None
    first_failed_at: datetime | None
    planned_at: datetime | None


_OPEN = text("""
    INSERT INTO invoices (id, subscription_id, customer_id, plan_code, period_index, change_index,
        period_start, period_end, amount, credited, lines, status, paid_at, closed_at,
        next_attempt_at, created_at)
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS n(id uuid, subscription_id uuid,
        customer_id text, plan_code text, period_index int, change_index int,
        period_start timestamptz, period_end timestamptz, amount bigint, credited bigint,
        lines jsonb, status text, paid_at timestamptz, closed_at timestamptz,
        next_attempt_at timestamptz, created_at timestamptz)
    ON CONFLICT DO NOTHING RETURNING id
""")


def open_periods(connection: Connection, rows: Sequence[NewInvoice]) -> set[UUID]:
    """Insert invoices and return the ids of new ones; a period has at most one."""
    if not rows:
        return set()
    found = connection.execute(_OPEN, {"rows": as_json([row._asdict() for row in rows])})
    if found.rowcount == len(rows):
        return {row.id for row in rows}
    return set(found.scalars())


def lease_due(
    connection: Connection, now: datetime, *, lease_seconds: int, limit: int
) -> list[UUID]:
    """Lease due invoices; leases use real time, by the database's clock.

    A lease only prevents a tick from enqueuing the same work repeatedly. A repeated message cannot
    charge twice: the claim prevents that.
    """
    statement = text("""
        UPDATE invoices SET leased_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (ARRAY(
            SELECT id FROM invoices
            WHERE next_attempt_at <= :now AND held_at IS NULL
              AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY next_attempt_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING id
    """)
    parameters = {"now": now, "lease": lease_seconds, "limit": limit}
    return list(connection.execute(statement, parameters).scalars().all())


def lock_due(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Lock due invoices that are neither leased nor locked, earliest date first.

    The subscription is locked after its invoice here, so this statement must not wait for locks.
    """
    statement = text(
        "SELECT id FROM invoices WHERE next_attempt_at <= :now AND held_at IS NULL"
        " AND (leased_until IS NULL OR leased_until < clock_timestamp())"
        " ORDER BY next_attempt_at LIMIT :limit FOR UPDATE SKIP LOCKED"
    )
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars().all())


def waiting(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find due invoices that a message leased, and that were never charged, latest date first.

    A worker with this message begins at the other end. An invoice that was charged before may be
    leased for its check, so it is left out.
    """
    statement = text(
        "SELECT id FROM invoices i WHERE next_attempt_at <= :now AND held_at IS NULL"
        " AND leased_until >= clock_timestamp()"
        " AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.invoice_id = i.id OFFSET 0)"
        " ORDER BY next_attempt_at DESC LIMIT :limit"
    )
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars().all())


def lease(
    connection: Connection, ids: Sequence[UUID], now: datetime, *, lease_seconds: int
) -> list[UUID]:
    """Lease locked invoices that are still due."""
    statement = text(
        "UPDATE invoices SET leased_until = clock_timestamp() + make_interval(secs => :lease)"
        " WHERE id = ANY(:ids) AND next_attempt_at <= :now RETURNING id"
    )
    parameters = {"ids": list(ids), "now": now, "lease": lease_seconds}
    return list(connection.execute(statement, parameters).scalars().all())


def end_leases(connection: Connection, invoice_ids: Sequence[UUID]) -> None:
    """End the leases of invoices that are still due and not worked on."""
    statement = text(
        "UPDATE invoices SET leased_until = NULL WHERE id IN (SELECT id FROM invoices"
        " WHERE id = ANY(:ids) AND leased_until IS NOT NULL AND next_attempt_at IS NOT NULL"
        " FOR UPDATE SKIP LOCKED)"
    )
    connection.execute(statement, {"ids": list(invoice_ids)})


def pass_over(connection: Connection, invoice_ids: Sequence[UUID], locked: Sequence[UUID]) -> None:
    """End the leases of invoices whose subscription is not among `locked`."""
    statement = text("""
        UPDATE invoices SET leased_until = NULL
        WHERE id IN (SELECT id FROM invoices WHERE id = ANY(CAST(:ids AS uuid[]))
            AND subscription_id <> ALL(CAST(:locked AS uuid[]))
            AND next_attempt_at IS NOT NULL AND leased_until IS NOT NULL FOR UPDATE SKIP LOCKED)
    """)
    parameters = {"ids": as_array(invoice_ids), "locked": as_array(locked)}
    connection.execute(statement, parameters)


def plan_attempts(connection: Connection, rows: Sequence[AttemptPlan]) -> None:
    """Write the same columns of several open invoices."""
    from billing.store.tables import INVOICES

    if rows:
        values: dict[str, object] = {n: bindparam(n) for n in rows[0] if n != "key"}
        statement = (
            update(INVOICES)
            .where(INVOICES.c.id == bindparam("key"), INVOICES.c.status == "open")
            .values(leased_until=None, **values)
        )
        connection.execute(statement, list(rows))


def close(
    connection: Connection, ids: Sequence[UUID], status: str, at: datetime, reason: str | None
) -> None:
    """Close invoices as paid, uncollectible or void."""
    connection.execute(
        text(
            "UPDATE invoices SET status = :status, closed_at = :at, next_attempt_at = NULL,"
            " blocked_on = NULL, shortfall = NULL, step_deadline_at = NULL, planned_at = NULL,"
            " leased_until = NULL, held_at = NULL, held_why = NULL,"
            " reason = CAST(:reason AS text),"
            " paid_at = CASE WHEN :status = 'paid' THEN CAST(:at AS timestamptz) END"
            " WHERE id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": as_array(ids), "status": status, "at": at, "reason": reason},
    )


def open_of(connection: Connection, subscription_id: UUID) -> list[Invoice]:
    """Read the open invoices of a subscription, oldest first."""
    statement = text(
        f"SELECT {columns(Invoice)} FROM invoices"  # noqa: S608 - a constant of ours
        " WHERE subscription_id = :id AND status = 'open' ORDER BY period_index, change_index"
    )
    return every(Invoice, connection.execute(statement, {"id": subscription_id}))


def release_oldest(connection: Connection, subscriptions: Sequence[UUID], now: datetime) -> None:
    """Make the oldest open invoice of each subscription due now, if it has no date.

    If its date was saved while an older invoice came first, that date is restored. If it has a date
    and a lease from an attempt that an older invoice blocked, it is due again. With an unresolved
    charge nothing changes: settling that charge releases the invoice.
    """
    connection.execute(
        text(f"""
            UPDATE invoices i SET leased_until = NULL,
                planned_at = CASE WHEN i.next_attempt_at IS NOT NULL THEN i.planned_at END,
                next_attempt_at = coalesce(i.next_attempt_at,
                    greatest(:now, coalesce(i.planned_at, :now)))
            FROM (SELECT DISTINCT ON (subscription_id) id FROM invoices
                  WHERE subscription_id = ANY(CAST(:ids AS uuid[])) AND status = 'open'
                  ORDER BY subscription_id, period_index, change_index) AS oldest
            WHERE i.id = oldest.id AND (i.next_attempt_at IS NULL OR i.leased_until IS NOT NULL)
              AND NOT EXISTS (SELECT 1 FROM charges c
                              WHERE c.subscription_id = i.subscription_id
                              AND {listed("c.status", UNRESOLVED)})
        """),  # noqa: S608 - a constant of ours
        {"ids": as_array(subscriptions), "now": now},
    )


def first_given_up(connection: Connection, subscription_id: UUID) -> UUID | None:
    """Read the oldest uncollectible invoice of a subscription."""
    statement = text(
        "SELECT id FROM invoices WHERE subscription_id = :id AND status = 'uncollectible'"
        " ORDER BY period_index, change_index LIMIT 1"
    )
    return connection.execute(statement, {"id": subscription_id}).scalar_one_or_none()


def given_up_with_credit(connection: Connection, subscription_id: UUID) -> list[GivenUp]:
    """Read the uncollectible invoices of a subscription that used credit."""
    statement = text(
        f"SELECT {columns(GivenUp)} FROM invoices"  # noqa: S608 - a constant of ours
        " WHERE subscription_id = :id AND status = 'uncollectible'"
        " AND credited > 0 ORDER BY period_index, change_index"
    )
    return every(GivenUp, connection.execute(statement, {"id": subscription_id}))


def set_aside(connection: Connection, subscription_id: UUID) -> None:
    """Save the dates of a subscription's open invoices while an older invoice comes first."""
    connection.execute(
        text(
            "UPDATE invoices SET planned_at = coalesce(planned_at, next_attempt_at),"
            " next_attempt_at = NULL, leased_until = NULL"
            " WHERE subscription_id = :id AND status = 'open' AND next_attempt_at IS NOT NULL"
        ),
        {"id": subscription_id},
    )


def reopen(connection: Connection, invoice_id: UUID, now: datetime) -> None:
    """Make an uncollectible invoice due for one more charge, now."""
    connection.execute(
        text(
            "UPDATE invoices SET status = 'open', closed_at = NULL, reason = NULL,"
            " reopened_at = :now, next_attempt_at = :now, next_trigger = 'operator',"
            " first_failed_at = coalesce(first_failed_at, :now)"
            " WHERE id = :id AND status = 'uncollectible'"
        ),
        {"id": invoice_id, "now": now},
    )


def is_reopened(connection: Connection, invoice_id: UUID) -> bool:
    """Whether an operator has reopened an invoice."""
    statement = text("SELECT reopened_at IS NOT NULL FROM invoices WHERE id = :id")
    return bool(connection.execute(statement, {"id": invoice_id}).scalar_one())


def try_new_wallet(connection: Connection, customer_id: str, now: datetime) -> list[Attempted]:
    """Make a customer's unpaid invoices due now, once, after a new wallet was linked.

    These are invoices that waited for a wallet, that could not be sent with the old one, or that
    were declined with it. An attempt before the next dunning date does not move that date.
    """
    statement = text("""
        UPDATE invoices i SET next_attempt_at = :now, blocked_on = NULL, shortfall = NULL,
               reason = NULL, leased_until = NULL, planned_at = due.planned_at,
               next_trigger = CASE WHEN due.planned_at > :now THEN 'customer'
                                   ELSE 'scheduled' END
        FROM (SELECT id, CASE WHEN blocked_on = 'wallet'
                                OR first_failed_at IS NULL THEN planned_at
                              ELSE coalesce(planned_at, next_attempt_at) END AS planned_at
              FROM invoices WHERE customer_id = :customer AND status = 'open'
                AND (blocked_on = 'wallet' OR reason IS NOT NULL AND next_attempt_at IS NOT NULL
                     OR first_failed_at IS NOT NULL AND next_attempt_at > :now)) AS due
        WHERE i.id = due.id RETURNING i.id, i.subscription_id
    """)
    found = connection.execute(statement, {"customer": customer_id, "now": now})
    return every(Attempted, found)


def one(connection: Connection, invoice_id: UUID) -> Invoice | None:
    """Read one invoice."""
    statement = text(f"SELECT {columns(Invoice)} FROM invoices WHERE id = :id")  # noqa: S608 - a constant of ours
    return at_most_one(Invoice, connection.execute(statement, {"id": invoice_id}))


def standing(connection: Connection, invoice_id: UUID) -> Standing | None:
    """Read the status of one invoice."""
    statement = text(f"SELECT {columns(Standing)} FROM invoices WHERE id = :id")  # noqa: S608 - a constant of ours
    return at_most_one(Standing, connection.execute(statement, {"id": invoice_id}))


def billed_days(connection: Connection, invoice_id: UUID) -> BilledDays | None:
    """Read the amount of one invoice, and the days that it bills."""
    statement = text(f"SELECT {columns(BilledDays)} FROM invoices WHERE id = :id")  # noqa: S608 - a constant of ours
    return at_most_one(BilledDays, connection.execute(statement, {"id": invoice_id}))


def add_refunded(connection: Connection, invoice_id: UUID, amount: int) -> None:
    """Add a refund to an invoice's refunded amount."""
    connection.execute(
        text("UPDATE invoices SET amount_refunded = amount_refunded + :amount WHERE id = :id"),
        {"id": invoice_id, "amount": amount},
    )


def current_of(connection: Connection, subscription_id: UUID, now: datetime) -> Invoice | None:
    """Read the invoice of the period that contains `now`."""
    statement = text(
        f"SELECT {columns(Invoice)} FROM invoices WHERE subscription_id = :id"  # noqa: S608 - a constant of ours
        " AND period_start <= :now AND period_end > :now AND change_index = 0"
    )
    parameters = {"id": subscription_id, "now": now}
    return at_most_one(Invoice, connection.execute(statement, parameters))


def not_before_period(connection: Connection, subscription_id: UUID, now: datetime) -> datetime:
    """Return `now`, or the newest period's start when this host's clock is behind.

    An opened period has begun. A second period with an earlier instant would charge the same days.
    """
    statement = text(
        "SELECT max(period_start) FROM invoices WHERE subscription_id = :id AND change_index = 0"
        " AND period_start > :now AND period_end > period_start"
    )
    begun = connection.execute(statement, {"id": subscription_id, "now": now}).scalar_one()
    return now if begun is None else begun


def of_period(
    connection: Connection, subscription_id: UUID, period_index: int
) -> list[PeriodInvoice]:
    """Read all invoices of a period, newest change first, with what is kept of each."""
    statement = text(f"""
        SELECT {columns(Invoice, "i")},
               CASE WHEN i.status = 'paid' THEN coalesce(c.kept, 0)
                   + (SELECT CAST(coalesce(sum(amount - returned), 0) AS bigint) FROM credit_uses
                      WHERE invoice_id = i.id) ELSE 0 END AS kept
        FROM invoices i
        LEFT JOIN charges c ON c.invoice_id = i.id AND c.status = 'succeeded' AND NOT c.surplus
        WHERE i.subscription_id = :id AND i.period_index = :index
        ORDER BY i.change_index DESC
    """)  # noqa: S608 - a constant of ours
    parameters = {"id": subscription_id, "index": period_index}
    found = connection.execute(statement, parameters)
    return [PeriodInvoice(of_values(Invoice, values), kept) for *values, kept in found]


def is_newest(connection: Connection, invoice: Invoice) -> bool:
    """Whether a subscription has no later invoice that is not void."""
    statement = text(
        "SELECT NOT EXISTS (SELECT 1 FROM invoices WHERE subscription_id = :id"
        " AND status <> 'void' AND (period_index, change_index) > (:period, :change))"
    )
    place = {"period": invoice.period_index, "change": invoice.change_index}
    found = connection.execute(statement, {"id": invoice.subscription_id, **place})
    return bool(found.scalar_one())


def cut_short(connection: Connection, subscription_id: UUID, at: datetime) -> None:
    """End the current period early, at the instant at which another period begins."""
    connection.execute(
        text(
            "UPDATE invoices SET period_end = date_trunc('second', CAST(:at AS timestamptz))"
            " WHERE subscription_id = :id AND period_start < date_trunc('second',"
            " CAST(:at AS timestamptz)) AND period_end > :at"
        ),
        {"id": subscription_id, "at": at},
    )

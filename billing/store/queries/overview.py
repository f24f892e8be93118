"""Statements for the live view: cheap counts of the current state."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from billing.domain.charge import UNRESOLVED
from billing.store.columns import listed
from billing.store.statements import text


def collections(connection: Connection, since: datetime) -> RowMapping:
    """Add up collected, refunded and owed amounts since an instant."""
    statement = text(f"""
        SELECT (SELECT count(*) FROM invoices WHERE paid_at >= :since) AS paid,
               (SELECT coalesce(sum(amount), 0) FROM invoices WHERE paid_at >= :since)
                   AS paid_amount,
               (SELECT count(*) FROM refunds WHERE status = 'succeeded' AND settled_at >= :since)
                   AS refunded,
               (SELECT coalesce(sum(amount), 0) FROM refunds WHERE status = 'succeeded'
                   AND settled_at >= :since) AS refunded_amount,
               (SELECT count(*) FROM charges WHERE status = 'declined' AND settled_at >= :since)
                   AS declined,
               (SELECT count(*) FROM invoices WHERE status = 'open') AS owed,
               (SELECT coalesce(sum(amount), 0) FROM invoices WHERE status = 'open')
                   AS owed_amount,
               (SELECT count(*) FROM charges WHERE {listed("status", UNRESOLVED)})
                   AS unresolved
    """)  # noqa: S608 - a constant of ours
    return connection.execute(statement, {"since": since}).mappings().one()


def subscriptions_by_status(connection: Connection) -> dict[str, int]:
    """Count the subscriptions in each status."""
    rows = connection.execute(text("SELECT status, count(*) FROM subscriptions GROUP BY 1"))
    return {row[0]: row[1] for row in rows}


def events_after(connection: Connection, last: int, limit: int) -> list[RowMapping]:
    """Read events after an event id, at most the latest `limit`, oldest first."""
    statement = text("""
        SELECT * FROM (
            SELECT e.id, e.at, e.kind, e.actor, e.reason, e.customer_id, e.data, c.first_payment
            FROM events e LEFT JOIN charges c ON c.id = e.charge_id
            WHERE e.id > :last ORDER BY e.id DESC LIMIT :limit) AS latest
        ORDER BY id
    """)
    return list(connection.execute(statement, {"last": last, "limit": limit}).mappings())


def is_empty(connection: Connection) -> bool:
    """Whether the database has neither plans nor customers."""
    statement = text(
        "SELECT NOT EXISTS (SELECT 1 FROM customers) AND NOT EXISTS (SELECT 1 FROM plans)"
    )
    return bool(connection.execute(statement).scalar_one())


def months(connection: Connection, timezone: str) -> list[dict[str, Any]]:
    """Compute monthly figures, in the local months of `timezone`."""
    statement = text("""
        SELECT to_char(at AT TIME ZONE :timezone, 'YYYY-MM') AS month,
               count(*) FILTER (WHERE kind = 'invoice.opened') AS opened,
               count(*) FILTER (WHERE kind = 'invoice.paid') AS paid,
               coalesce(sum((data->>'amount')::bigint) FILTER (WHERE kind = 'invoice.paid'), 0)
                   AS paid_amount,
               count(*) FILTER (WHERE kind = 'charge.declined') AS declined,
               count(*) FILTER (WHERE kind = 'dunning.fell_short') AS short,
               count(*) FILTER (WHERE kind = 'invoice.given_up') AS given_up,
               count(*) FILTER (WHERE kind = 'refund.succeeded') AS refunds,
               coalesce(sum((data->>'amount')::bigint) FILTER (WHERE kind = 'refund.succeeded'), 0)
                   AS refunded_amount,
               count(*) FILTER (WHERE kind = 'subscription.canceled') AS canceled,
               count(*) FILTER (WHERE kind = 'wallet.unlinked') AS unlinked
        FROM events GROUP BY 1 ORDER BY 1
    """)
    rows = connection.execute(statement, {"timezone": timezone}).mappings()
    return [dict(row) for row in rows]


def last_paid_invoice(connection: Connection, subscription_id: UUID) -> UUID | None:
    """Read the newest paid invoice of a subscription."""
    statement = text(
        "SELECT id FROM invoices WHERE subscription_id = :id AND status = 'paid'"
        " AND amount > credited ORDER BY period_index DESC, change_index DESC LIMIT 1"
    )
    return connection.execute(statement, {"id": subscription_id}).scalar_one_or_none()


def charges_by_number(connection: Connection) -> dict[str, RowMapping]:
    """Read every charge with its customer, by gateway number."""
    statement = text(
        "SELECT gateway_number, id, customer_id, amount, status, code, first_payment,"
        " never_received FROM charges"
    )
    rows = connection.execute(statement).mappings()
    return {row["gateway_number"]: row for row in rows}


def refunds_by_id(connection: Connection) -> dict[str, RowMapping]:
    """Read every refund with its gateway number, by Request-Id."""
    statement = text(
        "SELECT r.id, r.amount, r.status, c.gateway_number FROM refunds r"
        " JOIN charges c ON c.id = r.charge_id"
    )
    return {str(row["id"]): row for row in connection.execute(statement).mappings()}


def count_events(connection: Connection, customer_id: str, kind: str) -> int:
    """Count the events of one kind of a customer."""
    statement = text("SELECT count(*) FROM events WHERE kind = :kind AND customer_id = :customer")
    return int(connection.execute(statement, {"kind": kind, "customer": customer_id}).scalar_one())

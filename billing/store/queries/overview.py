"""Statements for the live view: cheap counts of the current state."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.refund import RefundStatus
from billing.store.expressions import listed
from billing.store.selecting import columns, every, of_values
from billing.store.statements import text


class Collections(NamedTuple):
    """What was collected and refunded since an instant, and what is owed; amounts are rupiah."""

    paid: int
    paid_amount: int
    refunded: int
    refunded_amount: int
    declined: int
    owed_amount: int
    unresolved: int


class News(NamedTuple):
    """An event; `first_payment` is of its charge."""

    id: int
    at: datetime
    kind: str
    actor: str
    reason: str | None
    customer_id: str | None
    data: dict[str, object]
    first_payment: bool | None


class Month(NamedTuple):
    """The figures of one local month, written as 2026-01."""

    month: str
    opened: int
    paid: int
    paid_amount: int
    declined: int
    short: int
    given_up: int
    refunds: int
    refunded_amount: int
    canceled: int
    unlinked: int


class BookedCharge(NamedTuple):
    """A charge, as it is compared with the gateway's ledger."""

    gateway_number: str
    id: UUID
    customer_id: str
    amount: int
    status: ChargeStatus
    code: str | None
    first_payment: bool
    never_received: bool


class BookedRefund(NamedTuple):
    """A refund, as it is compared with the gateway's ledger."""

    id: UUID
    amount: int
    status: RefundStatus
    gateway_number: str


_SUM = "CAST(coalesce(sum(amount), 0) AS bigint)"
_COLLECTIONS = columns(
    Collections,
    paid="(SELECT count(*) FROM invoices WHERE paid_at >= :since)",
    paid_amount=f"(SELECT {_SUM} FROM invoices WHERE paid_at >= :since)",  # noqa: S608 - a constant of ours
    refunded="(SELECT count(*) FROM refunds WHERE status = 'succeeded' AND settled_at >= :since)",
    refunded_amount=f"(SELECT {_SUM} FROM refunds WHERE status = 'succeeded'"  # noqa: S608 - the same
    " AND settled_at >= :since)",
    declined="(SELECT count(*) FROM charges WHERE status = 'declined' AND settled_at >= :since)",
    owed_amount="(SELECT CAST(coalesce(sum(amount - credited), 0) AS bigint) FROM invoices"
    " WHERE status IN ('open', 'uncollectible'))",
    unresolved=f"(SELECT count(*) FROM charges WHERE {listed('status', UNRESOLVED)})",  # noqa: S608 - the same
)


def collections(connection: Connection, since: datetime) -> Collections:
    """Add up collected, refunded and owed amounts since an instant."""
    statement = text(f"SELECT {_COLLECTIONS}")
    return of_values(Collections, connection.execute(statement, {"since": since}).one())


def subscriptions_by_status(connection: Connection) -> dict[str, int]:
    """Count the subscriptions in each status."""
    rows = connection.execute(text("SELECT status, count(*) FROM subscriptions GROUP BY 1"))
    return {row[0]: row[1] for row in rows}


def events_after(connection: Connection, last: int, limit: int) -> list[News]:
    """Read events after an event id, at most the latest `limit`, oldest first."""
    statement = text(f"""
        SELECT * FROM (
            SELECT {columns(News, "e", first_payment="c.first_payment")}
            FROM events e LEFT JOIN charges c ON c.id = e.charge_id
            WHERE e.id > :last ORDER BY e.id DESC LIMIT :limit) AS latest
        ORDER BY id
    """)  # noqa: S608 - a constant of ours
    return every(News, connection.execute(statement, {"last": last, "limit": limit}))


def is_empty(connection: Connection) -> bool:
    """Whether the database has neither plans nor customers."""
    statement = text(
        "SELECT NOT EXISTS (SELECT 1 FROM customers) AND NOT EXISTS (SELECT 1 FROM plans)"
    )
    return bool(connection.execute(statement).scalar_one())


_COUNT = "count(*) FILTER (WHERE kind = '{}')"
_SUM_OF = "CAST(coalesce(sum((data->>'amount')::bigint) FILTER (WHERE kind = '{}'), 0) AS bigint)"
_MONTHS = columns(
    Month,
    month="to_char(at AT TIME ZONE :timezone, 'YYYY-MM')",
    opened=_COUNT.format("invoice.opened"),
    paid=_COUNT.format("invoice.paid"),
    paid_amount=_SUM_OF.format("invoice.paid"),
    declined=_COUNT.format("charge.declined"),
    short=_COUNT.format("invoice.short"),
    given_up=_COUNT.format("invoice.uncollectible"),
    refunds=_COUNT.format("refund.succeeded"),
    refunded_amount=_SUM_OF.format("refund.succeeded"),
    canceled=_COUNT.format("subscription.canceled"),
    unlinked=_COUNT.format("wallet.unlinked"),
)


def months(connection: Connection, timezone: str) -> list[Month]:
    """Compute monthly figures, in the local months of `timezone`."""
    statement = text(f"SELECT {_MONTHS} FROM events GROUP BY 1 ORDER BY 1")  # noqa: S608 - a constant of ours
    return every(Month, connection.execute(statement, {"timezone": timezone}))


def last_paid_invoice(connection: Connection, subscription_id: UUID) -> UUID | None:
    """Read the newest paid invoice of a subscription."""
    statement = text(
        "SELECT id FROM invoices WHERE subscription_id = :id AND status = 'paid'"
        " AND amount > credited ORDER BY period_index DESC, change_index DESC LIMIT 1"
    )
    return connection.execute(statement, {"id": subscription_id}).scalar_one_or_none()


def charges_by_number(connection: Connection) -> dict[str, BookedCharge]:
    """Read every charge with its customer, by gateway number."""
    statement = text(f"SELECT {columns(BookedCharge)} FROM charges")  # noqa: S608 - a constant of ours
    rows = every(BookedCharge, connection.execute(statement))
    return {row.gateway_number: row for row in rows}


def refunds_by_id(connection: Connection) -> dict[str, BookedRefund]:
    """Read every refund with its gateway number, by Request-Id."""
    statement = text(
        f"SELECT {columns(BookedRefund, 'r', gateway_number='c.gateway_number')} FROM refunds r"  # noqa: S608 - a constant of ours
        " JOIN charges c ON c.id = r.charge_id"
    )
    return {str(row.id): row for row in every(BookedRefund, connection.execute(statement))}


def count_events(connection: Connection, customer_id: str, kind: str) -> int:
    """Count the events of one kind of a customer."""
    statement = text("SELECT count(*) FROM events WHERE kind = :kind AND customer_id = :customer")
    return int(connection.execute(statement, {"kind": kind, "customer": customer_id}).scalar_one())

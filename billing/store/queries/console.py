"""Statements of the console's first page: the gateway's state, what is due, and today's money.

Each reads one row, a small index, or the events of one day.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.store.queries.subscriptions import MAY_OPEN
from billing.store.selecting import columns, of_values
from billing.store.statements import text


class GatewayState(NamedTuple):
    """The gateway of this database; `resting_until` is set while calls to it are paused.

    And since when charging is stopped, by whom and why.
    """

    gateway_host: str | None
    gateway_client_id: str | None
    resting_until: datetime | None
    troubles: int  # pauses since the gateway last answered
    tripped_at: datetime | None  # the breaker stopped charging
    stopped_at: datetime | None
    stopped_reason: str | None
    stopped_by: str | None


class Findings(NamedTuple):
    """How many broken invariants the last audit of the hour found, and when, in real time."""

    found: int
    at: datetime


class Due(NamedTuple):
    """What is due now and not sent yet; the amount is without what credit pays."""

    invoices: int
    amount: int
    oldest_at: datetime | None
    periods: int  # that have begun and have no invoice yet


class Today(NamedTuple):
    """What happened to money since an instant, by the events."""

    succeeded: int
    succeeded_amount: int
    declined: int
    unsent: int
    refunded: int
    refunded_amount: int


_GATEWAY = columns(
    GatewayState,
    resting_until="CASE WHEN resting_until > clock_timestamp() THEN resting_until END",
    stopped_by="""CASE WHEN stopped_at IS NOT NULL THEN (SELECT e.actor FROM events e
        WHERE e.kind = 'engine.charging_stopped' AND e.at = stopped_at
        ORDER BY e.id DESC LIMIT 1) END""",
)
_IS_DUE = "FROM invoices WHERE next_attempt_at <= :now AND held_at IS NULL"
_DUE = columns(
    Due,
    invoices=f"(SELECT count(*) {_IS_DUE})",
    amount=f"(SELECT CAST(coalesce(sum(amount - credited), 0) AS bigint) {_IS_DUE})",
    oldest_at=f"(SELECT min(next_attempt_at) {_IS_DUE})",
    periods=f"(SELECT count(*) FROM subscriptions s WHERE s.next_due_at <= :now AND {MAY_OPEN})",  # noqa: S608 - a constant of ours
)
_TODAY = columns(
    Today,
    succeeded="count(*) FILTER (WHERE e.kind = 'charge.succeeded')",
    succeeded_amount="CAST(coalesce(sum(c.amount)"
    " FILTER (WHERE e.kind = 'charge.succeeded'), 0) AS bigint)",
    declined="count(*) FILTER (WHERE e.kind = 'charge.declined')",
    unsent="count(*) FILTER (WHERE e.kind = 'charge.unsent')",
    refunded="count(*) FILTER (WHERE e.kind = 'refund.succeeded')",
    refunded_amount="CAST(coalesce(sum(CAST(e.data->>'amount' AS bigint))"
    " FILTER (WHERE e.kind = 'refund.succeeded'), 0) AS bigint)",
)


def gateway(connection: Connection) -> GatewayState:
    """Read the state of the gateway."""
    statement = text(f"SELECT {_GATEWAY} FROM engine")  # noqa: S608 - a constant of ours
    return GatewayState._make(connection.execute(statement).one())


def findings(connection: Connection, name: str) -> Findings | None:
    """Read what a check found last; None when it has never run."""
    statement = text("SELECT CAST(value AS int), at FROM metric_gauges WHERE name = :name")
    row = connection.execute(statement, {"name": name}).one_or_none()
    return None if row is None else Findings._make(row)


def due(connection: Connection, now: datetime) -> Due:
    """Count what is due and not sent."""
    return of_values(Due, connection.execute(text(f"SELECT {_DUE}"), {"now": now}).one())


def today(connection: Connection, since: datetime) -> Today:
    """Add up the money that moved since an instant."""
    statement = text(f"""
        SELECT {_TODAY} FROM events e
        LEFT JOIN charges c ON c.id = e.charge_id AND e.kind = 'charge.succeeded'
        WHERE e.at >= :since AND e.kind IN
            ('charge.succeeded', 'charge.declined', 'charge.unsent', 'refund.succeeded')
    """)  # noqa: S608 - a constant of ours
    return of_values(Today, connection.execute(statement, {"since": since}).one())

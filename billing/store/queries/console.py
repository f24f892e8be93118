"""Statements of the console's first page: the gateway's state, what is due, and today's money.

Each reads one row, a small index, the hours of one day, or its rarer events.
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
_HOURS = "FROM hourly_totals WHERE name = 'charge.succeeded' AND hour >= :since"
_OTHERS = "FROM events e WHERE e.kind = '{}' AND e.at >= :since"
_TODAY = columns(
    Today,
    succeeded=f"(SELECT CAST(coalesce(sum(events), 0) AS bigint) {_HOURS})"  # noqa: S608 - constants of ours
    " + (SELECT count(*) FROM uncounted)",
    succeeded_amount=f"(SELECT CAST(coalesce(sum(amount), 0) AS bigint) {_HOURS})"  # noqa: S608 - the same
    " + (SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM uncounted)",
    declined=f"(SELECT count(*) {_OTHERS.format('charge.declined')})",
    unsent=f"(SELECT count(*) {_OTHERS.format('charge.unsent')})",
    refunded=f"(SELECT count(*) {_OTHERS.format('refund.succeeded')})",
    refunded_amount="(SELECT CAST(coalesce(sum(CAST(e.data->>'amount' AS bigint)), 0) AS bigint)"
    f" {_OTHERS.format('refund.succeeded')})",
)
_PAID = """SELECT (SELECT c.amount FROM charges c WHERE c.id = e.charge_id) AS amount FROM {}
    WHERE e.kind = 'charge.succeeded' AND e.at >= :since AND {}"""
# The planner does not know how few they are: OFFSET 0 keeps it from reading the day's events.
_PLACED = _PAID.format(
    """(SELECT f.event_id FROM event_feed f WHERE f.position >
        coalesce((SELECT hours_position FROM metric_state), 0) OFFSET 0) AS f
    CROSS JOIN LATERAL (SELECT * FROM events WHERE id = f.event_id OFFSET 0) AS e""",
    "true",
)
_UNPLACED = _PAID.format(
    "events e",
    "e.id > coalesce((SELECT settled_id FROM event_feed_state), 0)"
    " AND (SELECT f.position FROM event_feed f WHERE f.event_id = e.id) IS NULL",
)
_NEW = f"{_PLACED} UNION ALL {_UNPLACED}"
"""Payments that the tick has not added to an hour yet: few, while it runs."""


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
    """Add up the money that moved since an instant, at which an hour begins.

    Payments, the most of all, are those of the counted hours and the few after them.
    """
    statement = text(f"WITH uncounted AS MATERIALIZED ({_NEW}) SELECT {_TODAY}")
    return of_values(Today, connection.execute(statement, {"since": since}).one())

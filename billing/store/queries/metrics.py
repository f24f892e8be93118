"""Statements of the metrics: totals counted from the event feed, and what waits right now.

Each statement reads a small index or a small table: a scrape costs the same with a past of years.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.call_times import Times
from billing.domain.charge import UNRESOLVED
from billing.domain.refund import UNSETTLED
from billing.store.expressions import listed
from billing.store.queries.daily import FACTS
from billing.store.queries.subscriptions import MAY_OPEN
from billing.store.selecting import columns, every, of_values
from billing.store.statements import text


class Now(NamedTuple):
    """What waits, is held or is stopped at this moment."""

    unresolved: int  # charges
    oldest_unresolved_at: datetime | None
    unsettled_refunds: int
    oldest_due_at: datetime | None  # an invoice to charge, or a period to open
    held_subscriptions: int
    held_invoices: int
    held_charges: int
    held_refunds: int
    held_wallets: int
    stopped: bool
    tripped: bool
    resting: bool
    pending_deliveries: int
    oldest_pending_at: datetime | None  # a webhook delivery
    failed_deliveries: int
    disabled_endpoints: int


class HourTotal(NamedTuple):
    """What happened in one hour: events of a kind, and their rupiah."""

    hour: datetime
    name: str
    events: int
    amount: int


class Total(NamedTuple):
    """A total that only grows."""

    name: str
    label: str
    total: int


_UNRESOLVED = listed("status", UNRESOLVED)
_UNSETTLED = listed("status", UNSETTLED)
_OLDEST = "(SELECT min(created_at) FROM (SELECT created_at FROM {} WHERE {} OFFSET 0) AS few)"
"""OFFSET 0: few rows are read by their index, not all rows in order until one of them is found."""
_KEPT_ENDPOINT = """endpoint_id <> ALL (ARRAY(
    SELECT id FROM webhook_endpoints WHERE deleted_at IS NOT NULL))"""
"""Deliveries of a deleted endpoint are no longer sent, and no page shows them."""
_PENDING = f"status = 'pending' AND {_KEPT_ENDPOINT}"
_NOW = columns(
    Now,
    unresolved=f"(SELECT count(*) FROM charges WHERE {_UNRESOLVED})",  # noqa: S608 - a constant of ours
    oldest_unresolved_at=_OLDEST.format("charges", _UNRESOLVED),
    unsettled_refunds=f"(SELECT count(*) FROM refunds WHERE {_UNSETTLED})",  # noqa: S608 - the same
    oldest_due_at="least((SELECT min(next_attempt_at) FROM invoices"  # noqa: S608 - the same
    " WHERE next_attempt_at IS NOT NULL AND held_at IS NULL),"
    f" (SELECT min(s.next_due_at) FROM subscriptions s WHERE {MAY_OPEN}))",
    held_subscriptions="(SELECT count(*) FROM subscriptions WHERE held_at IS NOT NULL)",
    held_invoices="(SELECT count(*) FROM invoices WHERE status = 'open' AND held_at IS NOT NULL)",
    held_charges=f"(SELECT count(*) FROM charges WHERE {_UNRESOLVED} AND held_at IS NOT NULL)",  # noqa: S608 - the same
    held_refunds="(SELECT count(*) FROM refunds"
    " WHERE status <> 'succeeded' AND held_at IS NOT NULL)",
    held_wallets="(SELECT count(*) FROM wallets WHERE held_at IS NOT NULL)",
    stopped="(SELECT stopped_at IS NOT NULL FROM engine)",
    tripped="(SELECT tripped_at IS NOT NULL FROM engine)",
    resting="(SELECT coalesce(resting_until > clock_timestamp(), false) FROM engine)",
    pending_deliveries=f"(SELECT count(*) FROM webhook_deliveries WHERE {_PENDING})",  # noqa: S608 - the same
    oldest_pending_at=_OLDEST.format("webhook_deliveries", _PENDING),
    failed_deliveries="(SELECT count(*) FROM webhook_deliveries"  # noqa: S608 - the same
    f" WHERE status = 'failed' AND {_KEPT_ENDPOINT})",
    disabled_endpoints="(SELECT count(*) FROM webhook_endpoints"
    " WHERE disabled_at IS NOT NULL AND deleted_at IS NULL)",
)


def read_now(connection: Connection) -> Now:
    """Read what waits, is held or is stopped."""
    return of_values(Now, connection.execute(text(f"SELECT {_NOW}")).one())


class Positions(NamedTuple):
    """Up to which positions of the event feed the totals, the hours and the days are counted."""

    position: int
    hours_position: int
    days_position: int


def lock_position(connection: Connection) -> Positions | None:
    """Lock the positions up to which events are counted; None while another process counts."""
    connection.execute(text("INSERT INTO metric_state DEFAULT VALUES ON CONFLICT DO NOTHING"))
    statement = text(
        "SELECT position, hours_position, days_position FROM metric_state FOR UPDATE SKIP LOCKED"
    )
    found = connection.execute(statement).one_or_none()
    return None if found is None else Positions._make(found)


_COUNT = text(f"""
    WITH seen AS MATERIALIZED (
        SELECT e.id, e.kind, e.at, e.charge_id, e.data, f.position
        FROM event_feed f JOIN events e ON e.id = f.event_id
        WHERE f.position > least(:after, :hours_after, :days_after) AND f.position <= :until
    ), new AS (SELECT * FROM seen WHERE position > :after), counted (name, label, total) AS (
        SELECT 'charges', CASE kind WHEN 'charge.claimed' THEN 'in_flight'
            ELSE substr(kind, length('charge.') + 1) END, count(*)
        FROM new WHERE kind IN ('charge.claimed', 'charge.succeeded', 'charge.declined',
            'charge.unsent', 'charge.pending', 'charge.unknown') GROUP BY kind
        UNION ALL
        SELECT 'declines', coalesce(data->>'fault', 'other'), count(*)
        FROM new WHERE kind = 'charge.declined' GROUP BY 2
        UNION ALL
        SELECT 'charged_rupiah', '', sum(c.amount)
        FROM new JOIN charges c ON c.id = new.charge_id WHERE kind = 'charge.succeeded'
        HAVING count(*) > 0
        UNION ALL
        SELECT 'refunded_rupiah', '', sum(CAST(data->>'amount' AS bigint))
        FROM new WHERE kind = 'refund.succeeded' HAVING count(*) > 0
    ), of_hours AS (
        INSERT INTO hourly_totals (hour, name, events, amount)
        SELECT date_trunc('hour', seen.at, 'UTC'), kind, count(*),
            coalesce(sum(CASE WHEN kind = 'charge.succeeded' THEN c.amount
                WHEN kind = 'refund.succeeded' THEN CAST(data->>'amount' AS bigint) END), 0)
        FROM seen LEFT JOIN charges c ON c.id = seen.charge_id AND kind = 'charge.succeeded'
        WHERE seen.position > :hours_after
          AND kind IN ('charge.succeeded', 'charge.declined', 'refund.succeeded') GROUP BY 1, 2
        ON CONFLICT (hour, name) DO UPDATE SET events = hourly_totals.events + excluded.events,
            amount = hourly_totals.amount + excluded.amount
    ), of_days AS (
        INSERT INTO daily_totals (day, name, label, events, amount)
        SELECT * FROM {FACTS.format("(SELECT * FROM seen WHERE position > :days_after)")} AS days
        ON CONFLICT (day, name, label) DO UPDATE SET
            events = daily_totals.events + excluded.events,
            amount = daily_totals.amount + excluded.amount
    )
    INSERT INTO metric_totals (name, label, total)
    SELECT name, label, CAST(total AS bigint) FROM counted
    ON CONFLICT (name, label) DO UPDATE SET total = metric_totals.total + excluded.total
""")  # noqa: S608 - constants of ours


def count_events(connection: Connection, after: Positions, until: int) -> None:
    """Add the events up to a position to totals, hours and days, and store the positions."""
    positions = {
        "after": after.position, "hours_after": after.hours_position,
        "days_after": after.days_position, "until": until,
    }  # fmt: skip
    connection.execute(_COUNT, positions)
    statement = text(
        "UPDATE metric_state SET position = greatest(position, :until),"
        " hours_position = greatest(hours_position, :until),"
        " days_position = greatest(days_position, :until)"
    )
    connection.execute(statement, {"until": until})


def behind(connection: Connection) -> int:
    """Read how many positions of the feed are not counted yet."""
    statement = text("""
        SELECT greatest(coalesce((SELECT max(position) FROM event_feed), 0)
            - coalesce((SELECT least(position, hours_position, days_position)
                FROM metric_state), 0), 0)
    """)
    return int(connection.execute(statement).scalar_one())


def totals(connection: Connection) -> list[Total]:
    """Read the totals."""
    found = connection.execute(text("SELECT name, label, total FROM metric_totals ORDER BY 1, 2"))
    return [Total._make(row) for row in found]


def hours(connection: Connection, since: datetime, until: datetime) -> list[HourTotal]:
    """Read the totals of the hours of a span, in order."""
    statement = text(f"""
        SELECT {columns(HourTotal, "h")} FROM hourly_totals h
        WHERE h.hour >= :since AND h.hour < :until ORDER BY h.hour, h.name
    """)  # noqa: S608 - a constant of ours
    return every(HourTotal, connection.execute(statement, {"since": since, "until": until}))


def record_gauges(connection: Connection, found: Mapping[str, float], at: datetime) -> None:
    """Store what checks found, each in place of what it found before."""
    statement = text("""
        INSERT INTO metric_gauges (name, value, at) VALUES (:name, :value, :at)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at
    """)
    for name, value in sorted(found.items()):
        connection.execute(statement, {"name": name, "value": value, "at": at})


def gauges(connection: Connection) -> dict[str, float]:
    """Read what checks found last, by name."""
    found = connection.execute(text("SELECT name, value FROM metric_gauges ORDER BY name"))
    return {row[0]: row[1] for row in found}


def add_calls(connection: Connection, shard: int, taken: Mapping[str, Times]) -> None:
    """Add the times of calls to those of a shard."""
    statement = text("""
        INSERT INTO gateway_calls (call, shard, buckets, seconds)
        VALUES (:call, :shard, CAST(:buckets AS bigint[]), :seconds)
        ON CONFLICT (call, shard) DO UPDATE SET
            buckets = ARRAY(SELECT a + b
                FROM unnest(gateway_calls.buckets, excluded.buckets) WITH ORDINALITY AS t (a, b, n)
                ORDER BY n),
            seconds = gateway_calls.seconds + excluded.seconds
    """)
    for call, times in sorted(taken.items()):
        parameters = {
            "call": call,
            "shard": shard,
            "buckets": list(times.buckets),
            "seconds": times.seconds,
        }
        connection.execute(statement, parameters)


def calls(connection: Connection) -> dict[str, Times]:
    """Read the times of all calls, by kind of call."""
    found: dict[str, Times] = {}
    for call, buckets, seconds in connection.execute(
        text("SELECT call, buckets, seconds FROM gateway_calls ORDER BY call")
    ):
        times = Times(tuple(buckets), seconds)
        found[call] = found[call] + times if call in found else times
    return found

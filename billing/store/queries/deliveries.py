"""Statements about webhook deliveries: make, lease, settle, list, send again, remove."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.webhooks import DeliveryStatus
from billing.store.queries.event_feed import EVENT, FeedEvent
from billing.store.rows import as_array, as_json
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


class Delivery(NamedTuple):
    """A delivery as it is shown, with the type and the position of its event."""

    id: UUID
    endpoint: UUID
    event: int
    position: int
    type: str
    status: DeliveryStatus
    attempts_count: int
    next_attempt_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    created_at: datetime
    settled_at: datetime | None


class LastAnswer(NamedTuple):
    """Why the last attempt of a delivery failed."""

    last_status_code: int | None
    last_error: str


class Leased(NamedTuple):
    """A delivery that the caller attempts now."""

    id: UUID
    event_id: int
    attempts: int
    body: str | None


class Settled(NamedTuple):
    """What an attempt made of a delivery."""

    id: UUID
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    settled_at: datetime | None
    body: str | None


class Sequenced(NamedTuple):
    """An event with its number among the events of its subscription."""

    event: FeedEvent
    sequence: int | None


class FannedOut(NamedTuple):
    """How far a batch came in the feed, how many positions it read and deliveries it made."""

    until: int | None
    positions: int
    deliveries: int


class Place(NamedTuple):
    """Where a delivery stands among those of its endpoint, which are listed newest first."""

    created_at: datetime
    event_id: int


class Count(NamedTuple):
    """How many deliveries of an endpoint have a status, and since when the oldest exists."""

    endpoint: UUID
    status: DeliveryStatus
    deliveries: int
    oldest_at: datetime | None


FITS = """
    (r.event_types = '{}' OR e.kind = ANY(r.event_types)
        OR split_part(e.kind, '.', 1) || '.*' = ANY(r.event_types))
"""
"""Whether an endpoint `r` receives an event `e`."""


def starts_after(connection: Connection) -> int | None:
    """Read the lowest position after which an endpoint receives events; None without endpoints."""
    statement = text("SELECT min(starts_after) FROM webhook_endpoints WHERE disabled_at IS NULL")
    found: int | None = connection.execute(statement).scalar_one()
    return found


def fan_out(connection: Connection, after: int, limit: int, now: datetime) -> FannedOut:
    """Make the deliveries of the events after a position, for each endpoint that receives them."""
    statement = text(f"""
        WITH part AS MATERIALIZED (
            SELECT position, event_id FROM event_feed WHERE position > :after
            ORDER BY position LIMIT :limit),
        made AS (
            INSERT INTO webhook_deliveries (endpoint_id, event_id, next_attempt_at, created_at)
            SELECT r.id, e.id, :now, :now
            FROM part p JOIN events e ON e.id = p.event_id
            JOIN webhook_endpoints r ON r.disabled_at IS NULL AND p.position > r.starts_after
            WHERE {FITS} ORDER BY p.position, r.id
            ON CONFLICT DO NOTHING RETURNING id)
        SELECT (SELECT max(position) FROM part) AS until, (SELECT count(*) FROM part) AS positions,
            (SELECT count(*) FROM made) AS deliveries
    """)  # noqa: S608 - a constant of ours
    parameters = {"after": after, "limit": limit, "now": now}
    return FannedOut._make(connection.execute(statement, parameters).one())


def move_fanned_out(connection: Connection, position: int) -> None:
    """Record up to which position deliveries were made."""
    connection.execute(
        text("UPDATE event_feed_state SET fanned_out = :position"), {"position": position}
    )


def lease_due(
    connection: Connection, endpoint_id: UUID, now: datetime, lease_seconds: int, limit: int
) -> list[Leased]:
    """Lease due deliveries of one endpoint, those that wait longest first."""
    statement = text(f"""
        WITH due AS (
            SELECT id FROM webhook_deliveries
            WHERE endpoint_id = :endpoint AND status = 'pending' AND next_attempt_at <= :now
              AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY next_attempt_at, event_id LIMIT :limit FOR UPDATE SKIP LOCKED)
        UPDATE webhook_deliveries d
        SET leased_until = clock_timestamp() + make_interval(secs => :seconds)
        FROM due WHERE d.id = due.id RETURNING {columns(Leased, "d")}
    """)  # noqa: S608 - a constant of ours
    parameters = {
        "endpoint": endpoint_id, "now": now, "seconds": lease_seconds, "limit": limit,
    }  # fmt: skip
    return every(Leased, connection.execute(statement, parameters))


def events_of(connection: Connection, event_ids: Sequence[int]) -> dict[int, Sequenced]:
    """Read events with their numbers among the events of their subscriptions.

    The number counts positions of the feed, which never change: it is the same for each endpoint
    and each attempt. The events of each subscription are read once, by key: statistics are old on
    a day with many events. Those that have no position yet come last.
    """
    statement = text(f"""
        WITH wanted AS MATERIALIZED (
            SELECT id, subscription_id FROM events WHERE id = ANY(CAST(:ids AS bigint[]))),
        numbered AS MATERIALIZED (
            SELECT o.id, row_number() OVER (PARTITION BY s.subscription_id ORDER BY o.position)
                AS sequence
            FROM (SELECT DISTINCT subscription_id FROM wanted) AS s
            CROSS JOIN LATERAL (
                SELECT a.id, (SELECT position FROM event_feed WHERE event_id = a.id) AS position
                FROM events a WHERE a.subscription_id = s.subscription_id OFFSET 0) AS o)
        SELECT n.sequence, {EVENT}
        FROM wanted w JOIN events e ON e.id = w.id JOIN event_feed f ON f.event_id = e.id
        LEFT JOIN numbered n ON n.id = e.id
    """)  # noqa: S608 - a constant of ours
    found = connection.execute(statement, {"ids": list(event_ids)})
    rows = [Sequenced(FeedEvent._make(values), sequence) for sequence, *values in found]
    return {row.event.id: row for row in rows}


def settle(connection: Connection, settled: Sequence[Settled]) -> None:
    """Write what attempts made of deliveries; one that was settled meanwhile stays as it is."""
    statement = text("""
        UPDATE webhook_deliveries d SET status = r.status, attempts = r.attempts,
            next_attempt_at = r.next_attempt_at, last_status_code = r.last_status_code,
            last_error = r.last_error, settled_at = r.settled_at, leased_until = NULL,
            body = r.body
        FROM json_to_recordset(CAST(:rows AS json)) AS r (id uuid, status text, attempts int,
            next_attempt_at timestamptz, last_status_code smallint, last_error text,
            settled_at timestamptz, body text)
        WHERE d.id = r.id AND d.status = 'pending'
    """)
    connection.execute(statement, {"rows": as_json([each._asdict() for each in settled])})


def end_leases(connection: Connection, ids: Sequence[UUID]) -> None:
    """End the leases of deliveries that were not attempted."""
    statement = text(
        "UPDATE webhook_deliveries SET leased_until = NULL"
        " WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending'"
    )
    connection.execute(statement, {"ids": as_array(ids)})


def erased(connection: Connection, event_ids: Sequence[int]) -> set[int]:
    """Find the events of customers who are erased: their bodies are not stored.

    The customers are locked until the end of the transaction, so that an erasure that begins now
    finds what this transaction stores.
    """
    statement = text("""
        SELECT e.id, c.erase_requested_at FROM events e JOIN customers c ON c.id = e.customer_id
        WHERE e.id = ANY(CAST(:ids AS bigint[])) ORDER BY c.id FOR SHARE OF c
    """)
    found = connection.execute(statement, {"ids": list(event_ids)})
    return {row.id for row in found if row.erase_requested_at is not None}


_OF_DELIVERY = {
    "endpoint": "d.endpoint_id", "event": "d.event_id", "attempts_count": "d.attempts",
    "position": "f.position", "type": "e.kind",
}  # fmt: skip
_SHOWN = f"""
    SELECT {columns(Delivery, "d", **_OF_DELIVERY)}
    FROM webhook_deliveries d JOIN events e ON e.id = d.event_id
    JOIN event_feed f ON f.event_id = d.event_id
"""  # noqa: S608 - a constant of ours


def one(connection: Connection, delivery_id: UUID) -> Delivery | None:
    """Read one delivery."""
    statement = text(f"{_SHOWN} WHERE d.id = :id")
    return at_most_one(Delivery, connection.execute(statement, {"id": delivery_id}))


def page(
    connection: Connection,
    limit: int,
    *,
    endpoint_id: UUID | None = None,
    status: DeliveryStatus | None = None,
    before: UUID | None = None,
) -> list[Delivery]:
    """Read deliveries, the latest first; `before` is the last one of the page before."""
    conditions = ["true"]
    parameters: dict[str, object] = {"limit": limit}
    if endpoint_id is not None:
        conditions.append("d.endpoint_id = :endpoint")
        parameters["endpoint"] = endpoint_id
    if status is not None:
        # Not a parameter: the plan with the index of failed deliveries needs the value.
        conditions.append(f"d.status = '{status.value}'")
    if before is not None:
        conditions.append(
            "(d.created_at, d.event_id, d.id) < (SELECT b.created_at, b.event_id, b.id"
            " FROM webhook_deliveries b WHERE b.id = :before)"
        )
        parameters["before"] = before
    statement = text(f"""
        {_SHOWN} WHERE {" AND ".join(conditions)}
        ORDER BY d.created_at DESC, d.event_id DESC, d.id DESC LIMIT :limit
    """)
    return every(Delivery, connection.execute(statement, parameters))


def last_failure(connection: Connection, endpoint_id: UUID) -> LastAnswer | None:
    """Return why the oldest pending delivery was not accepted, or else the newest failed one."""
    of = f"""SELECT {columns(LastAnswer)} FROM webhook_deliveries
        WHERE endpoint_id = :endpoint AND last_error IS NOT NULL"""  # noqa: S608 - a constant of ours
    statement = text(f"""
        ({of} AND status = 'pending' ORDER BY created_at, event_id LIMIT 1) UNION ALL
        ({of} AND status = 'failed' ORDER BY created_at DESC, event_id DESC LIMIT 1) LIMIT 1
    """)
    return at_most_one(LastAnswer, connection.execute(statement, {"endpoint": endpoint_id}))


def of_endpoint(
    connection: Connection,
    endpoint_id: UUID,
    statuses: Sequence[DeliveryStatus],
    after: Place | None,
    limit: int,
) -> list[Delivery]:
    """Read deliveries of an endpoint, newest first; each status is read by the index."""
    behind = "" if after is None else "AND (p.created_at, p.event_id) < (:at, :event)"
    statement = text(f"""
        SELECT {columns(Delivery, "d", **_OF_DELIVERY)}
        FROM (SELECT n.* FROM unnest(CAST(:statuses AS text[])) AS s (status)
            CROSS JOIN LATERAL (SELECT * FROM webhook_deliveries p
                WHERE p.endpoint_id = :endpoint AND p.status = s.status {behind}
                ORDER BY p.created_at DESC, p.event_id DESC LIMIT :limit) AS n
            ORDER BY n.created_at DESC, n.event_id DESC LIMIT :limit) AS d
        JOIN events e ON e.id = d.event_id JOIN event_feed f ON f.event_id = d.event_id
        ORDER BY d.created_at DESC, d.event_id DESC
    """)  # noqa: S608 - constants of ours
    parameters: dict[str, object] = {
        "endpoint": endpoint_id, "statuses": [each.value for each in statuses], "limit": limit,
    }  # fmt: skip
    if after is not None:
        parameters |= {"at": after.created_at, "event": after.event_id}
    return every(Delivery, connection.execute(statement, parameters))


def counts(
    connection: Connection,
    statuses: Sequence[DeliveryStatus],
    most: int,
    endpoint_id: UUID | None = None,
) -> list[Count]:
    """Count the deliveries of all endpoints or of one by status, each count up to `most`."""
    one_of_them = "" if endpoint_id is None else "AND e.id = :endpoint"
    statement = text(f"""
        SELECT e.id AS endpoint, s.status, n.deliveries, n.oldest_at
        FROM webhook_endpoints e CROSS JOIN unnest(CAST(:statuses AS text[])) AS s (status)
        CROSS JOIN LATERAL (SELECT count(*) AS deliveries, min(few.created_at) AS oldest_at
            FROM (SELECT d.created_at FROM webhook_deliveries d
                WHERE d.endpoint_id = e.id AND d.status = s.status
                ORDER BY d.created_at, d.event_id LIMIT :most) AS few) AS n
        WHERE e.deleted_at IS NULL {one_of_them}
    """)  # noqa: S608 - a constant of ours
    parameters: dict[str, object] = {"statuses": [each.value for each in statuses], "most": most}
    if endpoint_id is not None:
        parameters["endpoint"] = endpoint_id
    return every(Count, connection.execute(statement, parameters))


def kept_body(connection: Connection, delivery_id: UUID) -> str | None:
    """Read what a failed attempt sent, while others follow; None for any other delivery."""
    statement = text("SELECT body FROM webhook_deliveries WHERE id = :id")
    found: str | None = connection.execute(statement, {"id": delivery_id}).scalar_one_or_none()
    return found


def send_again(connection: Connection, ids: Sequence[UUID], now: datetime) -> None:
    """Make deliveries due now, with all their attempts; they keep their ids."""
    statement = text("""
        UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_attempt_at = :now,
            settled_at = NULL, leased_until = NULL, body = NULL
        WHERE id = ANY(CAST(:ids AS uuid[]))
    """)
    connection.execute(statement, {"ids": as_array(ids), "now": now})


def replay(connection: Connection, endpoint_id: UUID, after: int, until: int, now: datetime) -> int:
    """Make the deliveries of a range of positions due now; return their number.

    Deliveries that exist keep their ids; those that are missing are made.
    """
    statement = text(f"""
        INSERT INTO webhook_deliveries (endpoint_id, event_id, next_attempt_at, created_at)
        SELECT r.id, e.id, :now, :now
        FROM event_feed f JOIN events e ON e.id = f.event_id
        JOIN webhook_endpoints r ON r.id = :endpoint
        WHERE f.position > :after AND f.position <= :until AND {FITS} ORDER BY f.position
        ON CONFLICT (endpoint_id, event_id) DO UPDATE SET status = 'pending', attempts = 0,
            next_attempt_at = excluded.next_attempt_at, settled_at = NULL, leased_until = NULL,
            body = NULL
    """)  # noqa: S608 - a constant of ours
    parameters = {"endpoint": endpoint_id, "after": after, "until": until, "now": now}
    return connection.execute(statement, parameters).rowcount


def count_of_range(connection: Connection, endpoint_id: UUID, after: int, until: int) -> int:
    """Count the events of a range of positions that an endpoint receives."""
    statement = text(f"""
        SELECT count(*) FROM event_feed f JOIN events e ON e.id = f.event_id
        JOIN webhook_endpoints r ON r.id = :endpoint
        WHERE f.position > :after AND f.position <= :until AND {FITS}
    """)  # noqa: S608 - a constant of ours
    parameters = {"endpoint": endpoint_id, "after": after, "until": until}
    return int(connection.execute(statement, parameters).scalar_one())


def cancel_of_disabled(connection: Connection, now: datetime, limit: int) -> int:
    """Cancel pending deliveries of disabled endpoints; return how many."""
    statement = text("""
        UPDATE webhook_deliveries SET status = 'canceled', next_attempt_at = NULL,
            settled_at = :now, leased_until = NULL, body = NULL
        WHERE id IN (SELECT d.id FROM webhook_endpoints e
            CROSS JOIN LATERAL (SELECT p.id FROM webhook_deliveries p
                WHERE p.endpoint_id = e.id AND p.status = 'pending' LIMIT :limit) AS d
            WHERE e.disabled_at IS NOT NULL LIMIT :limit)
          AND status = 'pending'
    """)
    return connection.execute(statement, {"now": now, "limit": limit}).rowcount


def remove(connection: Connection, before: datetime, limit: int) -> int:
    """Delete settled deliveries from before an instant, and all of deleted endpoints."""
    statement = text("""
        DELETE FROM webhook_deliveries WHERE id IN (
            (SELECT id FROM webhook_deliveries WHERE created_at < :before AND status <> 'pending'
             ORDER BY created_at LIMIT :limit)
            UNION ALL
            (SELECT d.id FROM webhook_endpoints e
             JOIN webhook_deliveries d ON d.endpoint_id = e.id
             WHERE e.deleted_at IS NOT NULL LIMIT :limit))
    """)
    return connection.execute(statement, {"before": before, "limit": limit}).rowcount

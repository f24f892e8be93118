"""Statements about the engine: test clock, kill switch, gateway identity, heartbeats."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.store.queries.notices import NOTICES
from billing.store.queries.subscriptions import MAY_END, MAY_OPEN, MAY_PAUSE, MAY_RESUME
from billing.store.selecting import columns, every
from billing.store.statements import text


class EngineState(NamedTuple):
    """The test clock, the kill switch, and the gateway that the database belongs to."""

    clock_at: datetime | None
    stopped_at: datetime | None
    stopped_reason: str | None
    gateway_host: str | None
    gateway_client_id: str | None


def state(connection: Connection) -> EngineState:
    """Read the state of the engine."""
    statement = text(f"SELECT {columns(EngineState)} FROM engine")  # noqa: S608 - a constant of ours
    return EngineState._make(connection.execute(statement).one())


class ChargingState(NamedTuple):
    """Whether charges may be sent, and how many at once."""

    gateway_host: str | None
    gateway_client_id: str | None
    stopped_at: datetime | None
    troubles: int  # pauses since the gateway last answered
    resting: bool  # paused right now


_CHARGING_STATE = columns(
    ChargingState, resting="coalesce(resting_until > clock_timestamp(), false)"
)


def charging_state(connection: Connection) -> ChargingState:
    """Read the columns that decide whether charges may be sent."""
    statement = text(f"SELECT {_CHARGING_STATE} FROM engine")  # noqa: S608 - a constant of ours
    return ChargingState._make(connection.execute(statement).one())


def installation(connection: Connection) -> UUID:
    """Read the installation id, which enters ids derived from outside input."""
    identity: UUID = connection.execute(text("SELECT installation_id FROM engine")).scalar_one()
    return identity


def is_stopped(connection: Connection) -> bool:
    """Whether the kill switch is on."""
    return bool(connection.execute(text("SELECT stopped_at IS NOT NULL FROM engine")).scalar_one())


def who_stopped(connection: Connection) -> str | None:
    """Read who turned the kill switch on; None while it is off."""
    statement = text(
        "SELECT actor FROM events WHERE kind = 'engine.charging_stopped'"
        " AND at = (SELECT stopped_at FROM engine) ORDER BY id DESC LIMIT 1"
    )
    if not is_stopped(connection):
        return None
    return connection.execute(statement).scalar_one_or_none()


def set_stopped(
    connection: Connection, at: datetime | None, reason: str | None, *, again: bool = False
) -> bool:
    """Set or clear the kill switch; False when it was in that state already.

    With `again` a second reason to stop is added to the first, whose time stays.
    """
    statement = text(
        "UPDATE engine SET stopped_at = coalesce(CASE WHEN :again THEN stopped_at END, :at),"
        " stopped_reason = nullif(concat_ws('; ', CASE WHEN :again THEN stopped_reason END,"
        " CAST(:reason AS text)), '')"
        " WHERE :again OR (stopped_at IS NULL) <> (CAST(:at AS timestamptz) IS NULL)"
    )
    parameters = {"at": at, "reason": reason, "again": again}
    return connection.execute(statement, parameters).rowcount == 1


def clock_at(connection: Connection) -> datetime | None:
    """Read the test clock."""
    return connection.execute(text("SELECT clock_at FROM engine")).scalar_one_or_none()


def set_clock(connection: Connection, at: datetime) -> None:
    """Move the test clock."""
    connection.execute(text("UPDATE engine SET clock_at = :at"), {"at": at})


def bind_gateway(
    connection: Connection, host: str, client_id: str, *, force: bool
) -> ChargingState:
    """Record which gateway this database belongs to, and return the row.

    The first call decides; a later call changes it only with `force`.
    """
    row = charging_state(connection)
    if row.gateway_host is not None and not force:
        return row
    connection.execute(
        text(
            "UPDATE engine SET gateway_host = :host, gateway_client_id = :client_id"
            " WHERE gateway_host IS NULL OR :force"
        ),
        {"host": host, "client_id": client_id, "force": force},
    )
    return charging_state(connection)


def rest(connection: Connection, waits: Sequence[int], wished: int) -> int | None:
    """Pause calls to the gateway for the next of `waits`, or `wished`; None if they are paused.

    The pause is in real seconds, by the database's clock, for all workers.
    """
    statement = text("""
        UPDATE engine SET troubles = troubles + 1, resting_until = clock_timestamp()
            + make_interval(secs => greatest(CAST(:wished AS int), (CAST(:waits AS int[]))[
                least(troubles + 1, cardinality(CAST(:waits AS int[])))]))
        WHERE resting_until IS NULL OR resting_until <= clock_timestamp()
        RETURNING ceil(extract(epoch FROM resting_until - clock_timestamp()))
    """)
    seconds = connection.execute(statement, {"waits": list(waits), "wished": wished}).scalar()
    return None if seconds is None else int(seconds)


def end_of_troubles(connection: Connection) -> bool:
    """Record that the gateway answers again; False if that is known, or it has just refused."""
    statement = text(
        "UPDATE engine SET troubles = 0, resting_until = NULL WHERE troubles > 0"
        " AND (resting_until IS NULL OR resting_until <= clock_timestamp())"
    )
    return connection.execute(statement).rowcount == 1


def be_alone(connection: Connection) -> None:
    """Wait until no other session fills the queue; others wait for this transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('filling the queue'))"))


_MAY_OPEN = """
    CASE WHEN CAST(:until AS timestamptz) IS NULL
         THEN opening_until IS NULL OR opening_until < clock_timestamp()
         ELSE opening_until = :until END
"""
"""Opening continues for the holder of the lease that ends then, or starts without a lease."""


def may_open(connection: Connection, until: datetime | None) -> bool:
    """Whether opening may continue with the lease that ends `until`, or start if that is None."""
    statement = text(f"SELECT {_MAY_OPEN} FROM engine")  # noqa: S608 - a constant of ours
    return bool(connection.execute(statement, {"until": until}).scalar_one())


def lease_opening(connection: Connection, until: datetime | None, seconds: int) -> datetime | None:
    """Exchange the lease that ends `until`, or none, for a new one; return its end.

    Returns None when another process has done so. Leases use real time, by the database's clock.
    """
    statement = text(f"""
        UPDATE engine SET opening_until = clock_timestamp() + make_interval(secs => :seconds)
        WHERE {_MAY_OPEN} RETURNING opening_until
    """)  # noqa: S608 - a constant of ours
    parameters = {"until": until, "seconds": seconds}
    return connection.execute(statement, parameters).scalar_one_or_none()


def end_opening(connection: Connection, until: datetime | None) -> None:
    """End the lease that ends `until`, so that opening may start again."""
    connection.execute(
        text("UPDATE engine SET opening_until = NULL WHERE opening_until = :until"),
        {"until": until},
    )


def take_turn(connection: Connection, count: int, per_second: int) -> float:
    """Reserve the time of `count` charges at a rate; return the seconds until it begins.

    The row's lock orders concurrent callers, and is held for this statement only.
    """
    statement = text("""
        UPDATE engine SET paced_until = greatest(paced_until, clock_timestamp())
            + make_interval(secs => CAST(:count AS double precision) / :rate)
        RETURNING extract(epoch FROM paced_until - clock_timestamp())
            - CAST(:count AS double precision) / :rate
    """)
    seconds = connection.execute(statement, {"count": count, "rate": per_second}).scalar_one()
    return max(float(seconds), 0.0)


class Heartbeat(NamedTuple):
    """When a tick last started, succeeded and failed, in real time, and its error.

    A run that skipped its work has only started.
    """

    tick: str
    at: datetime
    succeeded_at: datetime | None
    failed_at: datetime | None
    error: str | None


def beat(connection: Connection, tick: str, at: datetime) -> None:
    """Record that a tick has started."""
    connection.execute(
        text(
            "INSERT INTO heartbeats (tick, at) VALUES (:tick, :at)"
            " ON CONFLICT (tick) DO UPDATE SET at = excluded.at"
        ),
        {"tick": tick, "at": at},
    )


def tick_succeeded(connection: Connection, tick: str, at: datetime) -> None:
    """Record that a tick succeeded."""
    connection.execute(
        text("UPDATE heartbeats SET succeeded_at = :at, error = NULL WHERE tick = :tick"),
        {"tick": tick, "at": at},
    )


def tick_failed(connection: Connection, tick: str, at: datetime, error: str) -> None:
    """Record that a tick failed, with its error."""
    connection.execute(
        text("UPDATE heartbeats SET failed_at = :at, error = :error WHERE tick = :tick"),
        {"tick": tick, "at": at, "error": error},
    )


def heartbeats(connection: Connection) -> list[Heartbeat]:
    """Read the heartbeat of each tick."""
    statement = f"SELECT {columns(Heartbeat)} FROM heartbeats ORDER BY tick"  # noqa: S608 - a constant of ours
    return every(Heartbeat, connection.execute(text(statement)))


NEXT_DUE = text(f"""
SELECT min(at) FROM (
    SELECT min(s.next_due_at) AS at FROM subscriptions s
        WHERE s.next_due_at IS NOT NULL AND {MAY_OPEN}
    UNION ALL SELECT min(s.cancel_at) FROM subscriptions s WHERE {MAY_END}
    UNION ALL SELECT min(s.pause_at) FROM subscriptions s WHERE {MAY_PAUSE}
    UNION ALL SELECT min(s.resume_at) FROM subscriptions s WHERE {MAY_RESUME}
    UNION ALL SELECT min(at) FROM ({NOTICES}) AS notices
    UNION ALL SELECT min(next_notice_at) FROM wallets
        WHERE next_notice_at IS NOT NULL AND status = 'active' AND held_at IS NULL
    UNION ALL SELECT min(next_attempt_at) FROM invoices
        WHERE next_attempt_at IS NOT NULL AND held_at IS NULL
    UNION ALL SELECT min(next_check_at) FROM charges
        WHERE next_check_at IS NOT NULL AND held_at IS NULL
    UNION ALL SELECT min(next_attempt_at) FROM refunds
        WHERE next_attempt_at IS NOT NULL AND held_at IS NULL
    UNION ALL SELECT min(next_attempt_at) FROM wallets
        WHERE next_attempt_at IS NOT NULL AND held_at IS NULL
    UNION ALL SELECT min(expires_at) FROM wallets WHERE status = 'active' AND held_at IS NULL
) AS due
""")  # noqa: S608 - a constant of ours is put in, nothing from outside


def next_due(connection: Connection) -> datetime | None:
    """Read the earliest instant at which anything is due, past or future."""
    return connection.execute(NEXT_DUE).scalar_one_or_none()


def in_flight(connection: Connection) -> int:
    """Count the charges and refunds that are in flight, by their rows."""
    statement = text(
        "SELECT (SELECT count(*) FROM charges WHERE status = 'in_flight')"
        " + (SELECT count(*) FROM refunds WHERE status = 'in_flight')"
    )
    return int(connection.execute(statement).scalar_one())

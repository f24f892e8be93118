"""Statements about webhook endpoints."""

from datetime import datetime
from typing import NamedTuple, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, insert, update

from billing.store.selecting import at_most_one, columns, every, of_values
from billing.store.statements import text
from billing.store.tables import WEBHOOK_ENDPOINTS


class Endpoint(NamedTuple):
    """An endpoint as it is shown: without its secrets."""

    id: UUID
    url: str
    event_types: list[str]
    description: str | None
    created_at: datetime
    previous_secret_ends_at: datetime | None
    first_failed_at: datetime | None
    disabled_at: datetime | None
    disabled_cause: str | None


class Sealed(NamedTuple):
    """An endpoint as a sender needs it, with its encrypted secrets."""

    id: UUID
    url: str
    secret_sealed: bytes
    previous_secret_sealed: bytes | None
    previous_secret_until: datetime | None
    failing_since: datetime | None
    disabled_at: datetime | None


class NewEndpoint(NamedTuple):
    """An endpoint that is added."""

    id: UUID
    url: str
    event_types: list[str]
    description: str | None
    secret_sealed: bytes
    starts_after: int
    created_at: datetime


class Changes(TypedDict, total=False):
    """Columns of an endpoint that may be written."""

    url: str
    event_types: list[str]
    description: str | None
    secret_sealed: bytes
    previous_secret_sealed: bytes | None
    previous_secret_until: datetime | None
    starts_after: int
    disabled_at: datetime | None
    disabled_cause: str | None
    deleted_at: datetime | None
    failing_since: datetime | None
    last_succeeded_at: datetime | None


class Watched(NamedTuple):
    """An endpoint as a page shows it, with the last time that it accepted an event."""

    endpoint: Endpoint
    last_succeeded_at: datetime | None


_SHOWN_AS = {
    "previous_secret_ends_at": "previous_secret_until", "first_failed_at": "failing_since",
}  # fmt: skip
_SHOWN = f"SELECT {columns(Endpoint, **_SHOWN_AS)} FROM webhook_endpoints WHERE deleted_at IS NULL"  # noqa: S608 - a constant of ours
_SEALED = f"SELECT {columns(Sealed)} FROM webhook_endpoints WHERE deleted_at IS NULL AND id = :id"  # noqa: S608 - the same


def add(connection: Connection, new: NewEndpoint) -> None:
    """Insert an endpoint."""
    connection.execute(insert(WEBHOOK_ENDPOINTS).values(**new._asdict()))


def change(connection: Connection, endpoint_id: UUID, **changes: Unpack[Changes]) -> None:
    """Write columns of an endpoint."""
    statement = update(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == endpoint_id)
    connection.execute(statement.values(**changes))


def one(connection: Connection, endpoint_id: UUID) -> Endpoint | None:
    """Read one endpoint."""
    statement = text(f"{_SHOWN} AND id = :id")
    return at_most_one(Endpoint, connection.execute(statement, {"id": endpoint_id}))


def lock(connection: Connection, endpoint_id: UUID) -> Endpoint | None:
    """Read one endpoint, locked until the end of the transaction."""
    statement = text(f"{_SHOWN} AND id = :id FOR NO KEY UPDATE")
    return at_most_one(Endpoint, connection.execute(statement, {"id": endpoint_id}))


def sealed(connection: Connection, endpoint_id: UUID, *, locked: bool = False) -> Sealed | None:
    """Read one endpoint with its secrets, on request locked."""
    statement = text(f"{_SEALED} FOR NO KEY UPDATE" if locked else _SEALED)
    return at_most_one(Sealed, connection.execute(statement, {"id": endpoint_id}))


def listed(connection: Connection) -> list[Endpoint]:
    """Read all endpoints, the oldest first."""
    return every(Endpoint, connection.execute(text(f"{_SHOWN} ORDER BY created_at, id")))


def watched(connection: Connection, endpoint_id: UUID | None = None) -> list[Watched]:
    """Read all endpoints or one, the oldest first, with their last success."""
    one_of_them = "" if endpoint_id is None else "AND id = :id"
    statement = text(f"""
        SELECT {columns(Endpoint, **_SHOWN_AS)}, last_succeeded_at
        FROM webhook_endpoints WHERE deleted_at IS NULL {one_of_them} ORDER BY created_at, id
    """)  # noqa: S608 - constants of ours
    found = connection.execute(statement, {} if endpoint_id is None else {"id": endpoint_id})
    return [Watched(of_values(Endpoint, values[:-1]), values[-1]) for values in found]


def count(connection: Connection) -> int:
    """Count the endpoints."""
    statement = text("SELECT count(*) FROM webhook_endpoints WHERE deleted_at IS NULL")
    return int(connection.execute(statement).scalar_one())


def has_any(connection: Connection) -> bool:
    """Whether there is any endpoint, also a disabled or deleted one: ticks have work then."""
    statement = text("SELECT EXISTS (SELECT 1 FROM webhook_endpoints)")
    return bool(connection.execute(statement).scalar_one())


def lease_due(connection: Connection, now: datetime, lease_seconds: int, limit: int) -> list[UUID]:
    """Lease endpoints that have due deliveries and no sender; return their ids."""
    statement = text("""
        WITH due AS (
            SELECT e.id FROM webhook_endpoints e
            WHERE e.disabled_at IS NULL
              AND (e.leased_until IS NULL OR e.leased_until < clock_timestamp())
              AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id
                  AND d.status = 'pending' AND d.next_attempt_at <= :now)
            ORDER BY e.leased_until NULLS FIRST, e.id LIMIT :limit
            FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE webhook_endpoints e
        SET leased_until = clock_timestamp() + make_interval(secs => :seconds)
        FROM due WHERE e.id = due.id RETURNING e.id
    """)
    parameters = {"now": now, "seconds": lease_seconds, "limit": limit}
    return list(connection.execute(statement, parameters).scalars())


def set_lease(connection: Connection, endpoint_id: UUID, lease_seconds: int) -> None:
    """Let the lease of an endpoint end in `lease_seconds` from now; 0 ends it."""
    statement = text("""
        UPDATE webhook_endpoints
        SET leased_until = clock_timestamp() + make_interval(secs => :seconds) WHERE id = :id
    """)
    connection.execute(statement, {"id": endpoint_id, "seconds": lease_seconds})


def remove_deleted(connection: Connection) -> None:
    """Delete the rows of deleted endpoints that have no deliveries any more."""
    connection.execute(
        text("""
            DELETE FROM webhook_endpoints e WHERE deleted_at IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id)
        """)
    )

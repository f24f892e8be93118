"""Statements about requests for approval, and about the two people of each."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.approvals import Approvable, ApprovalStatus
from billing.domain.payloads import Json
from billing.domain.people import Person
from billing.store.queries.open_approvals import IS_CURRENT, NEWEST
from billing.store.queries.people import PERSON
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


class Approval(NamedTuple):
    """A request as it is decided; `amount` is the rupiah that were shown."""

    id: UUID
    key: str
    kind: Approvable
    status: ApprovalStatus
    subject: str
    subscription_id: UUID | None
    customer_id: str | None
    arguments: Json
    amount: int
    rows_count: int
    seen: int
    basis: str
    reason: str
    asked_by: UUID
    asked_at: datetime
    ends_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    decision_reason: str | None


class Listed(NamedTuple):
    """A request as it is shown, with the names of both people.

    `is_current` is whether nothing has changed that it is about; of an action in bulk it is true.
    `is_unfinished` is whether an action in bulk was approved and has no report.
    """

    id: UUID
    kind: Approvable
    status: ApprovalStatus
    subject: str
    subscription_id: UUID | None
    customer_id: str | None
    arguments: Json
    amount: int
    rows_count: int
    reason: str
    asked_by: UUID
    asked_at: datetime
    ends_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    decision_reason: str | None
    asker: str
    decider: str | None
    is_current: bool
    is_unfinished: bool


class New(TypedDict):
    """The columns of a new request."""

    id: UUID
    key: str
    kind: Approvable
    subject: str
    subscription_id: UUID | None
    customer_id: str | None
    arguments: Json
    amount: int
    rows_count: int
    seen: int
    basis: str
    reason: str
    asked_by: UUID
    asked_at: datetime
    ends_at: datetime


_COLUMNS = columns(Approval)
_BY_ID = f"SELECT {_COLUMNS} FROM approvals WHERE id = :id"  # noqa: S608 - constants of ours
_LISTED = columns(
    Listed, "a", asker="asker.name", decider="decider.name", is_current=IS_CURRENT,
    # By key for each row: with NOT EXISTS the planner may read all keys once.
    is_unfinished="""(a.kind = 'bulk' AND a.status = 'approved' AND (
        SELECT key FROM commands WHERE key = 'api:console/' || a.key) IS NULL)""",
)  # fmt: skip
_PEOPLE = f"""SELECT {_LISTED} FROM approvals a JOIN people asker ON asker.id = a.asked_by
    LEFT JOIN people decider ON decider.id = a.decided_by"""  # noqa: S608 - the same


def add(connection: Connection, row: New) -> bool:
    """Insert a request; False when its key exists, or the subject has an open one."""
    names = list(New.__annotations__)
    places = ", ".join(
        "CAST(:arguments AS jsonb)" if name == "arguments" else f":{name}" for name in names
    )
    statement = text(
        f"INSERT INTO approvals ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names of ours
        " ON CONFLICT DO NOTHING RETURNING id"
    )
    values: dict[str, Any] = {**row, "arguments": json.dumps(row["arguments"])}
    return connection.execute(statement, values).first() is not None


def one(connection: Connection, approval_id: UUID) -> Approval | None:
    """Read a request."""
    return at_most_one(Approval, connection.execute(text(_BY_ID), {"id": approval_id}))


def lock(connection: Connection, approval_id: UUID) -> Approval | None:
    """Lock and read a request."""
    statement = text(f"{_BY_ID} FOR UPDATE")
    return at_most_one(Approval, connection.execute(statement, {"id": approval_id}))


def of_key(connection: Connection, key: str) -> UUID | None:
    """Return the request that was made with an idempotency key."""
    statement = text("SELECT id FROM approvals WHERE key = :key")
    found = connection.execute(statement, {"key": key}).scalar_one_or_none()
    return None if found is None else UUID(str(found))


def open_of(connection: Connection, subject: str, kind: Approvable) -> UUID | None:
    """Return the open request of an action on one subject."""
    statement = text(
        "SELECT id FROM approvals WHERE subject = :subject AND kind = :kind AND status = 'open'"
    )
    found = connection.execute(statement, {"subject": subject, "kind": kind}).scalar_one_or_none()
    return None if found is None else UUID(str(found))


def decide(
    connection: Connection,
    approval_id: UUID,
    status: ApprovalStatus,
    at: datetime,
    person_id: UUID | None,
    reason: str | None,
) -> None:
    """Store how a request ended; without a person when it ended by itself."""
    statement = text(
        "UPDATE approvals SET status = :status, decided_at = :at, decided_by = :person_id,"
        " decision_reason = :reason WHERE id = :id"
    )
    values = {"id": approval_id, "status": status, "at": at, "person_id": person_id,
              "reason": reason}  # fmt: skip
    connection.execute(statement, values)


def lock_ended(connection: Connection, now: datetime, limit: int) -> list[Approval]:
    """Lock open requests whose time is over, except those that another session decides."""
    statement = text(
        f"SELECT {_COLUMNS} FROM approvals WHERE status = 'open' AND ends_at <= :now"  # noqa: S608 - constants of ours
        " ORDER BY asked_at LIMIT :limit FOR UPDATE SKIP LOCKED"
    )
    return every(Approval, connection.execute(statement, {"now": now, "limit": limit}))


def people(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Person]:
    """Read people, and keep their roles as they are until the end of the transaction."""
    statement = text(f"SELECT {PERSON} FROM people p WHERE id = ANY(:ids) ORDER BY id FOR SHARE")  # noqa: S608 - a constant of ours
    found = every(Person, connection.execute(statement, {"ids": list(ids)}))
    return {each.id: each for each in found}


def was_prepared(connection: Connection, row: Approval | Listed, person_id: UUID) -> bool:
    """Whether a person was created or got other access after a request was made."""
    statement = text("""
        SELECT EXISTS (SELECT 1 FROM events WHERE at >= :asked_at
            AND kind IN ('person.created', 'person.enabled', 'person.password_changed',
                'person.role_changed', 'person.second_factor_set', 'person.second_factor_removed')
            AND actor NOT IN ('scheduler', 'gateway') AND data->>'person' = :person
            AND id > coalesce((SELECT id FROM events WHERE kind = 'approval.requested'
                AND actor NOT IN ('scheduler', 'gateway') AND at = :asked_at
                AND data->>'approval' = :approval LIMIT 1), 0))
    """)
    values = {"asked_at": row.asked_at, "person": str(person_id), "approval": str(row.id)}
    return bool(connection.execute(statement, values).scalar_one())


def waiting(connection: Connection, now: datetime, limit: int) -> list[Listed]:
    """Read the open requests that can still be decided, oldest first."""
    statement = text(
        f"{_PEOPLE} WHERE a.status = 'open' AND a.ends_at > :now ORDER BY a.asked_at LIMIT :limit"
    )
    return every(Listed, connection.execute(statement, {"now": now, "limit": limit}))


def ended(connection: Connection, now: datetime, limit: int) -> list[Listed]:
    """Read the newest requests that have ended, newest first."""
    statement = text(
        f"{_PEOPLE} WHERE a.status <> 'open' OR a.ends_at <= :now"
        " ORDER BY a.asked_at DESC, a.id DESC LIMIT :limit"
    )
    return every(Listed, connection.execute(statement, {"now": now, "limit": limit}))


def shown(connection: Connection, approval_id: UUID) -> Listed | None:
    """Read one request as it is shown."""
    statement = text(f"{_PEOPLE} WHERE a.id = :id")
    return at_most_one(Listed, connection.execute(statement, {"id": approval_id}))


def newest_of_invoice(connection: Connection, subscription_id: UUID, invoice_id: UUID) -> int:
    """Return the newest event of an invoice that can change what is refunded of it, or 0."""
    statement = text(f"SELECT {NEWEST.format(':subscription', ':invoice')}")
    values = {"subscription": subscription_id, "invoice": invoice_id}
    return int(connection.execute(statement, values).scalar_one())


def refunded_since(connection: Connection, subscription_id: UUID, since: datetime) -> int:
    """Add up what people had refunded of a subscription since an instant.

    What was paid for a void invoice, or twice, is refunded automatically; what a person asks for
    of it counts too.
    """
    statement = text("""
        SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r JOIN invoices i
            ON i.id = r.invoice_id
        WHERE i.subscription_id = :id AND r.created_at > :since
            AND (r.purpose IN ('operator', 'cancel') OR EXISTS (
                SELECT 1 FROM events e JOIN people p ON p.name = e.actor
                WHERE e.subscription_id = :id AND e.kind = 'refund.requested'
                    AND e.data->>'refund' = CAST(r.id AS text)))
    """)
    values = {"id": subscription_id, "since": since}
    return int(connection.execute(statement, values).scalar_one())


def customer_of(connection: Connection, subscription_id: UUID) -> str:
    """Return the customer of a subscription."""
    statement = text("SELECT customer_id FROM subscriptions WHERE id = :id")
    return str(connection.execute(statement, {"id": subscription_id}).scalar_one())

"""Statements of the console's pages of one subscription or invoice.

Each finds its rows by an index. What lists and commands read too is in `listing`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.waiting import Brakes
from billing.store.queries import listing
from billing.store.queries.listing_rows import Event
from billing.store.selecting import every
from billing.store.statements import text

_OF_INVOICE = """(SELECT * FROM events
    WHERE subscription_id = :subscription AND invoice_id = :invoice
    ORDER BY id DESC LIMIT :limit)"""


def events_of_invoice(
    connection: Connection, subscription_id: UUID, invoice_id: UUID, limit: int
) -> list[Event]:
    """Read the newest events of an invoice and its charges, newest first."""
    values = {"subscription": subscription_id, "invoice": invoice_id, "limit": limit}
    statement = f"{listing.EVENTS.format(_OF_INVOICE)} ORDER BY e.id DESC"
    return every(Event, connection.execute(text(statement), values))


CHANGES = "NOT starts_with({}kind, 'approval.')"
"""Which events change something: a request for approval changes neither money nor dates."""


class Turn(NamedTuple):
    """An event with which a span of a subscription's life begins or ends."""

    kind: str
    at: datetime
    actor: str
    reason: str | None


class About(NamedTuple):
    """What a page says beside its row: the customer's name, whether charging is stopped.

    `turns` are the newest events of the wanted kinds, newest first.
    """

    customer_name: str
    stopped_at: datetime | None
    brakes: Brakes
    turns: list[Turn]


def about(connection: Connection, subscription_id: UUID, kinds: Sequence[str] = ()) -> About:
    """Read what the pages of a subscription and its invoices say beside it."""
    statement = text("""
        SELECT c.name, e.stopped_at, e.stopped_reason,
            coalesce(e.resting_until > clock_timestamp(), false),
            t.kinds, t.ats, t.actors, t.reasons
        FROM subscriptions s JOIN customers c ON c.id = s.customer_id CROSS JOIN engine e
        CROSS JOIN LATERAL (
            SELECT array_agg(kind ORDER BY id DESC) AS kinds,
                   array_agg(at ORDER BY id DESC) AS ats,
                   array_agg(actor ORDER BY id DESC) AS actors,
                   array_agg(reason ORDER BY id DESC) AS reasons
            FROM (SELECT id, kind, at, actor, reason FROM events WHERE subscription_id = s.id
                    AND kind = ANY(CAST(:kinds AS text[])) ORDER BY id DESC LIMIT 50) AS newest
        ) AS t
        WHERE s.id = :id
    """)
    values = {"id": subscription_id, "kinds": list(kinds)}
    name, stopped_at, reason, resting, *found = connection.execute(statement, values).one()
    turns = [Turn(*each) for each in zip(*(column or () for column in found), strict=True)]
    brakes = Brakes(stopped_at is not None, reason, resting)
    return About(name, stopped_at, brakes, turns)


def newest_event(connection: Connection, subscription_id: UUID) -> int:
    """Return the id of a subscription's newest event, or 0: each change of it has one."""
    statement = text(
        f"SELECT id FROM events WHERE subscription_id = :id AND {CHANGES.format('')}"  # noqa: S608 - a constant of ours
        " ORDER BY subscription_id DESC, id DESC LIMIT 1"
    )
    found = connection.execute(statement, {"id": subscription_id}).scalar_one_or_none()
    return int(found or 0)


def has_changed(
    connection: Connection, subscription_id: UUID, seen: int, *, besides_charge: UUID
) -> bool:
    """Whether a subscription has a later event than `seen`, besides what happened to a charge.

    A request for approval changes nothing.
    """
    statement = text(
        "SELECT EXISTS (SELECT 1 FROM events WHERE subscription_id = :id AND id > :seen"  # noqa: S608 - a constant of ours
        f" AND {CHANGES.format('')}"
        " AND NOT (charge_id IS NOT DISTINCT FROM :charge AND kind LIKE 'charge.%'))"
    )
    values = {"id": subscription_id, "seen": seen, "charge": besides_charge}
    return bool(connection.execute(statement, values).scalar_one())


def invoice_of_charge(connection: Connection, charge_id: UUID) -> UUID | None:
    """Return the invoice of a charge."""
    statement = text("SELECT invoice_id FROM charges WHERE id = :id")
    return _id(connection.execute(statement, {"id": charge_id}).scalar_one_or_none())


def invoice_of_refund(connection: Connection, refund_id: UUID) -> UUID | None:
    """Return the invoice of the charge that a refund belongs to."""
    statement = text("SELECT invoice_id FROM refunds WHERE id = :id")
    return _id(connection.execute(statement, {"id": refund_id}).scalar_one_or_none())


def is_key_used(connection: Connection, key: str) -> bool:
    """Whether a command with this idempotency key was done."""
    statement = text("SELECT EXISTS (SELECT 1 FROM commands WHERE key = :key)")
    return bool(connection.execute(statement, {"key": key}).scalar_one())


def _id(value: object) -> UUID | None:
    return None if value is None else UUID(str(value))

"""Statements of the console's page of one customer: few, for all that it shows.

Each finds its rows by an index of the customer or of its subscriptions. What lists and commands
read too is in `listing`.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.store.queries import listing
from billing.store.queries.listing_rows import Customer, Event, Invoice, Subscription, Wallet
from billing.store.selecting import columns, every, of_values
from billing.store.statements import text


class Moved(NamedTuple):
    """A charge, a refund or a credit; `words` say why, as far as anything is known."""

    kind: str
    id: str
    at: datetime
    amount: int
    status: str
    words: list[str | None]
    gateway_number: str
    invoice: UUID | None


_OF_CHARGE = {
    "kind": "'charge'", "id": "CAST(id AS text)", "at": "created_at", "invoice": "invoice_id",
    "words": "ARRAY[fault, CASE WHEN code IS DISTINCT FROM fault THEN code END, message]",
}  # fmt: skip
_OF_REFUND = {
    "kind": "'refund'", "id": "CAST(id AS text)", "at": "created_at", "invoice": "invoice_id",
    "words": "ARRAY[reason, code, message]", "gateway_number": "''",
}  # fmt: skip
_OF_CREDIT = {
    "kind": "'credit'", "id": "CAST(id AS text)", "at": "created_at", "invoice": "invoice_id",
    "status": "''", "words": "ARRAY[reason]", "gateway_number": "''",
}  # fmt: skip
_CUSTOMER = f"""SELECT {columns(Customer)}, (SELECT stopped_at FROM engine)
    FROM ({listing.CUSTOMERS.format("customers")}) AS found WHERE id = :id"""  # noqa: S608 - a constant of ours
_MOVED = f"""
    (SELECT {columns(Moved, **_OF_CHARGE)} FROM charges WHERE customer_id = :customer
        ORDER BY created_at DESC, attempt DESC, id DESC LIMIT :limit)
    UNION ALL (SELECT {columns(Moved, **_OF_REFUND)} FROM refunds WHERE customer_id = :customer
        ORDER BY created_at DESC, sequence DESC, id DESC LIMIT :limit)
    UNION ALL (SELECT {columns(Moved, **_OF_CREDIT)} FROM credits WHERE customer_id = :customer
        ORDER BY id LIMIT :limit)"""  # noqa: S608 - the same


def customer(connection: Connection, customer_id: str) -> tuple[Customer, datetime | None] | None:
    """Read a customer, and since when charging is stopped."""
    row = connection.execute(text(_CUSTOMER), {"id": customer_id}).one_or_none()
    return None if row is None else (of_values(Customer, row[:-1]), row[-1])


def movements(connection: Connection, customer_id: str, limit: int) -> list[Moved]:
    """Read the newest charges and refunds, and the oldest credits: at most `limit` of each."""
    values = {"customer": customer_id, "limit": limit}
    return every(Moved, connection.execute(text(_MOVED), values))


def wallets(connection: Connection, customer_id: str, limit: int) -> list[Wallet]:
    """Read a customer's wallets, newest first."""
    statement = f"""{listing.WALLETS.format("wallets")} WHERE w.customer_id = :customer
        ORDER BY w.created_at DESC, w.id DESC LIMIT :limit"""
    values = {"customer": customer_id, "limit": limit}
    return every(Wallet, connection.execute(text(statement), values))


def events(connection: Connection, customer_id: str, limit: int) -> list[Event]:
    """Read the newest events of a customer and of its subscriptions, newest first."""
    newest = """(SELECT * FROM events WHERE id IN (
            SELECT id FROM events WHERE subscription_id IN
                (SELECT id FROM subscriptions WHERE customer_id = :customer)
            UNION ALL SELECT id FROM events
            WHERE customer_id = :customer AND subscription_id IS NULL)
        ORDER BY at DESC, id DESC LIMIT :limit)"""
    statement = f"{listing.EVENTS.format(newest)} ORDER BY e.at DESC, e.id DESC"
    values = {"customer": customer_id, "limit": limit}
    return every(Event, connection.execute(text(statement), values))


def subscriptions(
    connection: Connection, customer_id: str, limit: int, running_limit: int
) -> list[Subscription]:
    """Read a customer's newest subscriptions, and the newest that have not ended, newest first."""
    chosen = """(SELECT * FROM subscriptions WHERE id IN (
            (SELECT id FROM subscriptions WHERE customer_id = :customer
                ORDER BY created_at DESC, id DESC LIMIT :limit)
            UNION (SELECT id FROM subscriptions WHERE customer_id = :customer
                AND ended_at IS NULL ORDER BY created_at DESC, id DESC LIMIT :running_limit)))"""
    statement = f"{listing.SUBSCRIPTIONS.format(chosen)} ORDER BY s.created_at DESC, s.id DESC"
    values = {"customer": customer_id, "limit": limit, "running_limit": running_limit}
    return every(Subscription, connection.execute(text(statement), values))


class Owed(NamedTuple):
    """An invoice that is owed, and why and when its newest charge was declined, if it was."""

    invoice: Invoice
    has_ended: bool  # its subscription
    fault: str | None
    declined_at: datetime | None


class Ending(NamedTuple):
    """A subscription that has ended, or whose end is planned, and who caused that and why.

    For one that ended as planned it is who planned it.
    """

    subscription: UUID
    plan: str
    status: str
    at: datetime
    by: str | None
    reason: str | None


# The scheduler repeats the reason of the plan that it carries out.
_ENDINGS = """
    SELECT s.id, s.plan_code, s.status, s.at,
           CASE WHEN p.kind = 'subscription.cancel_scheduled' AND (e.actor IS NULL
                    OR e.actor = 'scheduler' AND p.reason IS NOT DISTINCT FROM e.reason)
                THEN p.actor ELSE e.actor END,
           CASE WHEN e.actor IS NULL THEN p.reason ELSE e.reason END
    FROM (SELECT id, plan_code, status, coalesce(ended_at, cancel_at) AS at
          FROM subscriptions
          WHERE customer_id = :customer AND coalesce(ended_at, cancel_at) IS NOT NULL
          ORDER BY coalesce(ended_at, cancel_at) DESC, id DESC LIMIT :limit) AS s
    LEFT JOIN LATERAL (SELECT actor, reason FROM events e
        WHERE e.subscription_id = s.id
            AND e.kind IN ('subscription.canceled', 'subscription.completed')
        ORDER BY e.id DESC LIMIT 1) AS e ON true
    LEFT JOIN LATERAL (SELECT kind, actor, reason FROM events e
        WHERE e.subscription_id = s.id
            AND e.kind IN ('subscription.cancel_scheduled', 'subscription.cancel_withdrawn',
                           'subscription.cancel_dropped')
        ORDER BY e.id DESC LIMIT 1) AS p ON true
    ORDER BY s.at DESC, s.id DESC"""


def endings(connection: Connection, customer_id: str, limit: int) -> list[Ending]:
    """Read the latest ends of a customer's subscriptions, with those that are planned."""
    found = connection.execute(text(_ENDINGS), {"customer": customer_id, "limit": limit})
    return every(Ending, found)


_OWED = f"""SELECT {columns(Invoice, "found")}, s.ended_at IS NOT NULL, last.fault, last.created_at
    FROM ({listing.INVOICES.format("invoices")} WHERE s.customer_id = :customer
            AND i.status IN ('open', 'uncollectible')
        ORDER BY i.status <> 'open', i.period_index, i.change_index, i.id LIMIT :limit) AS found
    JOIN subscriptions s ON s.id = found.subscription
    LEFT JOIN LATERAL (SELECT status, fault, created_at FROM charges c
        WHERE c.invoice_id = found.id ORDER BY c.attempt DESC LIMIT 1) AS last
        ON last.status = 'declined'
    ORDER BY found.status <> 'open', found.period_index, found.change_index, found.id"""  # noqa: S608 - the same


def owed(connection: Connection, customer_id: str, limit: int) -> list[Owed]:
    """Read a customer's open invoices, and then uncollectible ones, the oldest period first."""
    values = {"customer": customer_id, "limit": limit}
    more = len(Owed._fields) - 1
    return [
        Owed(of_values(Invoice, row[:-more]), *row[-more:])
        for row in connection.execute(text(_OWED), values)
    ]

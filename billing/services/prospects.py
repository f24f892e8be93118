"""Prospects: what a thing waits for, and what a person can do about it.

The read side's part that looks ahead. It changes nothing and asks no gateway.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import ways_out
from billing.domain.invoice import InvoiceStatus
from billing.domain.subscription import OPENING, SubscriptionStatus
from billing.domain.waiting import waits_for
from billing.domain.ways_out import State, Ways
from billing.store.queries import prospects
from billing.store.queries.prospects import Outlook

Shown = dict[str, Any]


def ways(table: Mapping[State, Ways], status: str, **names: object) -> list[Shown]:
    """What a person can do, as programs read it."""
    return [way._asdict() for way in ways_out.of(table, status, **names)]


def of_invoices(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> dict[UUID, Shown]:
    """What each of some invoices waits for, if it is open, and the ways out of its state."""
    known = prospects.standings(connection, [row["id"] for row in rows]) if rows else {}
    return {
        row["id"]: {
            "waits_for": waits_for(*known[row["id"]]) if row["id"] in known else None,
            "ways_out": ways(ways_out.INVOICE, row["status"], invoice=row["id"]),
        }
        for row in rows
    }


def of_subscription(
    connection: Connection, row: Mapping[Any, Any], invoices: Sequence[Shown]
) -> Shown:
    """The same of a subscription, whose `invoices` are shown beside it; and how much befell it."""
    outlook = prospects.outlook(connection, row["id"])
    return {
        "waits_for": _waits_for(row, outlook, invoices),
        "ways_out": ways(
            ways_out.SUBSCRIPTION, row["status"],
            subscription=row["id"], customer=row["customer"], invoice=outlook.oldest_debt,
        ),
        "events": outlook.events,
    }  # fmt: skip


def _waits_for(row: Mapping[Any, Any], outlook: Outlook, invoices: Sequence[Shown]) -> str | None:
    if row["held_why"] is not None:
        return f"a person, because it is held: {row['held_why']}"
    if row["status"] == SubscriptionStatus.PENDING:
        return "a linked wallet"
    first = next((each for each in invoices if each["status"] == InvoiceStatus.OPEN), None)
    if first is not None:
        return None if first["waits_for"] is None else str(first["waits_for"])
    if row["status"] in OPENING and outlook.due_to_open:
        return "the next tick, which opens the period that has begun"
    return "its end, once what began before it is settled" if outlook.due_to_end else None

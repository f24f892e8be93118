"""Cutting: a paid period that ends early, and its unused days, which become the customer's credit.

Whatever begins a new period before the running one is over comes through here. It decides
nothing about the new period.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from billing.domain.events import Actor
from billing.domain.invoice import InvoiceStatus
from billing.domain.money import prorate
from billing.domain.periods import unused_days, zone_of
from billing.services import crediting, moving
from billing.store.queries import invoices


def cut(connection: Connection, row: Mapping[Any, Any], at: datetime, by: Actor, why: str) -> int:
    """End the running period at an instant, and return the rupiah of its unused days.

    They become the customer's credit, as far as they were paid. An invoice of the period that
    was given up is void: it would be for days that nobody had.
    """
    current = invoices.current_of(connection, row["id"], at)
    if current is None:
        return 0
    unused, whole = unused_days(current["period_start"], current["period_end"], at, zone_of(row))
    worth = prorate(row["period_amount"] or 0, unused, whole) if whole else 0
    credited = give(connection, row, current, worth, why, by, at)
    of_it = invoices.of_period(connection, row["id"], current["period_index"])
    given_up = [each for each in of_it if each["status"] == InvoiceStatus.UNCOLLECTIBLE]
    moving.close_all(connection, given_up, InvoiceStatus.VOID, why, by, at)
    invoices.cut_short(connection, row["id"], at)
    return credited


def give(
    connection: Connection,
    row: Mapping[Any, Any],
    current: Mapping[Any, Any],
    amount: int,
    why: str,
    by: Actor,
    now: datetime,
) -> int:
    """Credit up to `amount` of what is kept of a period, from its newest invoice to its oldest."""
    left = amount
    for source in invoices.of_period(connection, row["id"], current["period_index"]):
        part = min(left, source["kept"])
        if part > 0:
            crediting.give(connection, source, part, why, by, now)
            left -= part
    return amount - left

"""Statements about the running subscriptions of plans, for the page Catalogue.

A count stops at a limit, so that a page costs the same with a million subscriptions.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from billing.store.queries import listing
from billing.store.queries.listing_rows import Event
from billing.store.selecting import every
from billing.store.statements import text


class Running(NamedTuple):
    """A plan, how many subscriptions run on it, and how many change to it later."""

    code: str
    running: int
    coming: int


def of_plans(connection: Connection, codes: Sequence[str], most: int) -> dict[str, Running]:
    """Count the running subscriptions of plans, each up to `most`."""
    statement = text("""
        SELECT k.code, (SELECT count(*) FROM (SELECT 1 FROM subscriptions s
                WHERE s.plan_code = k.code AND s.ended_at IS NULL LIMIT :most) AS few),
            (SELECT count(*) FROM (SELECT 1 FROM subscriptions s
                WHERE s.next_plan_code = k.code AND s.next_plan_code IS NOT NULL
                  AND s.next_due_at IS NOT NULL LIMIT :most) AS few)
        FROM unnest(CAST(:codes AS text[])) AS k (code)
    """)
    found = connection.execute(statement, {"codes": list(codes), "most": most})
    return {row[0]: Running._make(row) for row in found}


def events_of_plan(connection: Connection, code: str) -> list[Event]:
    """Read who created and archived a plan: each plan has at most these two events."""
    chosen = """(SELECT * FROM events WHERE kind IN ('plan.created', 'plan.archived')
        AND data->>'plan' = :code)"""
    statement = text(f"{listing.EVENTS.format(chosen)} ORDER BY e.id DESC")
    return every(Event, connection.execute(statement, {"code": code}))

"""Statements about notices: which charges must be announced, and that they were.

The plan of the charge decides: after a planned change that is the next plan. A notice is exact, so
that SQL adds it to an instant. Without a plan that has a notice, no subscription is read. A notice
that cannot be read, which a CHECK excludes, announces nothing, and stops no other plan.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.store.expressions import is_notice
from billing.store.queries.subscriptions import MAY_OPEN
from billing.store.rows import as_array
from billing.store.selecting import every
from billing.store.statements import text

_AHEAD = f"""CASE WHEN {is_notice("p.notice")} THEN
    make_interval(secs => CAST(extract(epoch FROM CAST(p.notice AS interval)) AS float8)) END"""
_TURNS = "(s.change_at IS NOT NULL AND s.change_at <= s.next_due_at)"
_MOVED = "s.notice_due_at <> s.next_due_at"
_OF_PLAN = f"""s.plan_code = p.code AND (s.notice_for <= s.next_period_index OR {_MOVED})
    AND s.next_due_at IS NOT NULL AND {MAY_OPEN} AND NOT {_TURNS}"""
_OF_NEXT_PLAN = f"""s.next_plan_code = p.code AND s.next_plan_code IS NOT NULL
    AND s.next_due_at IS NOT NULL AND {MAY_OPEN} AND {_TURNS}
    AND (coalesce(s.notice_for, 0) <= s.next_period_index OR {_MOVED})"""
NOTICES = " UNION ALL ".join(
    f"""SELECT d.next_due_at - {_AHEAD} AS at FROM plans p CROSS JOIN LATERAL (
        SELECT s.next_due_at FROM subscriptions s WHERE {of}
        ORDER BY s.next_due_at LIMIT 1) AS d WHERE p.notice IS NOT NULL"""  # noqa: S608 - constants of ours
    for of in (_OF_PLAN, _OF_NEXT_PLAN)
)
"""The earliest instant of a notice, for each plan."""
_DUE = " UNION ALL ".join(
    f"""SELECT d.id, d.next_due_at FROM plans p CROSS JOIN LATERAL (
        SELECT s.id, s.next_due_at FROM subscriptions s
        WHERE {of} AND s.next_due_at > :now AND s.next_due_at <= :now + {_AHEAD}
        ORDER BY s.next_due_at LIMIT :limit) AS d WHERE p.notice IS NOT NULL"""  # noqa: S608 - the same
    for of in (_OF_PLAN, _OF_NEXT_PLAN)
)


class Announced(NamedTuple):
    """A locked subscription whose next charge is to be announced, and the plan of that charge."""

    id: UUID
    plan: str
    period_index: int
    due_at: datetime


def due(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find subscriptions whose next charge must be announced, the earliest charge first.

    A charge that is due already is not announced any more.
    """
    statement = text(f"SELECT id FROM ({_DUE}) AS due ORDER BY next_due_at, id LIMIT :limit")  # noqa: S608 - the same
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars())


def lock(connection: Connection, ids: Sequence[UUID], now: datetime) -> list[Announced]:
    """Lock those that must still be announced; one that another session has locked is left out."""
    statement = text(f"""
        SELECT s.id, p.code AS plan, s.next_period_index, s.next_due_at
        FROM subscriptions s JOIN plans p
            ON p.code = CASE WHEN {_TURNS} THEN s.next_plan_code ELSE s.plan_code END
        WHERE s.id = ANY(CAST(:ids AS uuid[])) AND {MAY_OPEN}
          AND (coalesce(s.notice_for, 0) <= s.next_period_index OR {_MOVED})
          AND s.next_due_at > :now AND s.next_due_at <= :now + {_AHEAD}
        ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
    """)  # noqa: S608 - the same
    return every(Announced, connection.execute(statement, {"ids": as_array(ids), "now": now}))


def mark(connection: Connection, ids: Sequence[UUID]) -> None:
    """Record that the next charge of these locked subscriptions was announced."""
    statement = text(
        "UPDATE subscriptions SET notice_for = next_period_index + 1, notice_due_at = next_due_at"
        " WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
    connection.execute(statement, {"ids": as_array(ids)})


class Promise(NamedTuple):
    """Credit that will pay a charge which was announced and is not opened yet."""

    customer_id: str
    due_at: datetime
    credited: int


def promises(connection: Connection, customers: Sequence[str]) -> list[Promise]:
    """Read what the announced charges of these customers will take of their credit."""
    statement = text(f"""
        SELECT s.customer_id, s.next_due_at AS due_at,
               CAST(e.data->>'credited' AS bigint) AS credited
        FROM subscriptions s JOIN events e
            ON e.kind = 'invoice.upcoming' AND e.subscription_id = s.id
            AND e.data->'period_index' = to_jsonb(s.next_period_index)
            AND CAST(e.data->>'charge_at' AS timestamptz) = s.next_due_at
        WHERE s.customer_id = ANY(CAST(:customers AS text[])) AND {MAY_OPEN}
          AND s.notice_due_at = s.next_due_at AND s.notice_for > s.next_period_index
    """)  # noqa: S608 - constants of ours
    found = connection.execute(statement, {"customers": list(customers)})
    return every(Promise, found)


def customer_of(connection: Connection, subscription_id: UUID) -> str:
    """Read whose subscription it is."""
    statement = text("SELECT customer_id FROM subscriptions WHERE id = :id")
    return str(connection.execute(statement, {"id": subscription_id}).scalar_one())

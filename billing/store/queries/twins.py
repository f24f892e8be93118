"""Statements about twins: subscriptions of one customer to one plan, and what both took.

A subscription's plan is the one that it has now.
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.store.statements import text


class Twins(NamedTuple):
    """Two or more subscriptions of a customer to one plan.

    `periods` were paid by charges while another of them had paid for the same time; the amounts
    are of their charges.
    """

    plan: str
    subscriptions: list[UUID]
    live: int
    periods: int
    amount_taken: int
    amount_refunded: int
    amount_refunding: int


def of_customer(connection: Connection, customer_id: str) -> list[Twins]:
    """The plans that a customer has twice, or paid for twice at the same time.

    A subscription's own periods do not overlap, so that whatever begins before the latest end
    seen so far was paid by another one. What ended before its period did counts until then.
    """
    statement = text("""
        WITH mine AS (
            SELECT id, plan_code, ended_at, created_at FROM subscriptions s
            WHERE customer_id = :customer AND 1 < (SELECT count(*) FROM subscriptions o
                WHERE o.customer_id = s.customer_id AND o.plan_code = s.plan_code)
        ), paid AS (
            SELECT m.id, m.plan_code, c.id AS charge_id, c.amount, i.period_start,
                   max(least(i.period_end, coalesce(m.ended_at, i.period_end))) OVER (
                       PARTITION BY m.plan_code ORDER BY i.period_start, i.id
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS paid_until
            FROM mine m JOIN invoices i ON i.subscription_id = m.id AND i.change_index = 0
            JOIN charges c ON c.invoice_id = i.id AND c.status = 'succeeded' AND NOT c.surplus
        ), twice AS (
            SELECT plan_code, count(*) AS periods, sum(amount) AS taken,
                   sum(r.returned) AS returned, sum(r.on_its_way) AS on_its_way
            FROM paid CROSS JOIN LATERAL (
                SELECT coalesce(sum(amount) FILTER (
                    WHERE status IN ('succeeded', 'returned_elsewhere')), 0) AS returned,
                       coalesce(sum(amount) FILTER (
                           WHERE status IN ('requested', 'in_flight', 'unknown')), 0) AS on_its_way
                FROM refunds WHERE charge_id = paid.charge_id) AS r
            WHERE period_start < paid_until GROUP BY 1)
        SELECT m.plan_code,
               CASE WHEN count(*) FILTER (WHERE m.ended_at IS NULL) > 1
                    THEN array_agg(m.id ORDER BY m.created_at, m.id)
                         FILTER (WHERE m.ended_at IS NULL)
                    ELSE array_agg(m.id ORDER BY m.created_at, m.id) END AS subscriptions,
               count(*) FILTER (WHERE m.ended_at IS NULL) AS live,
               coalesce(t.periods, 0), CAST(coalesce(t.taken, 0) AS bigint),
               CAST(coalesce(t.returned, 0) AS bigint), CAST(coalesce(t.on_its_way, 0) AS bigint)
        FROM mine m LEFT JOIN twice t ON t.plan_code = m.plan_code
        GROUP BY m.plan_code, t.periods, t.taken, t.returned, t.on_its_way
        HAVING count(*) FILTER (WHERE m.ended_at IS NULL) > 1 OR t.periods IS NOT NULL
        ORDER BY 1
    """)
    return [Twins(*row) for row in connection.execute(statement, {"customer": customer_id})]

"""Statements about twins: subscriptions of one customer to one plan, and what each was charged.

An invoice belongs to the plan that its subscription had when it was opened, not to the plan that it
has now. The events record which plan it was.
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.store.statements import text


class Twins(NamedTuple):
    """Two or more subscriptions of a customer to one plan.

    `periods_count` periods were paid by charges although another of them had paid for the same
    time. For `periods_kept_count` of them neither payment was refunded in full. `amount_taken`
    counts the later charges; a refund may belong to either charge.
    """

    plan: str
    subscriptions: list[UUID]
    live_count: int
    periods_count: int
    periods_kept_count: int
    amount_taken: int
    amount_refunded: int
    amount_refunding: int


_TWINS = text("""
    WITH mine AS (
        SELECT id, plan_code, ended_at, created_at FROM subscriptions
        WHERE customer_id = :customer
    ), named AS (
        SELECT e.subscription_id, e.id, e.at,
               coalesce(e.data->>'plan', m.plan_code) AS plan_code,
               lead(e.id) OVER later AS left_id, lead(e.at) OVER later AS left_at
        FROM mine m JOIN events e ON e.subscription_id = m.id
        WHERE e.kind IN (
            'subscription.created', 'subscription.imported', 'subscription.changed')
        WINDOW later AS (PARTITION BY e.subscription_id ORDER BY e.id)
    ), served AS (
        SELECT m.id, n.plan_code, c.id AS charge_id, c.amount, r.returned, r.on_its_way,
               greatest(n.id, o.id) AS came_id, n.left_id, n.left_at,
               CASE WHEN n.id > o.id THEN n.at ELSE i.period_start END AS starts,
               least(i.period_end, m.ended_at) AS ends
        FROM mine m JOIN invoices i ON i.subscription_id = m.id AND i.change_index = 0
        JOIN charges c ON c.invoice_id = i.id AND c.status = 'succeeded' AND NOT c.surplus
        JOIN events o ON o.subscription_id = m.id AND o.invoice_id = i.id
            AND o.kind = 'invoice.opened'
        JOIN named n ON n.subscription_id = m.id AND (n.left_id IS NULL OR n.left_id > o.id)
            AND (n.id < o.id OR n.at < i.period_end)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (
                WHERE status IN ('succeeded', 'returned_elsewhere')), 0) AS returned,
                   coalesce(sum(amount) FILTER (
                       WHERE status IN ('requested', 'in_flight', 'unknown')), 0) AS on_its_way
            FROM refunds WHERE charge_id = c.id) AS r
        WHERE n.plan_code IN (
            SELECT plan_code FROM named GROUP BY 1 HAVING count(DISTINCT subscription_id) > 1)
    ), pairs AS (
        SELECT l.plan_code, l.id, l.charge_id, l.came_id, l.amount, l.returned, l.on_its_way,
               e.id AS other_id, e.charge_id AS other_charge, e.returned AS other_returned,
               e.on_its_way AS other_on_its_way,
               l.returned < l.amount AND e.returned < e.amount AS kept
        FROM served l JOIN served e ON e.plan_code = l.plan_code AND e.id <> l.id
            AND e.came_id < l.came_id AND e.starts < l.ends
            AND l.starts < least(e.ends, CASE WHEN e.left_id < l.came_id THEN e.left_at END)
    ), firsts AS (
        -- Both may have gone on to another plan together: they are reported with the first one.
        SELECT DISTINCT ON (least(charge_id, other_charge), greatest(charge_id, other_charge))
               * FROM pairs
        ORDER BY least(charge_id, other_charge), greatest(charge_id, other_charge), came_id
    ), counted AS (
        SELECT plan_code, count(*) AS periods, sum(amount) AS taken,
               count(*) FILTER (WHERE kept) AS kept
        FROM (SELECT plan_code, charge_id, amount, bool_or(kept) AS kept
              FROM firsts GROUP BY 1, 2, 3) AS later
        GROUP BY 1
    ), back AS (
        SELECT plan_code, sum(returned) AS returned, sum(on_its_way) AS on_its_way
        FROM (SELECT plan_code, charge_id, returned, on_its_way FROM firsts
              UNION SELECT plan_code, other_charge, other_returned, other_on_its_way
              FROM firsts) AS involved
        GROUP BY 1
    ), members AS (
        SELECT plan_code, id FROM mine UNION SELECT plan_code, id FROM firsts
        UNION SELECT plan_code, other_id FROM firsts
    ), listed AS (
        SELECT g.plan_code, m.id, m.created_at,
               m.ended_at IS NULL AND m.plan_code = g.plan_code AS live
        FROM members g JOIN mine m USING (id)
    )
    SELECT s.plan_code,
           CASE WHEN count(*) FILTER (WHERE s.live) > 1
                THEN array_agg(s.id ORDER BY s.created_at, s.id) FILTER (WHERE s.live)
                ELSE array_agg(s.id ORDER BY s.created_at, s.id) END AS subscriptions,
           count(*) FILTER (WHERE s.live) AS live, coalesce(t.periods, 0), coalesce(t.kept, 0),
           CAST(coalesce(t.taken, 0) AS bigint), CAST(coalesce(b.returned, 0) AS bigint),
           CAST(coalesce(b.on_its_way, 0) AS bigint)
    FROM listed s LEFT JOIN counted t USING (plan_code) LEFT JOIN back b USING (plan_code)
    GROUP BY s.plan_code, t.periods, t.kept, t.taken, b.returned, b.on_its_way
    HAVING count(*) FILTER (WHERE s.live) > 1 OR t.periods IS NOT NULL
    ORDER BY 1
""")
"""`served` has a row for each plan of a paid period: the plan that it was opened for, and the plans
that it was changed to within it. Of two that overlap, the one whose event came later is the
additional one. A subscription that ended or changed its plan counts until then.
"""


def of_customer(connection: Connection, customer_id: str) -> list[Twins]:
    """Find the plans that a customer has twice, or paid for twice at the same time."""
    return [Twins(*row) for row in connection.execute(_TWINS, {"customer": customer_id})]

"""Statements for the forecast: streams that keep nothing in memory."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, RowMapping, TextClause

from billing.store.statements import text

FETCH = 1_000


def open_invoices(connection: Connection, until: datetime) -> Iterator[RowMapping]:
    """Open invoices that will be tried by `until`, and those behind them, earliest first."""
    statement = text("""
        SELECT i.id, i.subscription_id, i.customer_id, i.period_index,
               i.amount - i.credited AS amount,
               coalesce(i.next_attempt_at, o.next_attempt_at) AS next_attempt_at,
               i.first_failed_at IS NOT NULL AS failed, i.change_index > 0 AS of_change,
               s.first_paid_at IS NULL AS first
        FROM invoices i
        JOIN subscriptions s ON s.id = i.subscription_id
        LEFT JOIN LATERAL (SELECT next_attempt_at FROM invoices o
            WHERE o.subscription_id = i.subscription_id AND o.status = 'open'
              AND o.next_attempt_at IS NOT NULL
            ORDER BY o.period_index, o.change_index LIMIT 1) AS o ON true
        WHERE i.status = 'open' AND i.blocked_on IS DISTINCT FROM 'wallet'
          AND coalesce(i.next_attempt_at, o.next_attempt_at) <= :until
        ORDER BY coalesce(i.next_attempt_at, o.next_attempt_at), i.period_index, i.change_index
    """)
    return _streamed(connection, statement, {"until": until})


def subscriptions(connection: Connection, until: datetime) -> Iterator[RowMapping]:
    """Subscriptions with a period that begins by `until`, earliest first, then paused ones."""
    columns = """
        SELECT s.id AS subscription_id, s.customer_id, s.status, s.amount, s.anchor_local,
               s.anchor_index, s.next_period_index, s.next_due_at, s.first_paid_at, s.cancel_at,
               s.pause_at, s.resume_at, s.change_at, s.next_plan_code, s.next_quantity,
               s.next_amount, s.extras, s.coupon_code, s.coupon_left,
               k.percent AS coupon_percent, k.rupiah AS coupon_rupiah,
               p.every, p.cron, p.timezone, p.cycles, p.catch_up,
               n.every AS next_every, n.cron AS next_cron, n.timezone AS next_timezone,
               n.cycles AS next_cycles, n.catch_up AS next_catch_up,
               (SELECT CAST(sum(remaining) AS bigint) FROM credits c
                WHERE c.customer_id = s.customer_id AND c.remaining > 0) AS balance
        FROM subscriptions s JOIN plans p ON p.code = s.plan_code
        LEFT JOIN coupons k ON k.code = s.coupon_code
        LEFT JOIN plans n ON n.code = s.next_plan_code"""
    running = text(
        columns
        + """
        WHERE s.next_due_at <= :until AND s.status IN ('trialing', 'active', 'past_due')
        ORDER BY s.next_due_at"""
    )
    paused = text(
        columns
        + """
        WHERE s.resume_at <= :until AND s.status = 'paused' ORDER BY s.resume_at"""
    )
    yield from _streamed(connection, running, {"until": until})
    yield from _streamed(connection, paused, {"until": until})


def _streamed(
    connection: Connection, statement: TextClause, parameters: dict[str, datetime]
) -> Iterator[RowMapping]:
    # Whoever reads may be slow (a pager): the transaction is allowed to wait for it.
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    streamed = connection.execute(statement, parameters, execution_options={"yield_per": FETCH})
    yield from streamed.mappings()

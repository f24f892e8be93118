"""Statements for the forecast: streams in constant memory."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, RowMapping, TextClause

from billing.store.statements import text

FETCH = 1_000
WALLET = """(SELECT w.expires_at FROM wallets w
                WHERE w.customer_id = {of}.customer_id AND w.status = 'active') AS wallet_until"""
"""Until when the customer's wallet can be charged; NULL when none can. Looked up by key."""


def open_invoices(connection: Connection, until: datetime) -> Iterator[RowMapping]:
    """Stream open invoices attempted by `until`, earliest first, then those behind them.

    OFFSET 0 has each one's subscription looked up by its key, in the order of the index of dates:
    the first come at once, however many there are. A join read all subscriptions before that.
    """
    dated = text(f"""
        SELECT i.id, i.subscription_id, i.customer_id, i.period_index,
               i.amount - i.credited AS amount, i.next_attempt_at,
               i.first_failed_at IS NOT NULL AS failed, i.change_index > 0 AS of_change,
               s.first_paid_at IS NULL AS first, {WALLET.format(of="i")}
        FROM invoices i CROSS JOIN LATERAL
            (SELECT first_paid_at FROM subscriptions WHERE id = i.subscription_id OFFSET 0) AS s
        WHERE i.status = 'open' AND i.blocked_on IS DISTINCT FROM 'wallet'
          AND i.next_attempt_at <= :until
        ORDER BY i.next_attempt_at, i.period_index, i.change_index
    """)  # noqa: S608 - a constant of ours
    behind = text(f"""
        SELECT i.id, i.subscription_id, i.customer_id, i.period_index,
               i.amount - i.credited AS amount, o.next_attempt_at,
               i.first_failed_at IS NOT NULL AS failed, i.change_index > 0 AS of_change,
               s.first_paid_at IS NULL AS first, {WALLET.format(of="i")}
        FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
        CROSS JOIN LATERAL (SELECT next_attempt_at FROM invoices o
            WHERE o.subscription_id = i.subscription_id AND o.status = 'open'
              AND o.next_attempt_at IS NOT NULL
            ORDER BY o.period_index, o.change_index LIMIT 1) AS o
        WHERE i.status = 'open' AND i.blocked_on IS DISTINCT FROM 'wallet'
          AND i.next_attempt_at IS NULL AND o.next_attempt_at <= :until
        ORDER BY o.next_attempt_at, i.period_index, i.change_index
    """)  # noqa: S608 - the same
    for part in (dated, behind):
        yield from _streamed(connection, part, {"until": until})


def subscriptions(connection: Connection, until: datetime) -> Iterator[RowMapping]:
    """Stream subscriptions with a period by `until`, earliest first, then paused ones."""
    columns = f"""
        SELECT s.id AS subscription_id, s.customer_id, s.status, s.amount, s.anchor_local,
               s.anchor_index, s.next_period_index, s.next_due_at, s.first_paid_at, s.cancel_at,
               s.pause_at, s.resume_at, s.trial_left_seconds, s.change_at, s.next_plan_code,
               s.next_quantity, s.next_amount, s.extras, s.coupon_code, s.coupon_left,
               k.percent AS coupon_percent, k.rupiah AS coupon_rupiah,
               p.every, p.cron, p.timezone, p.cycles, p.catch_up,
               n.every AS next_every, n.cron AS next_cron, n.timezone AS next_timezone,
               n.cycles AS next_cycles, n.catch_up AS next_catch_up,
               (SELECT CAST(sum(remaining) AS bigint) FROM credits c
                WHERE c.customer_id = s.customer_id AND c.remaining > 0) AS balance,
               {WALLET.format(of="s")}
        FROM subscriptions s JOIN plans p ON p.code = s.plan_code
        LEFT JOIN coupons k ON k.code = s.coupon_code
        LEFT JOIN plans n ON n.code = s.next_plan_code"""  # noqa: S608 - the same
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

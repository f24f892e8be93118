"""Statements for the forecast: streams in constant memory."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, TextClause

from billing.domain.forecast import Upcoming
from billing.domain.subscription import OPENING
from billing.domain.terms import PlanTerms
from billing.store.expressions import listed
from billing.store.rows import as_array
from billing.store.selecting import columns, every, of_values
from billing.store.statements import text

FETCH = 1_000
WALLET = """(SELECT w.expires_at FROM wallets w
                WHERE w.customer_id = {of}.customer_id AND w.status = 'active')"""
"""Until when the customer's wallet can be charged, looked up by key; NULL without a wallet."""


class Payer(NamedTuple):
    """A subscription's customer and plan, and the wallet and credit for its invoices."""

    subscription_id: UUID
    customer_id: str
    plan_code: str
    wallet_until: datetime | None
    balance: int | None  # rupiah of credit


class OpenInvoice(NamedTuple):
    """An open invoice, its plan, the amount owed for it, and the date of its charge."""

    subscription_id: UUID
    customer_id: str
    plan_code: str
    wallet_until: datetime | None
    period_index: int
    amount: int
    next_attempt_at: datetime
    failed: bool
    of_change: bool
    first: bool


class Coming(NamedTuple):
    """A subscription with future periods, and the plan after its planned change."""

    payer: Payer
    subscription: Upcoming
    next_plan: PlanTerms | None


_OF_INVOICE = {
    "wallet_until": WALLET.format(of="i"),
    "amount": "i.amount - i.credited",
    "failed": "i.first_failed_at IS NOT NULL",
    "of_change": "i.change_index > 0",
    "first": "s.first_paid_at IS NULL",
}
_OF_PLAN = {name: f"p.{name}" for name in PlanTerms._fields}
_OF_COUPON = {"coupon_percent": "k.percent", "coupon_rupiah": "k.rupiah"}
_OF_PAYER = {
    "subscription_id": "s.id",
    "wallet_until": WALLET.format(of="s"),
    "balance": """(SELECT CAST(sum(remaining) AS bigint) FROM credits c
                WHERE c.customer_id = s.customer_id AND c.remaining > 0)""",
}


def stay_open(connection: Connection) -> None:
    """Let the transaction be idle: who reads the streams may be slow, such as a pager."""
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def open_invoices(connection: Connection, until: datetime) -> Iterator[OpenInvoice]:
    """Stream open invoices attempted by `until`, earliest first, then those behind them.

    OFFSET 0 makes PostgreSQL look up each subscription by its key, in the order of the index of
    dates: the first rows come at once, however many there are. A join read all subscriptions first.
    """
    dated = text(f"""
        SELECT {columns(OpenInvoice, "i", **_OF_INVOICE)}
        FROM invoices i CROSS JOIN LATERAL
            (SELECT first_paid_at FROM subscriptions WHERE id = i.subscription_id OFFSET 0) AS s
        WHERE i.status = 'open' AND i.blocked_on IS DISTINCT FROM 'wallet'
          AND i.next_attempt_at <= :until
        ORDER BY i.next_attempt_at, i.period_index, i.change_index
    """)  # noqa: S608 - a constant of ours
    behind = text(f"""
        SELECT {columns(OpenInvoice, "i", **_OF_INVOICE, next_attempt_at="o.next_attempt_at")}
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
        for values in _streamed(connection, part, {"until": until}):
            yield of_values(OpenInvoice, values)


def open_invoices_of(connection: Connection, subscription_id: UUID) -> list[OpenInvoice]:
    """Read the open invoices of one subscription that have a date, or wait for one that has."""
    statement = text(f"""
        SELECT {columns(OpenInvoice, "i", **_OF_INVOICE, next_attempt_at="o.next_attempt_at")}
        FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
        CROSS JOIN LATERAL (SELECT next_attempt_at FROM invoices o
            WHERE o.subscription_id = i.subscription_id AND o.status = 'open'
              AND o.next_attempt_at IS NOT NULL
            ORDER BY o.id = i.id DESC, o.period_index, o.change_index LIMIT 1) AS o
        WHERE i.subscription_id = :id AND i.status = 'open'
          AND i.blocked_on IS DISTINCT FROM 'wallet'
        ORDER BY o.next_attempt_at, i.period_index, i.change_index
    """)  # noqa: S608 - constants of ours
    return every(OpenInvoice, connection.execute(statement, {"id": subscription_id}))


_COMING = f"""
    SELECT {columns(Payer, "s", **_OF_PAYER)},
           {columns(Upcoming, "s", **_OF_PLAN, **_OF_COUPON)},
           {columns(PlanTerms, "n")}
    FROM subscriptions s JOIN plans p ON p.code = s.plan_code
    LEFT JOIN coupons k ON k.code = s.coupon_code
    LEFT JOIN plans n ON n.code = s.next_plan_code"""  # noqa: S608 - the same


def subscriptions(connection: Connection, until: datetime) -> Iterator[Coming]:
    """Stream subscriptions with a period by `until`, earliest first, then paused ones."""
    running = text(
        f"{_COMING} WHERE s.next_due_at <= :until AND {listed('s.status', OPENING)}"
        " ORDER BY s.next_due_at"
    )
    paused = text(
        f"{_COMING} WHERE s.resume_at <= :until AND s.status = 'paused' ORDER BY s.resume_at"
    )
    for part in (running, paused):
        for values in _streamed(connection, part, {"until": until}):
            yield _coming(values)


def subscription(connection: Connection, subscription_id: UUID) -> Coming | None:
    """Read one subscription whose periods are opened, with what decides about its next ones."""
    statement = text(f"{_COMING} WHERE s.id = :id AND {listed('s.status', OPENING)}")
    values = connection.execute(statement, {"id": subscription_id}).one_or_none()
    return None if values is None else _coming(values)


def subscriptions_of(connection: Connection, ids: Sequence[UUID]) -> list[Coming]:
    """Read some subscriptions, with what decides about their next periods."""
    statement = text(f"{_COMING} WHERE s.id = ANY(CAST(:ids AS uuid[])) ORDER BY s.id")
    return [_coming(row) for row in connection.execute(statement, {"ids": as_array(ids)})]


def returning(connection: Connection, subscription_id: UUID) -> Coming | None:
    """Read one paused subscription that resumes by itself."""
    statement = text(
        f"{_COMING} WHERE s.id = :id AND s.status = 'paused' AND s.resume_at IS NOT NULL"
    )
    values = connection.execute(statement, {"id": subscription_id}).one_or_none()
    return None if values is None else _coming(values)


_PAYER_END = len(Payer._fields)
_PLAN_AT = _PAYER_END + len(Upcoming._fields)


def _coming(values: Sequence[object]) -> Coming:
    next_plan = values[_PLAN_AT:]  # all NULL when no change is planned
    return Coming(
        of_values(Payer, values[:_PAYER_END]),
        of_values(Upcoming, values[_PAYER_END:_PLAN_AT]),
        of_values(PlanTerms, next_plan) if any(next_plan) else None,
    )


def _streamed(
    connection: Connection, statement: TextClause, parameters: dict[str, datetime]
) -> Iterator[Sequence[object]]:
    streamed = connection.execute(statement, parameters, execution_options={"yield_per": FETCH})
    # Who needs only the first rows closes the cursor, and not only the generator.
    with closing(streamed):
        yield from streamed

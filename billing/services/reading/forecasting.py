"""Forecasting: compute every charge that will be made by an instant, without making it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.forecast import Expected, Reason, periods
from billing.domain.instants import HOME
from billing.services.reading.results import ForecastLine, NextInvoice
from billing.store.queries import forecast as statements
from billing.store.queries.forecast import OpenInvoice, Payer
from billing.store.session import Database


def forecast(database: Database, now: datetime, until: datetime) -> Iterator[ForecastLine]:
    """Stream future charges until `until`: open invoices first, then future periods.

    Open invoices that wait for an older one come after all that have a date. Each part is ordered
    by the first due instant of its invoice or subscription; a subscription's periods follow each
    other. Every charge is assumed to succeed. A customer's credit covers the first lines; a line
    that it covers in full is no charge. All dates are in HOME_TIMEZONE, for plans of every zone.
    `wallet` is `needs_link` when the customer has no wallet that can be charged by then.
    """
    balances: dict[str, int] = {}
    with database.transaction() as connection:
        for row in statements.open_invoices(connection, until):
            reason = Reason.RETRY if row.failed else Reason.RENEWAL
            if row.of_change and not row.failed:
                reason = Reason.CHANGE
            elif row.first and not row.failed:
                reason = Reason.FIRST
            due = max(row.next_attempt_at, now)
            yield _shown(row, Expected(due, row.amount, reason, row.period_index))
        for payer, subscription, next_plan in statements.subscriptions(connection, until):
            for expected in periods(subscription, now, until, next_plan):
                owed = expected.amount - _covered(balances, payer, expected.amount)
                if owed:
                    yield _shown(payer, replace(expected, amount=owed))


def next_invoice(connection: Connection, subscription_id: UUID) -> NextInvoice | None:
    """Compute the invoice of a subscription's next period, opened on time; None without one.

    The customer's credit is what remains now: an invoice that is opened before may use it first.
    """
    found = statements.subscription(connection, subscription_id)
    due = None if found is None else found.subscription.next_due_at
    if found is None or due is None:
        return None
    expected = next(periods(found.subscription, due, due, found.next_plan), None)
    if expected is None:
        return None
    credited = min(found.payer.balance or 0, expected.amount)
    return NextInvoice(expected.due_at, expected.amount, credited)


def _covered(balances: dict[str, int], row: Payer, amount: int) -> int:
    """Return how much of an amount the customer's credit covers."""
    if row.balance is None:
        return 0
    left = balances.setdefault(row.customer_id, row.balance)
    covered = min(left, amount)
    balances[row.customer_id] = left - covered
    return covered


def _shown(row: Payer | OpenInvoice, expected: Expected) -> ForecastLine:
    until = row.wallet_until
    return ForecastLine(
        due_at=expected.due_at.astimezone(HOME),
        customer=row.customer_id,
        subscription=row.subscription_id,
        period_index=expected.period_index,
        amount=expected.amount,
        reason=expected.reason,
        wallet="ok" if until is not None and until > expected.due_at else "needs_link",
    )

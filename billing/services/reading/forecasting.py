"""Forecasting: compute every charge that will be made by an instant, without making it."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import NotKnown
from billing.domain.forecast import Expected, Reason, periods
from billing.domain.instants import HOME
from billing.services.reading.results import ForecastLine, NextInvoice
from billing.store.queries import forecast as statements
from billing.store.queries import listing
from billing.store.queries.forecast import Coming, OpenInvoice, Payer
from billing.store.session import Database

LINES_MAX = 100
"""Maximum number of future charges of one subscription."""


def forecast(
    database: Database, now: datetime, until: datetime
) -> Generator[ForecastLine, None, None]:
    """Stream future charges until `until`: open invoices first, then future periods.

    Open invoices that wait for an older one come after all that have a date. Each part is ordered
    by the first due instant of its invoice or subscription; a subscription's periods follow each
    other. Every charge is assumed to succeed. A customer's credit covers the first lines; a line
    that it covers in full is no charge. All dates are in HOME_TIMEZONE, for plans of every zone.
    `needs_link` is true when the customer has no wallet that can be charged by then.
    """
    balances: dict[str, int] = {}
    with database.transaction() as connection:
        statements.stay_open(connection)
        for row in statements.open_invoices(connection, until):
            yield _of_invoice(row, now)
        for coming in statements.subscriptions(connection, until):
            yield from _of_periods(coming, now, until, balances)


def upcoming(
    database: Database, now: datetime, until: datetime, subscription_id: UUID
) -> list[ForecastLine]:
    """Compute the future charges of one subscription until `until`, at most LINES_MAX of them.

    As in the forecast, every charge is assumed to succeed. Raises NotKnown.
    """
    with database.transaction() as connection:
        if listing.subscription(connection, subscription_id) is None:
            raise NotKnown(f"no subscription has the id {subscription_id}")
        opened = statements.open_invoices_of(connection, subscription_id)
        coming = statements.subscription(connection, subscription_id) or statements.returning(
            connection, subscription_id
        )
    lines = [_of_invoice(row, now) for row in opened if row.next_attempt_at <= until]
    if coming is not None:
        lines += islice(_of_periods(coming, now, until, {}), LINES_MAX)
    return lines[:LINES_MAX]


def _of_invoice(row: OpenInvoice, now: datetime) -> ForecastLine:
    reason = Reason.RETRY if row.failed else Reason.RENEWAL
    if row.of_change and not row.failed:
        reason = Reason.CHANGE
    elif row.first and not row.failed:
        reason = Reason.FIRST
    due = max(row.next_attempt_at, now)
    return _shown(row, Expected(due, row.amount, reason, row.period_index))


def _of_periods(
    coming: Coming, now: datetime, until: datetime, balances: dict[str, int]
) -> Iterator[ForecastLine]:
    payer, subscription, next_plan = coming
    for expected in periods(subscription, now, until, next_plan):
        owed = expected.amount - _covered(balances, payer, expected.amount)
        if owed:
            yield _shown(payer, replace(expected, amount=owed))


def next_invoice(connection: Connection, subscription_id: UUID) -> NextInvoice | None:
    """Compute the invoice of a subscription's next period, opened on time; None without one.

    The customer's credit is what remains now: an invoice that is opened before may use it first.
    """
    found = statements.subscription(connection, subscription_id)
    return None if found is None else following(found)


def following(found: Coming) -> NextInvoice | None:
    """Compute the invoice of the next period, from what decides about it; None without one."""
    due = found.subscription.next_due_at
    if due is None:
        return None
    expected = next(periods(found.subscription, due, due, found.next_plan), None)
    if expected is None:
        return None
    covered = min(found.payer.balance or 0, expected.amount)
    return NextInvoice(expected.due_at, expected.amount, covered)


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
        cause=expected.reason,
        needs_link=until is None or until <= expected.due_at,
        plan=row.plan_code,
    )

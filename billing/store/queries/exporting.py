"""Statements for exports: what finance reads, without anything sealed or personal."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, RowMapping

from billing.store.statements import text

FETCH = 1_000
COLUMNS = {
    "invoices": "id, subscription_id AS subscription, customer_id AS customer, period_index,"
    " change_index, period_start, period_end, amount, credited, amount_refunded, status,"
    " created_at, paid_at, closed_at",
    "charges": "id, invoice_id AS invoice, subscription_id AS subscription,"
    " customer_id AS customer, ordinal, gateway_number, first_payment, amount, surplus, status,"
    " fault, code, created_at, settled_at",
    "refunds": "id, charge_id AS charge, invoice_id AS invoice, customer_id AS customer, amount,"
    " status, reason, created_at, settled_at",
}


def rows(
    connection: Connection, kind: str, since: datetime, until: datetime
) -> Iterator[RowMapping]:
    """The rows of one table that were made in a span of time, oldest first."""
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    statement = text(
        f"SELECT {COLUMNS[kind]} FROM {kind}"  # noqa: S608 - names from the table above
        " WHERE created_at >= :since AND created_at < :until ORDER BY created_at, id"
    )
    streamed = connection.execute(
        statement, {"since": since, "until": until}, execution_options={"yield_per": FETCH}
    )
    yield from streamed.mappings()

"""Statements for exports to finance, without encrypted or personal columns."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from billing.domain.refund import RETURNED
from billing.store.expressions import listed
from billing.store.statements import text

FETCH = 1_000
_OF_CHARGES = (
    "(SELECT CAST(coalesce(sum(c.{0}), 0) AS bigint) FROM charges c WHERE c.invoice_id = e.id)"
)
COLUMNS = {
    "invoices": "id, subscription_id AS subscription, customer_id AS customer, period_index,"
    " change_index, period_start, period_end, amount, credited, amount_refunded,"
    f" {_OF_CHARGES.format('kept')} AS kept, {_OF_CHARGES.format('refunded')} AS refunded, status,"
    " created_at, paid_at, closed_at",
    "charges": "id, invoice_id AS invoice, subscription_id AS subscription,"
    " customer_id AS customer, attempt, gateway_number, first_payment, amount, refunded, credited,"
    " kept, surplus, status, fault, code, created_at, settled_at",
    "refunds": "id, charge_id AS charge, invoice_id AS invoice, customer_id AS customer, amount,"
    " status, reason, created_at, settled_at",
}
SELECTED = {
    "created": dict.fromkeys(COLUMNS, ("created_at", "true")),
    "paid": {
        "invoices": ("paid_at", "true"),
        "charges": ("settled_at", "status = 'succeeded'"),
        "refunds": ("settled_at", listed("status", RETURNED)),
    },
}
"""What selects a time span: the column of each kind, and which of its rows."""


def rows(
    connection: Connection, kind: str, by: str, since: datetime, until: datetime
) -> Iterator[dict[str, object]]:
    """Stream the rows of one table that were created, or paid, in a time span, oldest first."""
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    at, condition = SELECTED[by][kind]
    statement = text(
        f"SELECT {COLUMNS[kind]} FROM {kind} e"  # noqa: S608 - names from the tables above
        f" WHERE {condition} AND {at} >= :since AND {at} < :until ORDER BY {at}, id"
    )
    streamed = connection.execute(
        statement, {"since": since, "until": until}, execution_options={"yield_per": FETCH}
    )
    names = list(streamed.keys())
    for values in streamed:
        yield dict(zip(names, values, strict=True))

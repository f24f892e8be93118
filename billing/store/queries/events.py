"""Statements about events; events are only ever inserted."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.events import Event
from billing.store.rows import as_json
from billing.store.statements import text

SHOWN = {
    "type": "e.kind", "timestamp": "e.at", "actor": "e.actor", "reason": "e.reason",
    "customer": "e.customer_id", "subscription": "e.subscription_id", "invoice": "e.invoice_id",
    "charge": "e.charge_id", "details": "e.data",
}  # fmt: skip
"""The columns of an event `e` under the names that users see, everywhere the same."""

_RECORD = text("""
    INSERT INTO events (at, kind, actor, reason, customer_id, subscription_id, invoice_id,
        charge_id, data)
    SELECT at, kind, actor, reason, customer_id, subscription_id, invoice_id, charge_id, data
    FROM ROWS FROM (json_to_recordset(CAST(:rows AS json)) AS (at timestamptz, kind text,
        actor text, reason text, customer_id text, subscription_id uuid, invoice_id uuid,
        charge_id uuid, data jsonb)) WITH ORDINALITY
    ORDER BY ordinality
""")


def record(connection: Connection, events: Sequence[Event]) -> None:
    """Insert events in the order given."""
    if events:
        connection.execute(_RECORD, {"rows": as_json(events)})


def count(connection: Connection, kind: str, subscription_id: UUID, charge_id: UUID) -> int:
    """Count the events of one kind of a charge."""
    statement = text(
        "SELECT count(*) FROM events WHERE subscription_id = :subscription"
        " AND charge_id = :charge AND kind = :kind"
    )
    parameters = {"subscription": subscription_id, "charge": charge_id, "kind": kind}
    return int(connection.execute(statement, parameters).scalar_one())

"""Statements about events; they are only ever added."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, text

from billing.store.tables import EVENTS


def record(connection: Connection, events: Sequence[dict[str, Any]]) -> None:
    """Write events in the order given."""
    if events:
        connection.execute(insert(EVENTS), list(events))


def count(connection: Connection, kind: str, subscription_id: UUID, charge_id: UUID) -> int:
    """How often something of one kind was told of a charge."""
    statement = text(
        "SELECT count(*) FROM events WHERE subscription_id = :subscription"
        " AND charge_id = :charge AND kind = :kind"
    )
    parameters = {"subscription": subscription_id, "charge": charge_id, "kind": kind}
    return int(connection.execute(statement, parameters).scalar_one())

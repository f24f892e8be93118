"""Statements about events; they are only ever added."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from billing.store.tables import EVENTS


def record(connection: Connection, events: Sequence[dict[str, Any]]) -> None:
    """Write events in the order given."""
    if events:
        connection.execute(insert(EVENTS), list(events))

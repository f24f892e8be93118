"""Statements about idempotency keys: a command that comes twice acts once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.store.tables import COMMANDS


def begin(
    connection: Connection, key: str, task: str, arguments: dict[str, Any], at: datetime
) -> bool:
    """Take a key; False when it is taken. Waits for whoever is taking it at this moment."""
    statement = (
        insert(COMMANDS)
        .values(key=key, task=task, arguments=arguments, created_at=at)
        .on_conflict_do_nothing()
    )
    return connection.execute(statement.returning(COMMANDS.c.key)).first() is not None


def finish(connection: Connection, key: str, result: dict[str, Any]) -> None:
    """Keep what came of it."""
    connection.execute(update(COMMANDS).where(COMMANDS.c.key == key).values(result=result))


def earlier(connection: Connection, key: str) -> RowMapping:
    """What the key was used for."""
    return connection.execute(select(COMMANDS).where(COMMANDS.c.key == key)).mappings().one()

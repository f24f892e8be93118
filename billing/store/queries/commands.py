"""Statements about idempotency keys: a repeated command acts once."""

import json
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.domain.payloads import Json
from billing.store.selecting import columns
from billing.store.statements import text


class Command(NamedTuple):
    """What an idempotency key was used for, and the result when there was one."""

    task: str
    arguments: Json
    result: Json | None


def begin(connection: Connection, key: str, task: str, arguments: Json, at: datetime) -> bool:
    """Insert a key; False when it exists. Waits for a concurrent insert of the same key."""
    statement = text(
        "INSERT INTO commands (key, task, arguments, created_at)"
        " VALUES (:key, :task, CAST(:arguments AS jsonb), :at) ON CONFLICT DO NOTHING RETURNING key"
    )
    values = {"key": key, "task": task, "arguments": json.dumps(arguments), "at": at}
    return connection.execute(statement, values).first() is not None


def finish(connection: Connection, key: str, result: Json) -> None:
    """Store the command's result."""
    statement = text("UPDATE commands SET result = CAST(:result AS jsonb) WHERE key = :key")
    connection.execute(statement, {"result": json.dumps(result), "key": key})


def earlier(connection: Connection, key: str) -> Command:
    """Read what the key was used for."""
    statement = text(f"SELECT {columns(Command)} FROM commands WHERE key = :key")  # noqa: S608 - a constant of ours
    return Command._make(connection.execute(statement, {"key": key}).one())


def found(connection: Connection, key: str) -> Command | None:
    """Read what a key was used for; None when it was not used."""
    statement = text(f"SELECT {columns(Command)} FROM commands WHERE key = :key")  # noqa: S608 - the same
    row = connection.execute(statement, {"key": key}).one_or_none()
    return None if row is None else Command._make(row)


def remove_old(connection: Connection, before: datetime, limit: int) -> int:
    """Remove at most `limit` keys of the HTTP interface that are older than an instant."""
    statement = text("""
        DELETE FROM commands WHERE key = ANY (ARRAY(
            SELECT key FROM commands WHERE key LIKE 'api:%' AND created_at < :before
            ORDER BY created_at LIMIT :limit))
    """)
    return connection.execute(statement, {"before": before, "limit": limit}).rowcount

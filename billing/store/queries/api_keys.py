"""Statements about API keys: only keyed hashes of them are stored."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.api_keys import ApiKey
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text

_KEYS = f"SELECT {columns(ApiKey)} FROM api_keys"  # noqa: S608 - a constant of ours


def add(connection: Connection, key: ApiKey, key_hash: bytes) -> bool:
    """Insert a key; False when a key that is not revoked has this name."""
    statement = text(
        "INSERT INTO api_keys (id, name, prefix, key_hash, scopes, created_at, expires_at)"
        " VALUES (:id, :name, :prefix, :key_hash, :scopes, :created_at, :expires_at)"
        " ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING id"
    )
    values = {name: getattr(key, name) for name in
              ("id", "name", "prefix", "scopes", "created_at", "expires_at")}  # fmt: skip
    return connection.execute(statement, values | {"key_hash": key_hash}).first() is not None


def by_hash(connection: Connection, hashes: Sequence[bytes]) -> ApiKey | None:
    """Find a key by its hash under any of the settings' keys."""
    statement = text(f"{_KEYS} WHERE key_hash = ANY(:hashes)")
    return at_most_one(ApiKey, connection.execute(statement, {"hashes": list(hashes)}))


def is_in_use(connection: Connection, name: str) -> bool:
    """Whether a key that is not revoked has this name, in capitals or not."""
    statement = text(
        "SELECT EXISTS (SELECT 1 FROM api_keys"
        " WHERE lower(name) = lower(:name) AND revoked_at IS NULL)"
    )
    return bool(connection.execute(statement, {"name": name}).scalar_one())


def note_use(connection: Connection, key_id: UUID, key_hash: bytes, now: datetime) -> None:
    """Store when a key was used, and its hash under the newest key of the settings."""
    statement = text("UPDATE api_keys SET last_used_at = :now, key_hash = :key_hash WHERE id = :id")
    connection.execute(statement, {"now": now, "key_hash": key_hash, "id": key_id})


def page(connection: Connection, limit: int) -> list[ApiKey]:
    """Read keys: valid ones first, then the newest."""
    ending = "ORDER BY revoked_at IS NOT NULL, created_at DESC, id LIMIT :limit"
    return every(ApiKey, connection.execute(text(f"{_KEYS} {ending}"), {"limit": limit}))


def revoke(connection: Connection, name: str, now: datetime) -> ApiKey | None:
    """Revoke the valid key with this id or name; None when there is none."""
    statement = text(f"""
        UPDATE api_keys SET revoked_at = :now
        WHERE (name = :name OR CAST(id AS text) = :name) AND revoked_at IS NULL
        RETURNING {columns(ApiKey)}
    """)  # noqa: S608 - a constant of ours
    return at_most_one(ApiKey, connection.execute(statement, {"now": now, "name": name}))

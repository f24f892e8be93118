"""API keys: create, list and revoke the keys of the HTTP interface, and recognize one.

A key is shown once, when it is created. The database stores a keyed hash: a copy of the database
does not help anybody to call the interface, and BILLING_TOKEN_KEY does not help without a copy.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from billing.domain import api_keys
from billing.domain.api_keys import ApiKey
from billing.domain.documents import Inline
from billing.domain.errors import AlreadyExists, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.instants import spoken
from billing.domain.text import checked_name
from billing.services.context import Context
from billing.store.queries import api_keys as rows
from billing.store.queries import events, people

NAME_MAX = 50
LIMIT_MAX = 1_000
RESERVED = frozenset({"admin task", "gateway", "guard", "import", "operator", "scheduler"})
"""Actors of the engine itself."""
USE_NOTED_AFTER = timedelta(minutes=1)
"""The time of the last use is written at most this often."""


class NewKey(NamedTuple):
    """A key that was just created: the only time that it is readable."""

    row: Inline[ApiKey]
    key: str


def create(
    context: Context,
    name: str,
    scopes: Sequence[str],
    by: Actor,
    expires_at: datetime | None = None,
) -> NewKey:
    """Create a key. Raises InvalidValue, or AlreadyExists while a valid key has this name."""
    checked_name("key name", name, NAME_MAX)
    if name.lower() in RESERVED or _is_id(name):
        raise InvalidValue(f"a key cannot have the name {name!r}: choose the name of a program")
    wanted = api_keys.scopes(scopes)
    now = context.clock.now()
    if expires_at is not None and expires_at <= now:
        raise InvalidValue(f"the key would have expired already: {spoken(expires_at)}")
    key = api_keys.create()
    prefix = key[: api_keys.SHOWN]
    row = ApiKey(uuid4(), name, prefix, wanted, now, expires_at, None, None)
    with context.database.transaction() as connection:
        if people.has_name(connection, name):
            raise AlreadyExists(f"a person has the name {name!r}; choose the name of a program")
        if not rows.add(connection, row, _hashes(context, key)[0]):
            raise AlreadyExists(f"a key has the name {name!r}; choose another, or revoke that one")
        events.record(connection, [event("key.created", at=now, by=by, key=str(row.id),
                                         key_name=name, scopes=wanted)])  # fmt: skip
    return NewKey(row, key)


def listed(context: Context) -> list[ApiKey]:
    """Return the keys, valid ones first."""
    with context.database.transaction() as connection:
        return rows.page(connection, LIMIT_MAX)


def revoke(context: Context, name: str, by: Actor) -> ApiKey:
    """Revoke a key by its id or name: it is refused from now on. Raises NotKnown."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        found = rows.revoke(connection, name, now)
        if found is None:
            raise NotKnown(
                f"no valid key has the name or id {name!r}", hint="see: billing key list"
            )
        events.record(connection, [event("key.revoked", at=now, by=by, key=str(found.id),
                                         key_name=found.name)])  # fmt: skip
    return found


def recognize(context: Context, key: str) -> ApiKey | None:
    """Return the valid key that this text is, or None."""
    if not api_keys.is_well_formed(key):
        return None
    now, hashes = context.clock.now(), _hashes(context, key)
    with context.database.transaction() as connection:
        found = rows.by_hash(connection, hashes)
        if found is None or not found.is_valid(now):
            return None
        if found.last_used_at is None or now - found.last_used_at >= USE_NOTED_AFTER:
            rows.note_use(connection, found.id, hashes[0], now)
    return found


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def _hashes(context: Context, key: str) -> list[bytes]:
    return context.vault.hashes(b"api key " + key.encode())

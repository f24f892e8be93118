"""Ids: random ones that begin with a time, and derived ones that are the same after a restore.

A subscription's id begins with the time at which it was made, and the ids of its invoices, charges
and refunds begin with the same time. Invoices that are opened in the order of subscriptions are
therefore inserted in the order of their own ids, and one morning's charges touch few pages of an
index.

An id that is derived from outside input has no time: the same order, sent again after a restore,
comes at another time and must get the same id.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha1
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = (1 << 48) - 1 << 80
_VARIANT = 0b10 << 62
_DRAWN, _NAMED = 7, 8
"""RFC 9562: version 7 is random and begins with a time; version 8 has a format of our own."""
_FREE = (1 << 76) - 1 & ~(0b11 << 62)


def dated(at: datetime, chance: UUID) -> UUID:
    """Build a UUID of version 7: 48 bits of milliseconds since 1970, and 74 bits of a random id.

    RFC 9562, section 5.7.
    """
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | _DRAWN << 76 | _VARIANT | chance.int & _FREE)


def beneath(parent: UUID, namespace: UUID, name: str) -> UUID:
    """Derive the id of `name` beneath `parent`; the same input always gives the same id.

    If the parent begins with a time, the derived id begins with the same time (version 8: the rest
    is 74 bits of the hash). Otherwise it is the version 5 id of `uuid.uuid5`.
    """
    if parent.int >> 76 & 0xF not in (_DRAWN, _NAMED):
        return named(namespace, f"{parent}/{name}")
    rest = int.from_bytes(_digest(namespace, f"{parent}/{name}")[:10], "big") & _FREE
    return UUID(int=parent.int & _TIME | _NAMED << 76 | _VARIANT | rest)


def from_outside(installation: UUID, kind: str, name: str) -> UUID:
    """Derive an id from outside input, such as an idempotency key or an import's reference.

    `installation` is the database's own installation id: the same input gives the same id in a
    database and in its restored backups, and a different id in every other database.
    """
    return named(installation, f"{kind}/{name}")


def named(namespace: UUID, name: str) -> UUID:
    """Return what `uuid.uuid5` returns, in half the time: that looks up its hash at every call."""
    return UUID(bytes=_digest(namespace, name)[:16], version=5)


def _digest(namespace: UUID, name: str) -> bytes:
    return sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()

"""Ids: dated ones that are drawn, and those that are named, the same after every restore.

A subscription's id begins with the time at which it was made, and the ids of its invoices, their
charges and their refunds begin like it. What is opened in the order of subscriptions is inserted
in the order of its own ids, and a morning's charges do not touch every page of an index.

An id that is derived from outside input begins with no time: the same order that is sent again
after a restore comes at another time, and has to get the same id.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha1
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = (1 << 48) - 1 << 80
_VARIANT = 0b10 << 62
_DRAWN, _NAMED = 7, 8
"""RFC 9562: version 7 is drawn and begins with a time, version 8 is what one makes of it."""
_FREE = (1 << 76) - 1 & ~(0b11 << 62)


def dated(at: datetime, chance: UUID) -> UUID:
    """A UUID of version 7: 48 bits of milliseconds since 1970, and 74 of an id that was drawn.

    RFC 9562, section 5.7.
    """
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | _DRAWN << 76 | _VARIANT | chance.int & _FREE)


def beneath(parent: UUID, namespace: UUID, name: str) -> UUID:
    """The id of what has this name beneath `parent`: the same for the same, whoever asks.

    Where the parent begins with a time, this begins with the same one (version 8: the rest is
    74 bits of the hash). Else it is of version 5, as `uuid.uuid5` has it.
    """
    if parent.int >> 76 & 0xF not in (_DRAWN, _NAMED):
        return named(namespace, f"{parent}/{name}")
    rest = int.from_bytes(_digest(namespace, f"{parent}/{name}")[:10], "big") & _FREE
    return UUID(int=parent.int & _TIME | _NAMED << 76 | _VARIANT | rest)


def from_outside(installation: UUID, kind: str, name: str) -> UUID:
    """The id of what outside input named, such as an idempotency key or an import's reference.

    `installation` is the database's own id, drawn once: the same input gives the same id in a
    database and in its restored backups, and another one in every other database.
    """
    return named(installation, f"{kind}/{name}")


def named(namespace: UUID, name: str) -> UUID:
    """What `uuid.uuid5` returns, in half the time: it looks for its hash at every call."""
    return UUID(bytes=_digest(namespace, name)[:16], version=5)


def _digest(namespace: UUID, name: str) -> bytes:
    return sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()

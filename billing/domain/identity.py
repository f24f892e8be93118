"""Names that become ids: the same name is the same id, on every machine and after every restore."""

from hashlib import sha1
from uuid import UUID


def named(namespace: UUID, name: str) -> UUID:
    """What `uuid.uuid5` returns, in half the time: it looks for its hash at every call."""
    digest = sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)

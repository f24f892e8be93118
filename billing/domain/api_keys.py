"""API keys: what they look like, what they allow, and whether they are valid now.

A key is `obk_live_`, 32 random letters and digits, and six that are a checksum: a mistyped key is
refused without a look into the database, and a scanner for leaked secrets can recognize one.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from billing.domain.errors import InvalidValue

PREFIX = "obk_live_"
RANDOM = 32
CHECKSUM = 6
SHOWN = len(PREFIX) + 4
"""How many characters of a key are kept readable, so that a person can tell keys apart."""
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Scope(StrEnum):
    """What a key allows. `admin` allows everything; `write` and `refund` include `read`."""

    READ = "read"
    WRITE = "write"
    REFUND = "refund"
    ADMIN = "admin"


_IMPLIED = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.REFUND: frozenset({Scope.READ, Scope.REFUND}),
    Scope.ADMIN: frozenset(Scope),
}


class ApiKey(NamedTuple):
    """A key as it is stored; the key itself is not."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def allows(self, scope: Scope) -> bool:
        """Whether one of the key's scopes includes this one."""
        return any(scope in _IMPLIED[Scope(each)] for each in self.scopes)


def create() -> str:
    """Create a random key: 190 bits."""
    body = "".join(secrets.choice(_LETTERS) for _ in range(RANDOM))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_well_formed(key: str) -> bool:
    """Whether a text is a key: its prefix, its length and its checksum."""
    body, check = key[len(PREFIX) : -CHECKSUM], key[-CHECKSUM:]
    return (
        key.startswith(PREFIX)
        and len(body) == RANDOM
        and all(letter in _LETTERS for letter in body)
        and secrets.compare_digest(check.encode(), _checksum(body).encode())
    )


def scopes(names: Iterable[str]) -> list[str]:
    """Read scopes, sorted and each once. Raises InvalidValue."""
    known = [scope.value for scope in Scope]
    found = set(names)
    unknown = sorted(found - set(known))
    if unknown:
        raise InvalidValue(f"no scope is named {unknown[0]!r}; there are: {', '.join(known)}")
    if not found:
        raise InvalidValue(f"a key needs at least one scope: {', '.join(known)}")
    return [name for name in known if name in found]


def _checksum(body: str) -> str:
    rest, digits = crc32(body.encode()), ""
    for _ in range(CHECKSUM):
        rest, digit = divmod(rest, len(_LETTERS))
        digits = _LETTERS[digit] + digits
    return digits

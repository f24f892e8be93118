"""Passwords: Argon2id hashes of them, and nothing that could be turned back into one.

The parameters are those of the OWASP Password Storage Cheat Sheet: 19 MiB, 2 iterations, 1 thread.
A hash carries its own parameters; `is_outdated` says when to hash again with these. This module
knows no person.
"""

import unicodedata
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

_HASHER = PasswordHasher(
    time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)


def hashed(password: str) -> str:
    """Hash a password with a random salt."""
    return _HASHER.hash(_bytes(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Whether this is the password; without a hash it takes as long, and the answer is no."""
    try:
        _HASHER.verify(password_hash or _decoy(), _bytes(password))
    except (Argon2Error, InvalidHashError):
        return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


@cache
def _decoy() -> str:
    """Return the hash against which the password of an unknown name is compared."""
    return _HASHER.hash(b"a password of no person")


def _bytes(password: str) -> bytes:
    """Encode a password; keyboards write the same letter in several ways (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password).encode(errors="replace")

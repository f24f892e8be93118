"""Second factor: codes of six digits that an app computes from a secret and the time (RFC 6238).

A code is accepted 30 seconds before and after its time, because clocks of phones differ, and only
once. This module knows no person, and stores nothing.
"""

import hmac
import secrets
from base64 import b32encode
from datetime import datetime
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

ISSUER = "ovo-billing"
KEY_BYTES, DIGITS, STEP_SECONDS = 20, 6, 30
"""What all apps know: 160 bits, HMAC-SHA-1, six digits, 30 seconds."""


def new_key() -> bytes:
    """Make a random secret."""
    return secrets.token_bytes(KEY_BYTES)


def written(key: bytes) -> str:
    """Write a secret as a person types it into an app: base 32."""
    return b32encode(key).decode()


def address(key: bytes, name: str) -> str:
    """Write a secret as an app reads it from a QR code."""
    label = quote(f"{ISSUER}:{name}", safe=":")
    return f"otpauth://totp/{label}?secret={written(key)}&issuer={quote(ISSUER)}"


def step_of(key: bytes, code: str, now: datetime, after: int | None) -> int | None:
    """Return the step of an accepted code; None for a wrong one, or one that was used before.

    `after` is the step of the last code that was used.
    """
    totp = TOTP(key, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303 - RFC 6238; an HMAC
    given = "".join(code.split()).encode(errors="replace")
    present = int(now.timestamp()) // STEP_SECONDS
    accepted = None
    for step in (present - 1, present, present + 1):
        if hmac.compare_digest(totp.generate(step * STEP_SECONDS), given):
            accepted = step
    return accepted if accepted is not None and (after is None or accepted > after) else None

"""DOKU's Non-SNAP digest and signature, written for the sandbox from the published description.

It knows bytes and header values only: no HTTP, no routes, and nothing of the engine.
"""

import hmac
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one merchant that this sandbox serves; the secret is used as text, never decoded."""

    client_id: str
    secret: bytes


def digest(body: bytes) -> str:
    """Return the value of the Digest line: base64 of SHA-256 over the bytes on the wire."""
    return b64encode(sha256(body).digest()).decode()


def signature(
    credentials: Credentials,
    *,
    request_id: str,
    stamp_line: str,
    target: str,
    body: bytes | None,
) -> str:
    """
    Sign one message; returns the value of the Signature header with its prefix.

    `stamp_line` is the whole third line, `Request-Timestamp:…` or `Response-Timestamp:…`. A body
    of None leaves the Digest line out, as DOKU does for GET.
    """
    lines = [
        f"Client-Id:{credentials.client_id}",
        f"Request-Id:{request_id}",
        stamp_line,
        f"Request-Target:{target}",
    ]
    if body is not None:
        lines.append(f"Digest:{digest(body)}")
    mac = hmac.digest(credentials.secret, "\n".join(lines).encode(), "sha256")
    return "HMACSHA256=" + b64encode(mac).decode()

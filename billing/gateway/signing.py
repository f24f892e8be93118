"""Signing: digests, component strings, HMAC and its check, for DOKU's Non-SNAP signature.

The input and output are text and bytes. This module does not know HTTP, the clock or JSON.
"""

import base64
import binascii
import hashlib
import hmac

PREFIX = b"HMACSHA256="


def digest(body: bytes) -> bytes:
    """Return Base64 of SHA-256 over exactly the bytes that are sent (DOKU, Signature Component)."""
    return base64.b64encode(hashlib.sha256(body).digest())


def request_component(
    client_id: str, request_id: str, timestamp: str, target: str, digest: bytes | None = None
) -> bytes:
    """
    Write what the sender of a request signs.

    `target` is only the path. A GET has no digest, and therefore no digest line.
    """
    return _component((client_id, request_id, timestamp, target), "Request-Timestamp", digest)


def response_component(
    client_id: str, request_id: str, timestamp: str, target: str, digest: bytes | None = None
) -> bytes:
    """
    Write what the gateway signs when it answers.

    Client-Id and Request-Id are those of the request, so an answer to another request never
    matches.
    """
    return _component((client_id, request_id, timestamp, target), "Response-Timestamp", digest)


def notification_component(
    client_id: str, request_id: str, timestamp: str, target: str, digest: bytes
) -> bytes:
    """Write what the gateway signs when it calls us; `target` is the path of our own URL."""
    return _component((client_id, request_id, timestamp, target), "Request-Timestamp", digest)


def sign(secret: bytes, component: bytes) -> bytes:
    """Return the value of the `Signature` header; the secret is used as text, never decoded."""
    return PREFIX + base64.b64encode(_mac(secret, component))


def verify(secret: bytes, component: bytes, signature: bytes) -> bool:
    """Whether `signature` is valid; decoded bytes are compared in constant time."""
    if not signature.startswith(PREFIX):
        return False
    try:
        claimed = base64.b64decode(signature.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(claimed, _mac(secret, component))


def _component(values: tuple[str, str, str, str], time_name: str, digest: bytes | None) -> bytes:
    names = ("Client-Id", "Request-Id", time_name, "Request-Target")
    lines = "\n".join(f"{name}:{value}" for name, value in zip(names, values, strict=True))
    return lines.encode() if digest is None else lines.encode() + b"\nDigest:" + digest


def _mac(secret: bytes, component: bytes) -> bytes:
    return hmac.digest(secret, component, hashlib.sha256)

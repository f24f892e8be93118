"""Webhooks: a receiver for the merchant's side, so that a local stack shows what was delivered.

It checks the signature by the arithmetic of Standard Webhooks 1.0.0 when it was given the secret.
What it receives changes nothing.
"""

import base64
import binascii
import hashlib
import hmac
from collections import deque
from collections.abc import Mapping

import orjson

from billing.sandbox.protocol.answers import Json
from billing.sandbox.state.clock import real_now

KEPT_MAX = 100
AGE_MAX_SECONDS = 300
_PREFIX = "whsec_"


class NotAccepted(Exception):
    """The request is no webhook, or its signature is wrong."""


class Receiver:
    """The webhooks that one sandbox received, newest last; a repeat counts once."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: deque[Json] = deque(maxlen=KEPT_MAX)
        self._key: bytes | None = None

    def use(self, secret: str) -> None:
        """Check signatures with this secret from now on; ValueError when it is none."""
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith(_PREFIX) or not key:
            raise ValueError(f"a secret begins with {_PREFIX}")
        self._key = key

    def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a webhook. Raises NotAccepted."""
        name = headers.get("webhook-id", "")
        if self._key is not None:
            self._check(self._key, name, headers, body)
        try:
            found = orjson.loads(body)
            kept = {"id": name, "type": found["type"], "timestamp": found["timestamp"],
                    "customer": found["data"].get("customer")}  # fmt: skip
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise NotAccepted("the body is no webhook") from None
        if name not in {each["id"] for each in self.kept}:
            self.count += 1
            self.kept.append(kept)

    def _check(self, key: bytes, name: str, headers: Mapping[str, str], body: bytes) -> None:
        at = headers.get("webhook-timestamp", "")
        if not at.isdecimal() or abs(int(at) - real_now().timestamp()) > AGE_MAX_SECONDS:
            raise NotAccepted("webhook-timestamp is missing, or not now")
        digest = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
        wanted = b"v1," + base64.b64encode(digest)
        given = headers.get("webhook-signature", "").encode().split()
        if not any(hmac.compare_digest(each, wanted) for each in given):
            raise NotAccepted("webhook-signature is wrong")

"""Signing: the headers of a webhook as Standard Webhooks 1.0.0 defines them."""

import secrets as random_bytes
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32
"""The specification: 24 to 64 bytes."""


def new_secret() -> str:
    """Make a secret that a receiver verifies signatures with."""
    return PREFIX + b64encode(random_bytes.token_bytes(SECRET_BYTES)).decode()


class Signer:
    """Signs with one or more secrets, which are decoded once."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._hooks = [Webhook(secret) for secret in secrets]

    def headers(self, webhook_id: str, at: datetime, body: bytes) -> dict[str, str]:
        """Return the three headers, with one signature for each secret.

        The package replaces a time zone instead of converting it, so it gets UTC only.
        """
        utc = at.astimezone(UTC)
        text = body.decode()
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(utc.timestamp())),
            "webhook-signature": " ".join(hook.sign(webhook_id, utc, text) for hook in self._hooks),
        }


def headers(webhook_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the three headers of one webhook, with one signature for each secret."""
    return Signer(secrets).headers(webhook_id, at, body)

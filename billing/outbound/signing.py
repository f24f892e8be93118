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


def headers(webhook_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the three headers, with one signature for each secret.

    The package replaces a time zone instead of converting it, so it gets UTC only.
    """
    utc = at.astimezone(UTC)
    text = body.decode()
    signatures = [Webhook(secret).sign(webhook_id, utc, text) for secret in secrets]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(utc.timestamp())),
        "webhook-signature": " ".join(signatures),
    }

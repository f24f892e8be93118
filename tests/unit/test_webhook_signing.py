"""Signatures of webhooks, against the package and against the specification's own arithmetic."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from billing.clock import real_now
from billing.outbound import signing

BODY = '{"type":"invoice.paid","data":{"name":"Bücher"}}'.encode()
SPECIFIED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def by_hand(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Base64 of HMAC-SHA256 over `id.timestamp.body`, with the bytes of the secret."""
    key = b64decode(secret.removeprefix("whsec_"))
    text = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def test_the_example_of_the_specification() -> None:
    """The values of the specification's reference libraries give the signature that they give."""
    made = signing.headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}', [SPECIFIED],
    )  # fmt: skip

    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=7)), timezone(-timedelta(hours=8))])
def test_the_timestamp_is_the_instant_in_any_time_zone(zone: timezone) -> None:
    """The package would replace the zone; it gets UTC, and header and signature agree."""
    at = datetime(2026, 1, 31, 9, 0, 0, 999_999, tzinfo=zone)
    made = signing.headers("msg_1", at, BODY, [SPECIFIED])

    timestamp = int(at.timestamp() // 1)
    assert made["webhook-timestamp"] == str(timestamp)
    assert made["webhook-signature"] == by_hand(SPECIFIED, "msg_1", timestamp, BODY)


def test_receivers_verify_with_either_secret() -> None:
    """After a rotation there are two signatures, and a third secret fits neither."""
    old, new, other = (signing.new_secret() for _ in range(3))
    made = signing.headers("msg_1", real_now(), BODY, [new, old])

    for secret in (old, new):
        Webhook(secret).verify(BODY, made)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, made)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(BODY + b" ", made)


def test_a_secret_is_random_and_long_enough() -> None:
    """32 bytes in base64 behind the prefix of the specification."""
    made = {signing.new_secret() for _ in range(10)}

    assert len(made) == 10
    for secret in made:
        assert secret.startswith("whsec_")
        assert len(b64decode(secret.removeprefix("whsec_"), validate=True)) == 32

"""Pages of the proxies, firewalls and load balancers in front of the gateway.

They are read by the engine's own reader of answers, which has to say that they settle nothing.
"""

from collections.abc import Sequence
from random import Random

from billing.domain.outcomes import (
    Outcome,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    StatusOutcome,
)
from billing.gateway import answers, statuses
from billing.gateway.faults import Faults
from billing.gateway.refusals import Answer, Trust

PAGES: Sequence[tuple[int, bytes]] = (
    (403, b'{"message":"Your IP address is blocked"}'),
    (403, b'{"message":"Missing Authentication Token"}'),  # AWS API Gateway
    (403, b'{"message":"Forbidden"}'),
    (401, b'{"message":"Unauthorized"}'),  # Kong
    (413, b'{"message":"Request entity too large: limit exceeded"}'),
    (404, b'{"message":"no Route matched with those values"}'),  # Kong
    (400, b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></html>"),
    (403, b"<html><head><title>403 Forbidden</title></head><body>nginx</body></html>"),
    (502, b"<html><body><h1>502 Bad Gateway</h1></body></html>"),
    (429, b"error code: 1015"),  # Cloudflare
    (400, b'{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth.v2"}}}'),
    (200, b"<html><head><title>Request Rejected</title></head></html>"),  # F5
    (200, b"{}"),
    (200, b'{"status":"ok"}'),
)
FAULTS = Faults({})


def drawn(rng: Random) -> Answer:
    """One page, unsigned as all of them are."""
    code, body = rng.choice(PAGES)
    return Answer(code, body, Trust.MISSING)


def payment(rng: Random, payment: SealedPayment) -> Outcome:
    """What the engine makes of a page in the place of a payment's answer."""
    return answers.payment(drawn(rng), payment.number, payment.amount, FAULTS)


def refund(rng: Random, order: RefundOrder) -> RefundOutcome:
    """The same, in the place of a refund's answer."""
    return answers.refund(drawn(rng), order, FAULTS)


def status(rng: Random, number: str, amount: int) -> StatusOutcome:
    """The same, in the place of what is known of a payment."""
    return statuses.status(drawn(rng), number, number, amount)

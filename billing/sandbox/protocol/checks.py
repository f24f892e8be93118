"""The checks before a body is read, in DOKU's order; and the signature of answers.

Headers present, timestamp, Client-Id, signature: a request that fails here leaves no trace. It does
not know what the calls mean.
"""

import hmac
import re

from billing.sandbox.protocol.answers import Answer, error
from billing.sandbox.protocol.signatures import Credentials, signature
from billing.sandbox.protocol.wire import Request
from billing.sandbox.state.clock import read_stamp, real_now, stamp

HEADERS = ("Client-Id", "Request-Id", "Request-Timestamp", "Signature")
TOLERANCE_SECONDS = 3600

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
"""At most 128 characters (API page, Request Header Explanation)."""


def refusal(request: Request, credentials: Credentials) -> Answer | None:
    """Return the code that rejects a request, or None when it is accepted."""
    if request.query is not None:
        return error(400, "invalid_header_request", "Query strings are not part of this API")
    for name in HEADERS:
        if not request.headers.get(name.lower()):
            return turned_away("invalid_header_request", f"Header {name} is required")
    if not _REQUEST_ID.fullmatch(request.headers["request-id"]):
        return turned_away("invalid_header_request", "Invalid format Header Request-Id")
    sent_at = read_stamp(request.headers["request-timestamp"])
    if sent_at is None:
        return turned_away("invalid_header_request", "Invalid format Header Request-Timestamp")
    if abs((real_now() - sent_at).total_seconds()) > TOLERANCE_SECONDS:
        return turned_away("request_time_out_of_range")
    if request.headers["client-id"] != credentials.client_id:
        return turned_away("invalid_client_id")
    expected = signature(
        credentials,
        request_id=request.headers["request-id"],
        stamp_line="Request-Timestamp:" + request.headers["request-timestamp"],
        target=request.path,
        body=None if request.method == "GET" else request.body,
    )
    given = request.headers["signature"].encode("latin-1")
    if not hmac.compare_digest(expected.encode(), given):
        return turned_away("invalid_signature")
    media = request.headers.get("content-type", "application/json").partition(";")[0]
    if request.method == "POST" and media.strip().lower() != "application/json":
        return error(415, "unsupported_media_type", "Content-Type must be application/json")
    return None


_MESSAGES = {
    "request_time_out_of_range": "Header Request-Timestamp is not in +- 3600 second of now",
    "invalid_client_id": "Invalid Client-Id",
    "invalid_signature": "Invalid Header Signature",
    "invalid_header_request": "Header Signature is required",
}


def turned_away(code: str, message: str = "") -> Answer:
    """Return the answer to a rejected request."""
    return error(400, code, message or _MESSAGES[code])


def signed_headers(
    request: Request, body: bytes, credentials: Credentials
) -> list[tuple[str, str]]:
    """Return the four headers of a signed answer; the answer to a GET has no Digest line."""
    answered_at = stamp(real_now())
    request_id = request.headers.get("request-id", "")
    value = signature(
        credentials,
        request_id=request_id,
        stamp_line="Response-Timestamp:" + answered_at,
        target=request.path,
        body=None if request.method == "GET" else body,
    )
    return [
        ("Client-Id", credentials.client_id),
        ("Request-Id", request_id),
        ("Response-Timestamp", answered_at),
        ("Signature", value),
    ]

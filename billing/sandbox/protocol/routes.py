"""Which call a request makes, which order or token it names, and whether its body is valid.

It reads one request and knows no state and no signature.
"""

import re
from urllib.parse import unquote

import orjson

from billing.sandbox.protocol import shapes
from billing.sandbox.protocol.answers import Answer, Json, unhandled, unrouted
from billing.sandbox.protocol.wire import Request
from billing.sandbox.state.clock import real_now, stamp

POSTS = {
    "/ovo-open-api/v1/token": "bind",
    "/tokenization/v1/tokens": "tokens",
    "/ovo-open-api/v1/balance": "balance",
    "/ovo-open-api/v1/payment-recurring": "pay",
    "/ovo-open-api/v1/payment-refund": "refund",
    "/ovo-open-api/v1/token-delete": "unbind",
}
STATUS_PATH = "/orders/v1/status/"

_HOST = re.compile(r"[A-Za-z0-9.\-]+(?::[0-9]+)?|\[[0-9A-Fa-f:]+\](?::[0-9]+)?")


def route(method: str, path: str) -> str | Answer:
    """Return the call of a path, or the answer to an unknown path or method."""
    call, wanted = POSTS.get(path), "POST"
    rest = path.removeprefix(STATUS_PATH)
    if call is None and rest not in {path, ""} and "/" not in rest:
        call, wanted = "status", "GET"
    if call is None:
        return unrouted(path)
    if method != wanted:
        return unhandled(405, "Method Not Allowed", path, stamp(real_now()))
    return call


def read(call: str, request: Request) -> tuple[Json, str | None]:
    """Parse and check a body; the second value says what is wrong with it, or is None."""
    if call == "status":
        return {}, "A status query has no body" if request.body else None
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return {}, "The body is not JSON"
    if not isinstance(body, dict):
        return {}, "The body must be an object"
    return body, shapes.fault(call, body)


def base_url(request: Request) -> str:
    """Return the address that the caller used, so that the registration page is found there too."""
    host = request.headers.get("host", "")
    return f"http://{host}" if _HOST.fullmatch(host) else ""


def identifier(request: Request) -> str:
    """Return the number or Request-Id that a status query asks about."""
    return unquote(request.path.removeprefix(STATUS_PATH))

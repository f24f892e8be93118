"""Requests: what happens to each of them before a handler sees it.

A request gets an id. Its body is read whole, up to a limit, and must be JSON that every reader
understands in the same way: no name twice, no NUL, no deep nesting, no number beyond 64 bits.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from math import isfinite
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import structlog

from billing.domain.escaping import escape
from billing.logs import Logger
from billing.store.session import brief_locks
from billing.web import problems

log = Logger(__name__)

BODY_MAX = 65_536
BODY_SECONDS = 10
"""The longest time that a body may take to arrive."""
DEPTH_MAX = 20
NUMBER_MAX = 2**63 - 1
LISTS = frozenset({"type"})
"""Parameters that may be repeated."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Unreadable(ValueError):
    """A body that is not acceptable JSON; its text says why."""


class Doorkeeper:
    """The outermost part of the application: ids, bodies, logs, and unexpected errors."""

    def __init__(
        self,
        app: Application,
        raw_paths: frozenset[str] = frozenset(),
        raw_prefixes: tuple[str, ...] = (),
    ) -> None:
        self._app, self._raw_paths, self._raw_prefixes = app, raw_paths, raw_prefixes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        seen = {"status": 0}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id.encode())]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            with brief_locks():  # a locked row must not hold a thread for long
                await self._handle(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - it is answered, or the answer ends, and logged
            if seen["status"]:
                # The server ends the connection without the end of the answer, so that the client
                # knows that it is not whole. Raised, its log would repeat values of rows.
                problems.log_failure(error, "web.broken_off")
                return
            await problems.internal(request_id, error)(scope, receive, answer)
        log.debug("web.answered", method=scope["method"], status=seen["status"])

    async def _handle(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] in self._raw_paths or scope["path"].startswith(self._raw_prefixes):
            await self._app(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            said = "an address contains NUL"
            refused = problems.response(scope["state"]["request_id"], 422, "invalid_request", said)
            await refused(scope, receive, send)
            return
        twice = _given_twice(scope["query_string"])
        if twice is not None:
            said = f"the parameter {twice!r} is given twice"
            refused = problems.response(scope["state"]["request_id"], 422, "invalid_request", said)
            await refused(scope, receive, send)
            return
        refusal, body = await self._body(scope, receive)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _body(
        self, scope: MutableMapping[str, Any], receive: Receive
    ) -> tuple[Application | None, bytes]:
        request_id = scope["state"]["request_id"]
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(receive, BODY_MAX)
        except TimeoutError:
            said = f"the body must arrive within {BODY_SECONDS} seconds"
            return problems.response(request_id, 408, "invalid_request", said), b""
        if body is None:
            said = f"the body must have at most {BODY_MAX} bytes"
            return problems.response(request_id, 413, "too_large", said), b""
        if not body:
            return None, body
        kind = _header(scope, b"content-type").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            said = "send the body as JSON, with Content-Type: application/json"
            return problems.response(request_id, 415, "unsupported_media_type", said), b""
        try:
            check(body)
        except Unreadable as wrong:
            said = f"the body is not acceptable JSON: {wrong}"
            return problems.response(request_id, 400, "invalid_request", said), b""
        return None, body


def check(body: bytes) -> None:
    """Raise Unreadable unless the body is JSON that has only one meaning."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    try:
        found = json.loads(
            text, object_pairs_hook=_once, parse_int=_whole, parse_float=_decimal,
            parse_constant=_constant,
        )  # fmt: skip
    except RecursionError:
        raise Unreadable(f"it is nested deeper than {DEPTH_MAX}") from None
    except json.JSONDecodeError as wrong:
        raise Unreadable(f"{wrong.msg} at character {wrong.pos}") from None
    _check_value(found, DEPTH_MAX)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("a name appears twice in one object")
    return found


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > NUMBER_MAX:
        raise Unreadable("a number is beyond 64 bits")
    return int(digits)


def _decimal(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise Unreadable("a number is too large")
    return number


def _constant(name: str) -> object:
    raise Unreadable(f"{name} is not a number in JSON")


def _check_value(value: object, depth: int) -> None:
    if depth == 0:
        raise Unreadable(f"it is nested deeper than {DEPTH_MAX}")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_text(name)
            _check_value(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check_value(inner, depth - 1)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise Unreadable("a text contains NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable("a text contains half a surrogate pair") from None


async def read_body(receive: Receive, most: int) -> bytes | None:
    """Read a whole body; None when it is longer than `most` bytes."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the handler the body that was read; after it, only the client's leaving is heard."""
    left = [body]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again


def _given_twice(query: bytes) -> str | None:
    """Return a parameter that is given more than once, except a list: one would be ignored."""
    names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    twice = [name for name in names if names.count(name) > 1 and name not in LISTS]
    return escape(twice[0])[:50] if twice else None


def _header(scope: MutableMapping[str, Any], name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def _given_id(scope: MutableMapping[str, Any]) -> str | None:
    """Use the caller's request id when it is a UUID."""
    try:
        return str(UUID(_header(scope, b"x-request-id").decode()))
    except ValueError:
        return None

"""One request to an ASGI application of this process, without a server."""

import asyncio
from collections.abc import Callable, Coroutine, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.types import ASGIApp, Message

A = TypeVar("A")
Headers = Sequence[tuple[bytes, bytes]]


def ask(
    there: ASGIApp, method: str, path: str, headers: Headers, body: bytes = b""
) -> tuple[int, bytes]:
    """
    Let an application answer one request; return the status and the body.

    The event loop runs in a thread of its own: a browser's may be running in this one, since
    Playwright keeps its loop between the tests of a process.
    """
    return apart(lambda: _talk(there, method, path, headers, body))


def apart(work: Callable[[], Coroutine[Any, Any, A]]) -> A:
    """Run asynchronous work in a thread of its own, and return what it returns."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


async def _talk(
    there: ASGIApp, method: str, path: str, headers: Headers, body: bytes
) -> tuple[int, bytes]:
    where, _, query = path.partition("?")
    scope: MutableMapping[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": where, "raw_path": where.encode(), "root_path": "",
        "query_string": query.encode(), "headers": list(headers), "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80), "state": {"request_id": "asked"},
    }  # fmt: skip
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    said: list[Message] = []

    async def receive() -> Message:
        return left.pop() if left else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    await there(scope, receive, send)
    parts = [message.get("body", b"") for message in said if message["type"].endswith("body")]
    return int(said[0]["status"]), b"".join(parts)

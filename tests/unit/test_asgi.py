"""The tests' own way to ask an application without a server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from starlette.types import Receive, Scope, Send

from tests.asgi import ask


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 202, "headers": []})
    said = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} ".encode()
    await send({"type": "http.response.body", "body": said + body})


def test_an_application_is_asked_without_a_server() -> None:
    """The application gets method, path, query and body; its status and body come back."""
    assert ask(_echo, "PUT", "/a/b?c=d", [], b"body") == (202, b"PUT /a/b?c=d body")


def test_an_application_is_asked_while_another_loop_runs() -> None:
    """A test may ask after a browser's tests, whose loop goes on in the same thread."""

    async def inside() -> tuple[int, bytes]:
        return ask(_echo, "GET", "/", [])

    with ThreadPoolExecutor(1) as thread:  # a browser's loop may be running in this one
        assert thread.submit(lambda: asyncio.run(inside())).result() == (202, b"GET /? ")

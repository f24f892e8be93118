"""A real HTTP server on the loopback that receives webhooks, and answers as a test tells it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks.webhooks import Webhook


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        """The id that all attempts of a delivery share."""
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        """The body, read."""
        read: dict[str, Any] = json.loads(self.body)
        return read

    def verify(self, secret: str) -> None:
        """Raise an error unless the signature is right, and fresh."""
        Webhook(secret).verify(self.body, self.headers)


Answering = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, location: str = "") -> Answering:
    """Answer with a status and no body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        if location:
            handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class Receiver:
    """What was received, and how to answer."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Answering = status(200)
        self.over = threading.Event()
        self.url = ""

    def of(self, webhook_id: str) -> list[Received]:
        """The attempts of one delivery."""
        return [each for each in self.received if each.webhook_id == webhook_id]

    def kinds(self) -> list[str]:
        """The types of the events that came, in order."""
        return [each.document["type"] for each in self.received]

    def silent(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer nothing until the test is over."""
        self.over.wait(20)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_POST(self) -> None:
            """Note the request, and answer."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            with suppress(OSError):
                receiver.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        """A server that does not wait for requests that hang."""

        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            thread.join()

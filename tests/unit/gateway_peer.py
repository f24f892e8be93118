"""A loopback server that sends a client exactly the bytes that a test scripts.

It knows only enough HTTP to find the end of a request, and of DOKU only the signature of an answer.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from billing.gateway import signing

CLIENT_ID = "MCH-0001-10791114622547"
SECRET = "unit-test-secret-key"
NOW = datetime(2020, 8, 11, 8, 45, 42, tzinfo=UTC)
ANSWERED_AT = "2020-08-11T08:45:43Z"


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Line:
    """One accepted connection, as the script of a test sees it."""

    def __init__(self, peer: "Peer", connection: socket.socket) -> None:
        self._peer = peer
        self._connection = connection
        self._file = connection.makefile("rb")

    def read(self) -> Request | None:
        """Read one whole request and note it; None when the client has hung up."""
        first = self._file.readline().decode()
        if not first:
            return None
        headers = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers.get("content-length", 0)))
        method, target, _ = first.split(" ", 2)
        request = Request(method, target, headers, body)
        self._peer.requests.append(request)
        return request

    def write(self, data: bytes) -> None:
        """Send raw bytes."""
        self._connection.sendall(data)

    def end(self) -> None:
        """End a script that still waits for a client which leaked its connection."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._connection.close()


Script = Callable[[Line], object]


class Peer:
    """A listening socket; every connection is handed to `script`, then closed."""

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.done = threading.Event()
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lines: list[Line] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.done.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            line.end()
        for thread in self._threads:
            thread.join(timeout=10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            line = Line(self, connection)
            self._lines.append(line)
            thread = threading.Thread(target=self._serve, args=(line,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: Line) -> None:
        try:
            self._script(line)
        except OSError:
            pass  # the client hung up first, as some tests want
        finally:
            line.close()


def reply(body: bytes, status: int = 200, **headers: str) -> bytes:
    """Write an HTTP answer; underscores in header names become dashes."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def signed_reply(request: Request, body: bytes, status: int = 201, secret: str = SECRET) -> bytes:
    """Write an HTTP answer signed as DOKU signs the answer to a POST."""
    component = signing.response_component(
        CLIENT_ID,
        request.headers["request-id"],
        ANSWERED_AT,
        request.target,
        signing.digest(body),
    )
    signature = signing.sign(secret.encode(), component).decode()
    return reply(body, status, Response_Timestamp=ANSWERED_AT, Signature=signature)


def unused_port() -> int:
    """Find a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

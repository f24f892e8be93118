"""HTTP/1.1 over asyncio: replies are sent in the order of the requests, or not at all.

It keeps connections alive and takes pipelined requests. It knows no path and no header by name.
"""

import asyncio
import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import Protocol, cast

import httptools

HEAD_MAX = 32_768
BODY_MAX = 1_048_576
PIPELINE_MAX = 64
"""Requests of one connection that may wait for their replies; at more, reading pauses."""

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Request:
    """One request; header names are in lower case, repeated ones are joined."""

    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path, mark, query = target.partition("?")
        self.query: str | None = query if mark else None
        self.headers = headers
        self.body = body


class Reply:
    """The place of one answer in its connection; it is given once, now or later."""

    __slots__ = ("_connection", "data", "ending")

    def __init__(self, connection: "Connection", *, keep_alive: bool) -> None:
        self._connection = connection
        self.data: bytes | None = None
        self.ending = "" if keep_alive else "close"

    def send(
        self, status: int, body: bytes, content_type: str, headers: list[tuple[str, str]]
    ) -> None:
        """Write an answer, as soon as the earlier ones of this connection are written."""
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Unnamed')}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
        ]
        lines += [f"{name}: {value}" for name, value in headers]
        if self.ending:
            lines.append("Connection: close")
        self.data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        self._connection.flush()

    def drop(self) -> None:
        """Close the connection normally, without an answer."""
        self.data, self.ending = b"", "close"
        self._connection.flush()

    def abort(self) -> None:
        """Reset the connection."""
        self.data, self.ending = b"", "reset"
        self._connection.flush()


class Application(Protocol):
    """What answers the requests of the connections."""

    def refuses(self, method: str, path: str) -> bool:
        """Whether to reset a connection before the body of its request is read."""

    def receive(self, request: Request, reply: Reply) -> None:
        """Answer a request now or later; never raises."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, application: Application, connections: set["Connection"]) -> None:
        self._application = application
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._replies: deque[Reply] = deque()
        self._transport: asyncio.Transport
        self._is_lost = False
        self._write_paused = False
        self._rejected = False
        self.on_message_begin()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the connection, so that it can be closed at the end."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio names it
        """Forget the connection; later answers are dropped, but the work continues."""
        self._is_lost = True
        self._replies.clear()
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Parse the data; anything but HTTP/1.1 gets a 400 and closes the connection."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._reject(400)

    def pause_writing(self) -> None:
        """Read no further requests while the client does not read its answers."""
        self._write_paused = True
        self._throttle()

    def resume_writing(self) -> None:
        """Continue reading."""
        self._write_paused = False
        self._throttle()

    # What the parser calls, in this order for each request.

    def on_message_begin(self) -> None:
        """Forget the previous request."""
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._head_size = self._body_size = 0

    def on_url(self, url: bytes) -> None:
        """Store the request target, which may come in pieces."""
        self._target += url
        self._head_size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header."""
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_MAX:
            self._reject(431)
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Reset the connection before the body if a script refuses the request."""
        if self._takes_requests and self._application.refuses(self._method, self._path):
            self._end(reset=True)

    def on_body(self, body: bytes) -> None:
        """Store a piece of the body."""
        self._body_size += len(body)
        if self._body_size > BODY_MAX:
            self._reject(413)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the request over, with the place for its reply."""
        if not self._takes_requests:
            return
        target = self._target.decode("latin-1")
        request = Request(self._method, target, self._headers, b"".join(self._body))
        reply = Reply(self, keep_alive=self._parser.should_keep_alive())
        self._replies.append(reply)
        self._application.receive(request, reply)
        self._throttle()

    # What replies call.

    def flush(self) -> None:
        """Write the answers that are ready, up to the first one that is not."""
        while self._replies and self._replies[0].data is not None and self._is_open:
            reply = self._replies.popleft()
            if reply.data:
                self._transport.write(reply.data)
            if reply.ending:
                self._end(reset=reply.ending == "reset")
        self._throttle()

    def close(self) -> None:
        """End the connection now."""
        self._transport.abort()

    @property
    def _is_open(self) -> bool:
        return not self._is_lost and not self._transport.is_closing()

    @property
    def _takes_requests(self) -> bool:
        return self._is_open and not self._rejected

    @property
    def _method(self) -> str:
        return str(self._parser.get_method().decode("latin-1"))

    @property
    def _path(self) -> str:
        return self._target.decode("latin-1").partition("?")[0]

    def _reject(self, status: int) -> None:
        if self._is_open and not self._rejected:
            self._rejected = True
            reply = Reply(self, keep_alive=False)
            self._replies.append(reply)
            reply.send(status, b"", "text/plain", [])

    def _end(self, *, reset: bool) -> None:
        self._replies.clear()
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            self._transport.abort()
        else:
            self._transport.close()

    def _throttle(self) -> None:
        if not self._is_open:
            return
        if self._write_paused or len(self._replies) >= PIPELINE_MAX:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

"""Posting: send bodies to one URL, to an address that was checked, each within a total time.

The name is resolved once for each connection, and the connection goes to the address that was
checked: a name that resolves differently the second time changes nothing. The TLS certificate is
checked against the name. Redirects are not followed and proxies are not used. A request is sent
once; only one that found its kept connection closed, before any byte of an answer, is sent again on
a new one. No exception leaves this module, because its text may contain the URL.
"""

import io
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import cache
from http.client import HTTPException, HTTPResponse
from time import monotonic

import certifi

from billing.domain.addresses import Target, is_public
from billing.domain.webhooks import Answer
from billing.outbound import resolving
from billing.outbound.deadlines import WATCHDOG, Watched

TOTAL_SECONDS = 15.0
"""For everything: name, connection, TLS, request and answer (Standard Webhooks: 15 to 30 s)."""
CONNECT_SECONDS = 5.0
"""For each address, so that one that does not answer leaves time for the next."""
ANSWER_MAX_BYTES = 64 * 1024
KEPT_SECONDS = 30.0
"""How long a connection is used again; then the name is resolved and checked again."""
FINAL_STATUS_MIN = 200
"""After a lower status another answer may follow."""
HTTP_1_1 = 11
REFUSED = "address_refused"
TIMED_OUT = "timed_out"
Resolve = Callable[[str, int, float], list[str]]


class _NotConnected(Exception):
    """No address of the host accepted a connection."""


class _Refused(Exception):
    """An address of the host is not public."""


def post(
    target: Target,
    headers: Mapping[str, str],
    body: bytes,
    *,
    total_seconds: float = TOTAL_SECONDS,
    resolve: Resolve = resolving.resolve,
) -> Answer:
    """Send the body once; return the status, and the error in one word unless it is a 2xx."""
    with closing(Poster(target, keeps=False, resolve=resolve)) as poster:
        return poster.post(headers, body, total_seconds=total_seconds)


class Poster:
    """Sends to one target, one request at a time, and keeps the connection for the next one."""

    def __init__(
        self, target: Target, *, keeps: bool = True, resolve: Resolve = resolving.resolve
    ) -> None:
        self.target = target
        self._keeps = keeps
        self._resolve = resolve
        self._kept: _Connection | None = None

    def post(
        self, headers: Mapping[str, str], body: bytes, *, total_seconds: float = TOTAL_SECONDS
    ) -> Answer:
        """Send the body; return the status, and the error in one word unless it is a 2xx."""
        deadline = monotonic() + total_seconds
        try:
            status = self._sent(_request(self.target, headers, body, keeps=self._keeps), deadline)
        except resolving.NotResolved:
            return Answer(None, "name_not_resolved")
        except _Refused:
            return Answer(None, REFUSED)
        except ssl.SSLError:
            return Answer(None, _late(deadline) or "tls_failed")
        except _NotConnected:
            return Answer(None, _late(deadline) or "not_connected")
        except TimeoutError:
            return Answer(None, TIMED_OUT)
        except OSError:
            return Answer(None, _late(deadline) or "connection_lost")
        except (HTTPException, ValueError):
            return Answer(None, _late(deadline) or "no_http_answer")
        return Answer(status, _fault(status))

    def close(self) -> None:
        """Close the kept connection."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _sent(self, request: bytes, deadline: float) -> int:
        kept, self._kept = self._kept, None
        if kept is not None:
            if kept.is_usable():
                try:
                    return self._exchange(kept, request, deadline)
                except (OSError, HTTPException):
                    # The receiver may have closed the connection while the request was on its way.
                    if kept.received or monotonic() >= deadline:
                        raise
            else:
                kept.close()
        return self._exchange(self._connected(deadline), request, deadline)

    def _connected(self, deadline: float) -> "_Connection":
        target, left = self.target, max(deadline - monotonic(), 0)
        addresses = self._resolve(target.host, target.port, left)
        if not target.is_allowed and not all(map(is_public, addresses)):
            raise _Refused
        return _Connection(target, addresses, deadline)

    def _exchange(self, connection: "_Connection", request: bytes, deadline: float) -> int:
        try:
            status = connection.exchange(request, deadline)
        except BaseException:
            connection.close()
            raise
        if self._keeps and connection.is_complete:
            self._kept = connection
        else:
            connection.close()
        return status


def _request(target: Target, headers: Mapping[str, str], body: bytes, *, keeps: bool) -> bytes:
    """Return the bytes of a request; one packet if they fit."""
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.host_header}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    if not keeps:
        lines.append("Connection: close")
    if any("\r" in line or "\n" in line for line in lines) or " " in target.path:
        raise ValueError("a header or the path would end its line")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"redirect_{status}" if 300 <= status < 400 else f"http_{status}"


def _late(deadline: float) -> str | None:
    return TIMED_OUT if monotonic() >= deadline else None


class _Bytes(io.RawIOBase):
    """The bytes that a connection receives; counted, and paused to look at what is buffered."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.received = 0
        self.is_paused = False

    def readable(self) -> bool:
        """Return True; `BufferedReader` asks."""
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        """Read what has arrived, or nothing while paused."""
        if self.is_paused:
            return None
        count = self._line.recv_into(buffer)
        self.received += count
        return count


class _Reader(io.BufferedReader):
    """A buffer that stays open between answers, so that no byte behind one is lost unseen."""

    def close(self) -> None:
        """Stay open; `HTTPResponse` closes what it reads at the end of each answer."""

    def makefile(self, _mode: str) -> "_Reader":
        """Return itself; `HTTPResponse` asks its socket for a file."""
        return self


class _Connection:
    """A connection to a checked address, ended at the deadline of each request."""

    def __init__(self, target: Target, addresses: list[str], deadline: float) -> None:
        """Connect to the first address that accepts, with TLS for https."""
        raw = _dialed(addresses, target.port, deadline)
        self._watched = Watched(raw.dup())
        self._line = raw
        self._since = monotonic()
        self.is_complete = False
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            WATCHDOG.begin(self._watched, deadline)
            if target.scheme == "https":
                self._line = tls().wrap_socket(raw, server_hostname=target.host)
        except BaseException:
            self.close()
            raise
        self._bytes = _Bytes(self._line)
        self._reader = _Reader(self._bytes)

    @property
    def received(self) -> int:
        """Bytes of the present answer that have arrived."""
        return self._bytes.received

    def exchange(self, request: bytes, deadline: float) -> int:
        """Return the status of the answer; a body that hangs or is too long changes nothing."""
        self.is_complete, self._bytes.received = False, 0
        WATCHDOG.begin(self._watched, deadline)
        self._line.settimeout(max(deadline - monotonic(), 0.001))
        self._line.sendall(request)
        response = HTTPResponse(self._reader, method="POST")  # type: ignore[arg-type]
        response.begin()
        if monotonic() >= deadline:
            raise TimeoutError  # the headers may have been cut at the deadline
        may_stay = not response.will_close and response.status >= FINAL_STATUS_MIN
        with suppress(OSError, HTTPException, ValueError):
            if not _has_no_end(response):
                response.read(ANSWER_MAX_BYTES)
            self.is_complete = may_stay and response.isclosed()
        self.is_complete = WATCHDOG.rest(self._watched) and self.is_complete
        return response.status

    def is_usable(self) -> bool:
        """Whether the next answer would be the first to arrive: nothing is left, and it is open."""
        if monotonic() - self._since > KEPT_SECONDS:
            return False
        self._bytes.is_paused = True
        left = self._reader.peek(1)
        self._bytes.is_paused = False
        if left:
            return False
        self._line.settimeout(0)
        try:
            self._line.recv(1)  # a byte, or none at the end of the stream
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the connection."""
        WATCHDOG.close(self._watched)
        self._line.close()


def _has_no_end(response: HTTPResponse) -> bool:
    """Whether a body would end with the connection, which the receiver did not say it closes."""
    says_close = "close" in (response.getheader("Connection") or "").lower()
    has_length = response.length is not None or response.chunked
    return response.version == HTTP_1_1 and not has_length and not says_close


def _dialed(addresses: list[str], port: int, deadline: float) -> socket.socket:
    for address in dict.fromkeys(addresses):
        left = deadline - monotonic()
        if left > 0:
            with suppress(OSError):
                line = socket.create_connection((address, port), min(CONNECT_SECONDS, left))
                line.settimeout(max(deadline - monotonic(), 0.001))
                return line
    raise _NotConnected


@cache
def tls() -> ssl.SSLContext:
    """Return the TLS settings: certificates of public authorities, names checked."""
    return ssl.create_default_context(cafile=certifi.where())

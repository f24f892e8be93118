"""Posting: send one body to one URL, to an address that was checked, within a total time.

The name is resolved once and the connection goes to the address that was checked: a name that
resolves differently the second time changes nothing. The TLS certificate is checked against the
name. Redirects are not followed, proxies are not used, and nothing is repeated. No exception leaves
this module, because its text may contain the URL.
"""

import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from threading import Timer
from time import monotonic

import certifi

from billing.domain.addresses import Target, is_public
from billing.domain.webhooks import Answer
from billing.outbound import resolving

TOTAL_SECONDS = 15.0
"""For everything: name, connection, TLS, request and answer (Standard Webhooks: 15 to 30 s)."""
CONNECT_SECONDS = 5.0
"""For each address, so that one that does not answer leaves time for the next."""
ANSWER_MAX_BYTES = 64 * 1024
REFUSED = "address_refused"
TIMED_OUT = "timed_out"
Resolve = Callable[[str, int, float], list[str]]


class _NotConnected(Exception):
    """No address of the host accepted a connection."""


def post(
    target: Target,
    headers: Mapping[str, str],
    body: bytes,
    *,
    total_seconds: float = TOTAL_SECONDS,
    resolve: Resolve = resolving.resolve,
) -> Answer:
    """Send the body once; return the status, and the error in one word unless it is a 2xx."""
    deadline = monotonic() + total_seconds
    try:
        addresses = resolve(target.host, target.port, total_seconds)
    except resolving.NotResolved:
        return Answer(None, "name_not_resolved")
    if not target.is_allowed and not all(map(is_public, addresses)):
        return Answer(None, REFUSED)
    try:
        status = _exchange(_Connection(target, addresses, deadline), headers, body)
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


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"redirect_{status}" if 300 <= status < 400 else f"http_{status}"


def _late(deadline: float) -> str | None:
    return TIMED_OUT if monotonic() >= deadline else None


class _Connection(HTTPConnection):
    """A connection to a checked address, which a timer ends at the deadline.

    A time-out of the socket would begin again with every byte that arrives.
    """

    def __init__(self, target: Target, addresses: list[str], deadline: float) -> None:
        super().__init__(target.host, target.port)
        self.target = target
        self._addresses = addresses
        self._deadline = deadline
        self._timer: Timer | None = None
        self._twin: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the first address that accepts, with TLS for https."""
        raw = self._dial()
        # TLS takes the socket over; ending the connection by its twin works in every phase.
        self._twin = twin = raw.dup()
        self._timer = Timer(self.seconds_left(), _end, (twin,))
        self._timer.daemon = True
        self._timer.start()
        self.sock = raw
        if self.target.scheme == "https":
            self.sock = tls().wrap_socket(raw, server_hostname=self.target.host)

    def close(self) -> None:
        """Close the connection, and stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._twin is not None:
            self._twin.close()
        super().close()

    def _dial(self) -> socket.socket:
        for address in dict.fromkeys(self._addresses):
            if self.seconds_left() > 0:
                with suppress(OSError):
                    seconds = min(CONNECT_SECONDS, self.seconds_left())
                    raw = socket.create_connection((address, self.target.port), seconds)
                    raw.settimeout(self.seconds_left())
                    return raw
        raise _NotConnected

    def seconds_left(self) -> float:
        """Return the seconds until the deadline."""
        return max(self._deadline - monotonic(), 0)


def _end(twin: socket.socket) -> None:
    with suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)


def _exchange(connection: _Connection, headers: Mapping[str, str], body: bytes) -> int:
    """Return the status of the answer; it decides, so that a body that hangs changes nothing."""
    with closing(connection):
        connection.putrequest(
            "POST", connection.target.path, skip_host=True, skip_accept_encoding=True
        )
        connection.putheader("Host", connection.target.host_header)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Connection", "close")
        connection.endheaders(body)
        response = connection.getresponse()
        if connection.seconds_left() <= 0:
            raise TimeoutError  # the headers may have been cut by the timer
        with closing(response), suppress(OSError, HTTPException, ValueError):
            response.read(ANSWER_MAX_BYTES)
        return response.status


@cache
def tls() -> ssl.SSLContext:
    """Return the TLS settings: certificates of public authorities, names checked."""
    return ssl.create_default_context(cafile=certifi.where())

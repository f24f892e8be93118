"""Transport: connections, time-outs, and whether a request can have been sent.

Only this module imports requests. This module does not know signatures, JSON or payments. No
exception leaves this module, because its text contains URLs and bodies. Redirects are not followed
and requests are not repeated.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError
from urllib3.util import Retry

from billing.call_times import CallTimes
from billing.domain.errors import NotConfigured
from billing.gateway.urls import is_private_url
from billing.logs import Logger

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPResponse
    from urllib3.connectionpool import ConnectionPool

CONNECT_SECONDS = 5.0
BODY_MAX_BYTES = 1 << 20

_log = Logger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer as received; header names are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the body was sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have arrived; no usable answer was received."""

    reason: str


Delivery = Answered | NotSent | NoAnswer


class Transport:
    """
    Connections to one gateway: one adapter per thread and process, created at its first use.

    An adapter from before a fork is not used after it. Requests are given to the adapter without a
    session, because a session handles cookies, redirects and hooks, and reads proxies, certificates
    and .netrc from the environment. A proxy and a CA file are set only here.
    """

    def __init__(
        self,
        base_url: str,
        *,
        proxy: str = "",
        ca_file: str = "",
        times: CallTimes | None = None,
        plain_host: str = "",
    ) -> None:
        base = base_url.rstrip("/")
        if not is_private_url(base, plain_host) or urlsplit(base)[2:] != ("", "", ""):
            raise NotConfigured(
                "the gateway's base URL must be https://host without a path"
                " (http only towards this machine)"
            )
        self._base = base
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._verify: bool | str = ca_file or True
        self._times = times or CallTimes()
        self._local = _Local()

    def send(
        self,
        call: str,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_seconds: float,
    ) -> Delivery:
        """
        Send one request once; return its answer, or why there is none.

        `timeout_seconds` limits each wait for the peer. The limit also applies to connecting and
        reading the body together, plus at most one such wait, even if the body arrives byte by
        byte.
        """
        started = time.monotonic()
        parcel = None if body is None else _Parcel(body)
        request = _prepared(method, self._base + target, headers, parcel)
        try:
            delivery = self._exchange(request, timeout_seconds)
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            delivery = _failure(error, parcel)
        seconds = time.monotonic() - started
        self._times.add(call, seconds)
        _log.debug(
            "gateway.called",
            call=call,
            http_status=delivery.status if isinstance(delivery, Answered) else None,
            reason="" if isinstance(delivery, Answered) else delivery.reason,
            milliseconds=round(seconds * 1000),
        )
        return delivery

    def close(self) -> None:
        """Close this thread's connections."""
        if self._local.adapter is not None:
            self._local.adapter.close()
            self._local.adapter = None

    def _exchange(self, request: requests.PreparedRequest, timeout_seconds: float) -> Delivery:
        connect_seconds = min(CONNECT_SECONDS, timeout_seconds)
        deadline = time.monotonic() + connect_seconds + timeout_seconds
        sent = self._adapter().send(
            request,
            stream=True,
            timeout=(connect_seconds, timeout_seconds),
            verify=self._verify,
            proxies=self._proxies,
        )
        response = cast("HTTPResponse", sent)  # as our adapter returns it
        try:
            body = bytearray()
            # Raw bytes: the signature covers the bytes as sent, not the uncompressed ones.
            while chunk := response.read1(65536, decode_content=False):
                body += chunk
                if len(body) > BODY_MAX_BYTES:
                    return NoAnswer("answer_too_large")
                if time.monotonic() > deadline:
                    return NoAnswer("answer_too_slow")
            return Answered(response.status, response.headers, bytes(body))
        finally:
            # A connection whose answer was read completely is in the pool already.
            response.close()

    def _adapter(self) -> "_Adapter":
        local = self._local
        if local.adapter is None or local.pid != os.getpid():
            # After a fork the parent's adapter is dropped, not closed: its sockets are in use.
            local.adapter = _Adapter(
                pool_connections=1, pool_maxsize=1, max_retries=Retry(0, read=False)
            )
            local.pid = os.getpid()
        return local.adapter


class _Local(threading.local):
    adapter: "_Adapter | None" = None
    pid = 0


class _Adapter(HTTPAdapter):
    """An adapter for one host; its connection pool is looked up once, not for every request."""

    _pool: "ConnectionPool | None" = None

    def build_response(
        self,
        req: requests.PreparedRequest,  # noqa: ARG002 - the base class names it
        resp: "BaseHTTPResponse",
    ) -> requests.Response:
        """Return the answer itself; building a requests.Response takes longer than reading it."""
        return cast("requests.Response", resp)

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001 - as the base class has it
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> "ConnectionPool":
        """Return the connection pool of the gateway, or of the proxy in front of it."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return self._pool


def _prepared(
    method: str, url: str, headers: Mapping[str, str], parcel: "_Parcel | None"
) -> requests.PreparedRequest:
    """Return a request that is ready to send; none of the seven steps of `prepare()` is needed."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, url, parcel  # type: ignore[assignment]  # typed as what prepare() makes of it; iterables are sent as they are
    request.headers = CaseInsensitiveDict(headers)
    if parcel is not None:
        request.headers["Content-Length"] = str(len(parcel))
    return request


class _Parcel:
    """
    A body that records whether the library has taken it.

    The library takes it only after the connection is open, with TLS and proxy, and the headers are
    written. Until then the gateway cannot have acted, regardless of the exception. Its type
    does not show this, because TLS errors and resets happen before and after.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.handed_over = False

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        self.handed_over = True
        yield self._body


def _failure(error: Exception, parcel: _Parcel | None) -> NotSent | NoAnswer:
    """Describe a failure in our own words; the library's texts stay in this module."""
    if parcel is not None and not parcel.handed_over:
        return NotSent(_why_not_sent(error))
    return NoAnswer(
        "read_timeout" if isinstance(error, requests.Timeout | TimeoutError) else "connection_lost"
    )


def _why_not_sent(error: Exception) -> str:
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError) and isinstance(cause.reason, NameResolutionError):
        return "name_not_resolved"
    for kind, reason in (
        (requests.exceptions.ProxyError, "proxy_refused"),
        (requests.exceptions.SSLError, "tls_failed"),
        (requests.Timeout, "connect_timeout"),
    ):
        if isinstance(error, kind):
            return reason
    return "not_connected"

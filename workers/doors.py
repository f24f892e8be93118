"""Access control for Flower: who may connect, from which pages, and which paths are disabled.

Flower can start any admin task. Basic auth alone is not enough: a browser that knows the password
sends it with every request that another site triggers, and another host name can resolve to this
machine. Flower's basic auth also leaves `/metrics` and `/healthcheck` open (2.2: handlers without
`authenticated`). This module does not know tasks.
"""

import re
import sys
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from flower import app as flower  # type: ignore[import-untyped]  # flower has no types
from flower.api import tasks  # type: ignore[import-untyped]  # as above
from flower.views import BaseHandler, monitor  # type: ignore[import-untyped]  # as above
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RequestHandler, authenticated

from billing.config import LOOPBACK

READ_BY_A_FORM = "/tasks/datatable"
"""Flower's own page requests its table with a form; the request changes nothing."""
NO_LOGIN = "FLOWER_BASIC_AUTH must be name:password, or several, comma-separated"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def check_logins(logins: Sequence[str]) -> None:
    """Exit with one line when a login has an empty name or password, or there is an extra comma."""
    if not logins or not all(re.fullmatch("[^:]+:.+", login) for login in logins):
        sys.exit(f"billing: {NO_LOGIN}")


def close(hosts: Collection[str] = ()) -> None:
    """Restrict every Flower of this process to authenticated, same-origin requests.

    `hosts` are allowed host names in addition to those of this machine.
    """
    for page in (monitor.Metrics, monitor.Healthcheck):
        page.get = authenticated(page.get)
    # These paths wait for a result. There is none, so they answer 500 or 503, but the task runs.
    for shut in (tasks.TaskApply, tasks.TaskAbort):
        shut.post = authenticated(_shut)
    tasks.TaskResult.get = authenticated(_shut)
    BaseHandler.set_default_headers = _set_headers
    _close_application(frozenset(hosts))


def why_refused(request: HTTPServerRequest, hosts: Collection[str] = ()) -> tuple[int, str] | None:
    """Return the status and reason with which a request is refused, or None."""
    if _name(f"//{request.host}") not in LOOPBACK | set(hosts):
        return 403, "host name not allowed; add it to BILLING_FLOWER_HOSTS"
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own(origin, request.host, hosts):
        return 403, "cross-origin requests are not allowed"
    site, mode = (request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Mode"))
    looks = request.method in {"GET", "HEAD"} and mode == "navigate"
    if site not in {None, "same-origin", "none"} and not looks:
        return 403, "cross-origin requests are not allowed"
    if request.method in {"GET", "HEAD", "OPTIONS"} or _reads(request):
        return None
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    # A page can send a form to any host without permission, but not JSON.
    return None if kind == "application/json" else (415, "the body must be application/json")


def _reads(request: HTTPServerRequest) -> bool:
    return bool(request.path.endswith(READ_BY_A_FORM))


def _is_own(origin: str, host: str, hosts: Collection[str]) -> bool:
    try:
        place = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return place == host.lower() or _name(origin) in hosts


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class Refusal(RequestHandler):
    """Handler that answers a refused request."""

    def initialize(self, status: int, why: str) -> None:
        """Store the status and the reason."""
        self._status, self._why = status, why

    def check_xsrf_cookie(self) -> None:
        """Skip the XSRF check: nothing is executed."""

    def prepare(self) -> None:
        """Send the reason, for every HTTP method."""
        _set_headers(self)
        self.set_status(self._status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{self._why}\n")


async def _shut(_handler: RequestHandler, *_: Any) -> None:
    raise HTTPError(403, "results are kept in the database; use async-apply")


def _set_headers(handler: RequestHandler) -> None:
    for name, value in HEADERS.items():
        handler.set_header(name, value)


def _close_application(hosts: Collection[str]) -> None:
    plain_init, plain_find = flower.Flower.__init__, flower.Flower.find_handler

    def init(self: Any, *args: Any, **options: Any) -> None:
        plain_init(self, *args, **options)
        check_logins(self.options.basic_auth or ())

    def find_handler(self: Any, request: HTTPServerRequest, **options: Any) -> Any:
        refused = why_refused(request, hosts)
        if refused is None:
            return plain_find(self, request, **options)
        status, why = refused
        return self.get_handler_delegate(request, Refusal, {"status": status, "why": why})

    flower.Flower.__init__, flower.Flower.find_handler = init, find_handler

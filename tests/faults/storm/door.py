"""The HTTP interface in a storm: requests to the real application, as actions of a process.

Each request has an event loop of its own, and the handlers run in its threads, so that an action of
another process can come between any two steps of a handler. It knows no deed and no verdict.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastapi import FastAPI

from billing.services.context import Context
from billing.web import app, notifications
from billing.web.requests import Doorkeeper
from tests.asgi import Headers, ask
from tests.faults.storm.world import World

SETTINGS: Mapping[str, Any] = {
    "web_requests_per_second": 0,
    "redis_url": "redis://127.0.0.1:1/0",
    "doku_secret_key": "SK-storm",
}
"""No limit of requests: it counts in real time, and a seed plays the same again."""
PATH = "/doku/notifications"
STAMP = "2026-01-31T02:00:00Z"


@dataclass(frozen=True)
class Answer:
    """A status and the document that came with it."""

    status: int
    document: Mapping[str, Any]

    @property
    def succeeded(self) -> bool:
        """Whether the deed was done."""
        return 200 <= self.status < 300

    @property
    def kind(self) -> str:
        """The stable name of a problem; empty for a success."""
        return "" if self.succeeded else str(self.document.get("type", ""))


class Door:
    """Sends requests with one API key."""

    def __init__(self, world: World, key: str) -> None:
        self._world = world
        self._key = key

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None, key: str | None = None
    ) -> Answer | None:
        """Send a request; None when the process was killed before it answered."""
        headers = [(b"authorization", f"Bearer {self._key}".encode())]
        if key is not None:
            headers.append((b"idempotency-key", key.encode()))
        sent = b"" if body is None else json.dumps(body).encode()
        if sent:
            headers.append((b"content-type", b"application/json"))
        found: list[Answer] = []

        def deed(context: Context) -> None:
            there = application(context)
            there.state.context = context  # a process that has just started
            found.append(_answer(*ask(there, method, path, headers, sent)))

        self._world.run(f"{method} {path}", deed)
        return found[0] if found else None


def notify(world: World, document: Mapping[str, Any], secret: str) -> int | None:
    """Send a notification of the gateway, signed with a secret; None without an answer."""
    body = json.dumps(document).encode()
    found: list[int] = []

    def deed(context: Context) -> None:
        there = FastAPI(openapi_url=None)
        there.include_router(notifications.router(context))
        behind = Doorkeeper(there, raw_paths=frozenset({PATH}))
        found.append(ask(behind, "POST", PATH, signed(body, secret), body)[0])

    world.run("POST notification", deed)
    return found[0] if found else None


@cache
def _cached() -> list[FastAPI]:
    return []


def application(context: Context) -> FastAPI:
    """The application of this process; it is made once, since that takes a third of a second."""
    made = _cached()
    if not made:
        made.append(app.create(context))
    return made[0]


def signed(body: bytes, secret: str) -> Headers:
    """The four headers of a notification, by an arithmetic of the test's own."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    lines = (
        "Client-Id:STORM", "Request-Id:storm", f"Request-Timestamp:{STAMP}",
        f"Request-Target:{PATH}", f"Digest:{digest}",
    )  # fmt: skip
    mac = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    return [
        (b"client-id", b"STORM"), (b"request-id", b"storm"), (b"request-timestamp", STAMP.encode()),
        (b"signature", b"HMACSHA256=" + base64.b64encode(mac)),
    ]  # fmt: skip


def _answer(status: int, body: bytes) -> Answer:
    return Answer(status, json.loads(body) if body else {})

"""The HTTP interface under test: a real uvicorn on loopback, in a thread of the test process."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import requests
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from billing.domain.events import OPERATOR
from billing.services.context import Context
from billing.services.operating import api_keys
from billing.web import app
from billing.web.access import Limiter
from billing.web.metrics import Scrapes
from billing.web.server import Server, behind
from tests.integration.engine import Engine
from tests.waits import wait_until

TIMEOUT = 20


class Client:
    """A merchant's backend: it knows a base URL and a key, and speaks JSON."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url, self.key = url, key
        self._session = requests.Session()

    def send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> requests.Response:
        """Send a request; `key` is its Idempotency-Key, by default a new one for a POST."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if method == "POST":
            sent["Idempotency-Key"] = key or str(uuid4())
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        return self._session.request(
            method, self.url + path, data=data, headers=sent, timeout=TIMEOUT
        )

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Send a request that must succeed, and return the document."""
        answer = self.send(method, path, body, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> Mapping[str, Any]:
        """Send a request that must be refused with a problem document, and return it."""
        answer = self.send(method, path, body, **more)
        assert answer.status_code >= 400, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        found = answer.json()
        assert set(found) == {"type", "title", "status", "detail", "request_id", "errors"}
        assert found["status"] == answer.status_code
        assert found["request_id"] == answer.headers["X-Request-Id"]
        return dict(found)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class Web:
    """A running application, and clients for it."""

    def __init__(self, engine: Engine, url: str, redis_url: str, server: uvicorn.Server) -> None:
        self.engine, self.url, self.redis_url = engine, url, redis_url
        self._server = server
        self._clients: list[Client] = []

    def client(self, *scopes: str, name: str | None = None) -> Client:
        """Return a client with a new key; without scopes it may do everything."""
        made = api_keys.create(
            self.engine.context, name or f"key {uuid4()}", scopes or ["admin"], OPERATOR
        )
        return self._kept(Client(self.url, made.key))

    def stranger(self, key: str | None = None) -> Client:
        """Return a client without a valid key."""
        return self._kept(Client(self.url, key))

    def _kept(self, client: Client) -> Client:
        self._clients.append(client)
        return client

    def stop(self) -> None:
        """Tell the server to stop."""
        self._server.should_exit = True

    def close(self) -> None:
        """Close every client."""
        for client in self._clients:
            client.close()


class _Present:
    """Stands for the engine of the test that an application serves now."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)


_idle: list[tuple[FastAPI, _Present]] = []
"""Applications that no test uses: to build one and its validators takes a tenth of a second.

What is switched is the engine and the limit. The route of notifications keeps the gateway's keys of
the first engine, which are the same in all tests of a process; it has its own tests."""


def _serve(context: Context) -> tuple[FastAPI, _Present]:
    """Return an application that answers from this engine, and from no other."""
    if _idle:
        application, present = _idle.pop()
    else:
        present = _Present(context)
        application = app.create(cast("Context", present))
        application.state.limiter.close()
    settings = context.settings
    present.context = application.state.context = context
    application.state.limiter = Limiter(settings.redis, settings.web_requests_per_second)
    application.state.scrapes = Scrapes(context)
    return application, present


@contextmanager
def serving(engine: Engine, redis_url: str, **settings: Any) -> Iterator[Web]:
    """Serve the HTTP interface of an engine."""
    changed = engine.context.settings.model_copy(
        update={"redis_url": SecretStr(redis_url), **settings}
    )
    application, present = _serve(replace(engine.context, settings=changed))
    config = uvicorn.Config(
        behind(application, changed.trusted_proxies), host="127.0.0.1", port=0, log_config=None,
        lifespan="off", access_log=False, proxy_headers=False,
    )  # fmt: skip
    server = Server(config, application)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the web server answers", pause_seconds=0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    web = Web(engine, f"http://127.0.0.1:{port}", redis_url, server)
    try:
        yield web
    finally:
        web.close()
        web.stop()
        thread.join(10)
        application.state.limiter.close()
        if not thread.is_alive():  # then no request of this test is left
            _idle.append((application, present))

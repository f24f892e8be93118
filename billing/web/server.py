"""Server: run the HTTP interface under uvicorn, and end it without cutting a request off."""

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from billing import bootstrap, config, logs

if TYPE_CHECKING:
    from fastapi import FastAPI

    from billing.services.context import Context
    from billing.web.console.streams import Streams

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

GRACE_SECONDS = 20
"""How long requests that have begun may take after the first signal."""
KEEP_ALIVE_SECONDS = 30
START_FAILED = 3
"""The exit code of uvicorn."""


def run(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Raises NotConfigured when a setting is missing.

    h11 refuses headers of more than 64 KB, which the faster parser does not. A client that sends
    its headers slowly is for the proxy in front to end.
    """
    settings = config.load()
    logs.configure(settings.log_format, settings.log_level)
    context = bootstrap.build(settings, connections=settings.web_threads, briefly=True)
    context.database.check()
    if settings.web_processes > 1:
        from billing.web import processes

        context.database.dispose()
        processes.run(settings, host, port)
        return
    server = built(context, host, port)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(START_FAILED)


def configuration(
    application: Any, host: str, port: int, processes: int = 1, silent_seconds: int = 5
) -> uvicorn.Config:
    """Return uvicorn's settings, the same for one process and for several."""
    return uvicorn.Config(
        application, host=host, port=port, http="h11", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, workers=processes,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=silent_seconds,
    )  # fmt: skip


def built(context: "Context", host: str, port: int) -> "Server":
    """Build the application and its server, in the process that serves."""
    from billing.web import app  # the parent of several processes needs none

    made = app.created(context)
    served = behind(made, context.settings.trusted_proxies)
    return Server(configuration(served, host, port), made)


class Server(uvicorn.Server):
    """uvicorn, which ends the console's streams when it stops: they do not end by themselves."""

    def __init__(self, settings: uvicorn.Config, application: "FastAPI") -> None:
        super().__init__(settings)
        self._streams: Streams = application.state.streams

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        self._streams.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then wait for the other requests."""
        self._streams.stop()
        await super().shutdown(sockets)


class Peers:
    """Keeps the address of each connection, before the word of a proxy takes its place."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass one request on."""
        if scope["type"] == "http":
            client: Sequence[Any] = scope.get("client") or (None,)
            scope.setdefault("state", {})["peer"] = client[0]
        await self._application(scope, receive, send)


def behind(application: Any, trusted: str) -> Application:
    """Return the application as it stands behind proxies, whose X-Forwarded-* is believed."""
    if trusted:
        application = ProxyHeadersMiddleware(application, trusted_hosts=trusted)
    return Peers(application)

"""One sandbox process: its sockets, signals and state file.

It knows no call of the API.
"""

import asyncio
import ipaddress
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from billing.sandbox.protocol.gateway import Gateway
from billing.sandbox.protocol.signatures import Credentials
from billing.sandbox.protocol.wire import Connection
from billing.sandbox.state.book import Book
from billing.sandbox.state.clock import BusinessClock
from billing.sandbox.state.journal import Journal


class StartRefused(Exception):
    """The sandbox cannot listen, or cannot write its port file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process."""

    host: str
    port: int
    state: Path | None
    port_file: Path | None
    credentials: Credentials
    control_open: bool


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve(settings: Settings) -> None:
    """Listen until SIGTERM or SIGINT; raises JournalUnusable or StartRefused."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    book = Book(BusinessClock(), None if settings.state is None else Journal(settings.state))
    try:
        gateway = Gateway(
            book,
            settings.credentials,
            loop.call_later,
            has_control=settings.control_open or is_loopback(settings.host),
        )
        connections: set[Connection] = set()
        try:
            server = await loop.create_server(
                lambda: Connection(gateway, connections), settings.host, settings.port, backlog=1024
            )
        except OSError as error:
            place = f"{settings.host}:{settings.port}"
            raise StartRefused(f"cannot listen on {place}: {error.strerror}") from error
        _announce(settings, server.sockets[0].getsockname()[1])
        await stop.wait()
        server.close()
        for connection in tuple(connections):
            connection.close()
    finally:
        book.close()


def _announce(settings: Settings, port: int) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    if settings.port_file is not None:
        # Renamed at the end, so that a reader never sees half a number.
        draft = settings.port_file.with_suffix(".draft")
        try:
            draft.write_text(f"{port}\n")
            draft.replace(settings.port_file)
        except OSError as error:
            raise StartRefused(f"cannot write {settings.port_file}: {error.strerror}") from error
    sys.stdout.write(f"sandbox listening on http://{host}:{port}\n")
    sys.stdout.flush()

"""Resolving: the addresses of a host name, within a time limit."""

import socket
from queue import Empty, SimpleQueue
from threading import Thread


class NotResolved(Exception):
    """The name has no address, or the name servers did not answer in time."""


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """Return the IP addresses of a host, as the system orders them. Raises NotResolved.

    The C library has no time limit, so it is called in a thread that is left behind when it is
    late.
    """
    found: SimpleQueue[list[str]] = SimpleQueue()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            answers = []
        found.put([str(answer[4][0]) for answer in answers])

    Thread(target=ask, name="resolve", daemon=True).start()
    try:
        addresses = found.get(timeout=max(seconds, 0.001))
    except Empty:
        addresses = []
    if not addresses:
        raise NotResolved
    return addresses

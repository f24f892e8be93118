"""A load of HTTP requests on connections that are kept open, one by one or at a rate.

It knows no resource. Requests are bytes that were made before; answers are read, not parsed.
"""

import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from tests.bench.meter import metered

HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Load:
    """What a load measured; `milliseconds` are of each request, in order of their size."""

    seconds: float
    milliseconds: list[float]
    cpu_seconds: dict[str, float]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.milliseconds) / self.seconds

    def cpu(self, name: str) -> float:
        """Milliseconds of CPU per request of one program."""
        return 1000 * self.cpu_seconds.get(name, 0.0) / len(self.milliseconds)

    def percentile(self, share: float) -> float:
        """The time within which this share of the requests was answered, in milliseconds."""
        return self.milliseconds[
            min(len(self.milliseconds) - 1, int(share * len(self.milliseconds)))
        ]


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Write one HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", *(f"{k}: {v}" for k, v in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + HEAD_END + body


def run(
    port: int, requests: Sequence[bytes], roots: dict[str, int], *, connections: int = 8,
    per_second: float | None = None, expect: bytes = b"20",
) -> Load:  # fmt: skip
    """Send every request once. With `per_second` each has a time at which it is sent.

    A request that is late because the one before it took long counts from the time it was due.
    """
    times: list[float] = []
    failures: list[bytes] = []
    queue, lock, pause = iter(enumerate(requests)), threading.Lock(), threading.Event()

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    number, sent = next(queue, (0, b""))
                if not sent:
                    return
                due = monotonic()
                if per_second is not None:
                    due = began + number / per_second
                    if (early := due - monotonic()) > 0:
                        pause.wait(early)
                answer = _exchange(wire, sent)
                times.append((monotonic() - due) * 1000)
                if not answer.startswith(b"HTTP/1.1 " + expect):
                    failures.append(answer)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    with metered(roots) as used:
        began = monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = monotonic() - began
    if failures or len(times) < len(requests):
        raise RuntimeError(f"{len(failures)} requests failed: {failures[:1]!r}")
    return Load(seconds, sorted(times), used.cpu_seconds)


def _exchange(wire: socket.socket, sent: bytes) -> bytes:
    wire.sendall(sent)
    got = b""
    while HEAD_END not in got:
        part = wire.recv(65_536)
        if not part:
            return got
        got += part
    head, _, body = got.partition(HEAD_END)
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )  # fmt: skip
    missing = length - len(body)
    while missing > 0:
        part = wire.recv(65_536)
        if not part:
            break
        got += part
        missing -= len(part)
    return got

"""A receiver of webhooks as a process: it writes each request to a file before it answers.

    python -m tests.faults.siege.receiver PORT FILE

A line is on the disk (fsync) before the answer is sent. So a receiver that is killed has forgotten
nothing that it accepted, and may get again what it could not answer.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event
from typing import NamedTuple

PAUSE_SECONDS = 0.02
"""Between the disk and the answer: a receiver that is killed then gets the same request again."""
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Received(NamedTuple):
    """One request, as it was written."""

    id: str
    timestamp: str
    signature: str
    body: str

    @property
    def position(self) -> int:
        """The position of its event in the feed."""
        return int(json.loads(self.body)["data"]["position"])


def read(file: Path) -> list[Received]:
    """Read what a receiver has written."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [Received(*json.loads(line)) for line in lines]


def serve(port: int, file: Path) -> None:
    """Receive until the process is ended."""
    target = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_POST(self) -> None:
            """Write the request, and answer."""
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            line = json.dumps([*(self.headers[name] for name in HEADERS), body])
            os.write(target, f"{line}\n".encode())
            os.fsync(target)
            Event().wait(PAUSE_SECONDS)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        """A server that takes as many connections as the engine opens."""

        request_queue_size = 64

    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))

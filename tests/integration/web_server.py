"""A web server in a thread, with the routes of a test, and requests that a test writes itself."""

import base64
import hashlib
import hmac
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from uuid import uuid4

import uvicorn
from fastapi import APIRouter, FastAPI

from tests.waits import wait_until

STAMP = "2020-08-11T08:45:42Z"
"""A notification may be old: DOKU repeats it for 12 hours."""


@contextmanager
def serving(routes: APIRouter) -> Iterator[int]:
    """Serve routes on a free port of this machine."""
    application = FastAPI(openapi_url=None)
    application.include_router(routes)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(application, log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        wait_until(lambda: server.started, "the web server starts")
        try:
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(10)


def signed(body: bytes, target: str, client_id: str, secret: str) -> dict[str, str]:
    """The four headers for a body, by an arithmetic of the test's own."""
    request_id = str(uuid4())
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    lines = [
        f"Client-Id:{client_id}", f"Request-Id:{request_id}", f"Request-Timestamp:{STAMP}",
        f"Request-Target:{target}", f"Digest:{digest}",
    ]  # fmt: skip
    mac = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    return {
        "Client-Id": client_id,
        "Request-Id": request_id,
        "Request-Timestamp": STAMP,
        "Signature": "HMACSHA256=" + base64.b64encode(mac).decode(),
    }


def about(number: str, status: str = "SUCCESS", amount: object = 50_000) -> bytes:
    """The body of a notification about a gateway number."""
    order = {"invoice_number": number, "amount": amount}
    return json.dumps({"order": order, "transaction": {"status": status}}).encode()


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Send one request; the status and the text of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()

"""How many signed payments the sandbox answers when no other process uses the CPU.

The requests are signed beforehand and sent through a few sockets, many at a time; so that what is
measured is the gateway. It must not be what limits the benchmark.
"""

import socket
import threading
from time import monotonic
from uuid import uuid4

from billing.clock import real_now
from billing.domain.outcomes import Payer, Payment
from billing.gateway import codec, signing
from billing.gateway.doku import PAY
from tests.bench import people
from tests.bench.stage import Stage

SOCKETS = 2
AHEAD = 32


def ceiling(stage: Stage, payments: int) -> float:
    """Payments a second that the gateway can answer on this machine."""
    each = payments // SOCKETS
    bundles = [
        [_request(stage, number) for number in range(1 + part * each, 1 + (part + 1) * each)]
        for part in range(SOCKETS)
    ]
    threads = [threading.Thread(target=_send, args=(stage, bundle)) for bundle in bundles]
    began = monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return each * SOCKETS / (monotonic() - began)


def _send(stage: Stage, requests: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", stage.sandbox.port)) as wire:
        for start in range(0, len(requests), AHEAD):
            group = requests[start : start + AHEAD]
            wire.sendall(b"".join(group))
            left, tail = len(group), b""
            while left:
                got = tail + wire.recv(1 << 20)
                left -= got.count(b"HTTP/1.1 201")
                # A status line that was cut is counted when its rest has come.
                tail = got[-11:] if not got.endswith(b"}") else b""


def _request(stage: Stage, person: int) -> bytes:
    payer = Payer(people.customer(person), f"Customer {person}")
    number, request_id = f"X{uuid4().hex[:20]}", str(uuid4())
    body = codec.payment(
        Payment(payer, number, people.AMOUNT, people.TOKEN, use_points=False, first_payment=True,
                description="Monthly")
    )  # fmt: skip
    at = real_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    component = signing.request_component(
        stage.sandbox.client_id, request_id, at, PAY, signing.digest(body)
    )
    head = (
        f"POST {PAY} HTTP/1.1\r\nHost: gateway\r\nClient-Id: {stage.sandbox.client_id}\r\n"
        f"Request-Id: {request_id}\r\nRequest-Timestamp: {at}\r\nContent-Type: application/json\r\n"
        f"Signature: {signing.sign(stage.sandbox.secret_key.encode(), component).decode()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body

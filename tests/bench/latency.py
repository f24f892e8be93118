"""How soon the web server answers at a steady rate, with many subscriptions and their past.

    python -m tests.bench.latency [--people 1000000] [--seconds 30] [--processes 1]

100 requests a second that show a subscription, then 100 that create one, then 200 notifications of
the gateway a second. A request that is late because an earlier one took long counts from the
instant at which it was due. The rows are those of `tests.bench.listed`.
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import orjson
from rich.console import Console

from billing import logs
from billing.domain.events import OPERATOR
from billing.local import programs, servers
from billing.local.processes import until
from billing.services.operating import api_keys
from tests.bench import listed, people, web_load
from tests.bench.stage import Stage, forget_own_settings, stage
from tests.bench.web_load import Load, request

CONNECTIONS = 16
PER_SECOND, NOTICES_PER_SECOND = 100, 200
NOTICES_PATH = "/doku/notifications"
STAMP = "2026-01-31T02:00:00Z"
WARM_SECONDS = 3


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m tests.bench.latency", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    with stage(0, BILLING_WEB_REQUESTS_PER_SECOND="100000") as ground:
        for name, load in measure(ground, given.people, given.seconds, processes=given.processes):
            shares = ", ".join(
                f"p{s * 100:g} {load.percentile(s):.1f} ms" for s in (0.5, 0.95, 0.99)
            )
            console.print(
                f"{name}: {load.rate:.0f}/s, {shares}, longest {load.percentile(1):.0f} ms,"
                f" {load.cpu('web'):.1f} ms CPU"
            )
    return 0


def measure(
    ground: Stage,
    count: int,
    seconds: int,
    warm_seconds: int = WARM_SECONDS,
    processes: int = 1,
) -> Iterator[tuple[str, Load]]:
    """Fill the database, start the web server, and measure each kind of request at its rate."""
    with ground.connect() as connection:
        connection.execute("DELETE FROM plans")
        listed.fill(connection, count)
    key = api_keys.create(ground.context, "bench", ["admin"], OPERATOR).key
    with serving(ground, processes) as (port, web):
        kinds = (
            ("GET a subscription", PER_SECOND, _gets(ground, key)),
            ("POST a subscription", PER_SECOND, _posts(key, count)),
            ("a notification", NOTICES_PER_SECOND, _notices(ground)),
        )
        for name, rate, requests in kinds:
            for length in (warm_seconds, seconds):
                chosen = [next(requests) for _ in range(rate * length)]
                load = web_load.run(
                    port, chosen, {"web": web}, connections=CONNECTIONS, per_second=rate
                )
            yield name, load


@contextmanager
def serving(ground: Stage, processes: int = 1) -> Iterator[tuple[int, int]]:
    """Run web processes of its own; their port, and the process above them or the only one."""
    port, log = servers.free_port(), ground.folder / "web.log"
    environment = ground.environment | {"BILLING_WEB_PROCESSES": str(processes)}
    part = programs.web(port, log, environment)
    child = ground.crew.start(part.program)

    def all_serve() -> bool:
        return part.ready() and (processes == 1 or "web.processes_started" in log.read_text())

    if not until(all_serve, 60):
        raise RuntimeError(child.last_words())
    yield port, child.pid


def _gets(ground: Stage, key: str) -> Iterator[bytes]:
    """Show subscriptions from everywhere in the table, none twice in a short time."""
    with ground.connect() as connection:
        rows = connection.execute("SELECT id FROM subscriptions ORDER BY md5(id::text) LIMIT 5000")
        ids = [str(row[0]) for row in rows.fetchall()]
    while True:
        for one in ids:
            yield request("GET", f"/v1/subscriptions/{one}", {"Authorization": f"Bearer {key}"})


def _posts(key: str, count: int) -> Iterator[bytes]:
    number = 0
    while True:
        number = number % count + 1
        body = orjson.dumps({"customer": people.customer(number), "plan": "common", "again": True})
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": str(uuid4())}
        yield request("POST", "/v1/subscriptions", headers, body)


def _notices(ground: Stage) -> Iterator[bytes]:
    """Signed notifications about charges: at first those without an outcome, then any."""
    settings = ground.settings
    secret = settings.doku_secret_key.get_secret_value()
    with ground.connect() as connection:
        rows = connection.execute(
            "SELECT gateway_number, amount FROM charges"
            " ORDER BY status NOT IN ('in_flight', 'unknown'), md5(id::text) LIMIT 10000"
        ).fetchall()
    while True:
        for number, amount in rows:
            order = {"invoice_number": number, "amount": amount}
            body = json.dumps({"order": order, "transaction": {"status": "SUCCESS"}}).encode()
            headers = _signed(body, settings.doku_client_id, secret)
            yield request("POST", NOTICES_PATH, headers, body)


def _signed(body: bytes, client_id: str, secret: str) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    request_id = str(uuid4())
    lines = (
        f"Client-Id:{client_id}", f"Request-Id:{request_id}", f"Request-Timestamp:{STAMP}",
        f"Request-Target:{NOTICES_PATH}", f"Digest:{digest}",
    )  # fmt: skip
    mac = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    return {
        "Client-Id": client_id,
        "Request-Id": request_id,
        "Request-Timestamp": STAMP,
        "Signature": "HMACSHA256=" + base64.b64encode(mac).decode(),
    }


if __name__ == "__main__":
    forget_own_settings()
    logs.configure("json", "warning")
    sys.exit(main(sys.argv[1:]))

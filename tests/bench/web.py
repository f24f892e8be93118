"""`make bench-web`: the HTTP interface against bare FastAPI handlers, in alternating runs.

    python -m tests.bench.web [--requests 1000] [--runs 5] [--people 2000]

Both run under the same uvicorn with the same number of threads, get the same requests from the
same load, and execute the same statements in the same database.
"""

import argparse
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import orjson
from rich.console import Console
from sqlalchemy import event

from billing import logs
from billing.clock import real_now
from billing.domain.events import OPERATOR
from billing.local import programs, servers
from billing.local.processes import Child, Program, until
from billing.services.collecting import opening_batches
from billing.services.operating import api_keys
from billing.web import app
from tests.bench import people, web_bare, web_load
from tests.bench.stage import Stage, forget_own_settings, stage
from tests.bench.web_bare import Recorded, Recordings
from tests.bench.web_load import Load, request

THREADS = 8
LIMIT = "100000"


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m tests.bench.web", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--people", type=int, default=2_000)
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    with stage(given.people, BILLING_WEB_REQUESTS_PER_SECOND=LIMIT,
               BILLING_WEB_THREADS=str(THREADS)) as ground:  # fmt: skip
        compare(console, ground, given.requests, given.runs)
    return 0


def compare(console: Console, ground: Stage, count: int, runs: int) -> dict[str, float]:
    """Run both in turn; returns the medians of engine over bare, by method."""
    key = api_keys.create(ground.context, "bench", ["admin"], OPERATOR).key
    shown = _ids(ground)
    ports = {"engine": servers.free_port(), "bare": servers.free_port()}
    engine = programs.web(ports["engine"], ground.folder / "web.log", ground.environment)
    child = ground.crew.start(engine.program)
    if not until(engine.ready, 60):
        raise RuntimeError(child.last_words())
    recorded = record(ground, key, ports["engine"], shown[0])
    other = _bare(ground, ports["bare"], recorded)
    roots = {"engine": child.pid, "bare": other.pid, "postgres": ground.postgres.pid}
    ratios: dict[str, list[float]] = {"GET": [], "POST": []}
    costs: dict[str, list[float]] = {"GET": [], "POST": []}
    for number in range(runs + 1):  # the first one warms up
        for method, found in ratios.items():
            loads = {
                name: web_load.run(
                    ports[name], list(_requests(method, key, shown, count)), roots,
                    connections=THREADS,
                )
                for name in ("bare", "engine")
            }  # fmt: skip
            if number:
                found.append(loads["engine"].rate / loads["bare"].rate)
                costs[method].append(_cpu(loads, "bare") / _cpu(loads, "engine"))
                _tell(console, method, loads)
    medians = {method: median(found) for method, found in ratios.items()}
    for method, ratio in medians.items():
        cpu = median(costs[method])
        console.print(f"{method}: {ratio:.2f} of bare; by CPU of all processes {cpu:.2f}")
    return medians


def _cpu(loads: dict[str, Load], name: str) -> float:
    return loads[name].cpu(name) + loads[name].cpu("postgres")


def _tell(console: Console, method: str, loads: dict[str, Load]) -> None:
    told = [
        f"{name} {load.rate:6.0f}/s, CPU {load.cpu(name):.2f} + PostgreSQL"
        f" {load.cpu('postgres'):.2f} ms, p99 {load.percentile(0.99):.0f} ms"
        for name, load in loads.items()
    ]
    console.print(f"  {method:4} " + " | ".join(told))


def _ids(ground: Stage) -> list[str]:
    """Subscribe everybody to the plan, and open the first invoice of each."""
    with ground.connect() as connection:
        people.subscribe(connection, ground.people, real_now().replace(microsecond=0))
        opening_batches.open_due(ground.context)
        rows = connection.execute("SELECT id FROM subscriptions LIMIT 1000").fetchall()
    return [str(row[0]) for row in rows]


def _requests(method: str, key: str, shown: Sequence[str], count: int) -> Iterator[bytes]:
    headers = {"Authorization": f"Bearer {key}"}
    for number in range(count):
        if method == "GET":
            yield request("GET", f"/v1/subscriptions/{shown[number % len(shown)]}", headers)
        else:
            who = people.customer(number % 1000 + 1)
            body = orjson.dumps({"customer": who, "plan": people.PLAN, "again": True})
            yield request("POST", "/v1/subscriptions",
                          headers | {"Idempotency-Key": str(uuid4())}, body)  # fmt: skip


def record(ground: Stage, key: str, port: int, subscription: str) -> Recordings:
    """Note the statements of one request of each kind, and its answer.

    The answers are taken from a second request: the first one learns what is cached.
    """
    from fastapi.testclient import TestClient

    headers = {"Authorization": f"Bearer {key}"}
    client = TestClient(app.create(ground.context))
    body = {"customer": people.customer(1000), "plan": people.PLAN, "again": True}
    for _ in range(2):
        with _noted(ground) as transactions:
            found = client.get(f"/v1/subscriptions/{subscription}", headers=headers)
        show = Recorded(transactions, found.content, (subscription,))
        unique = str(uuid4())
        with _noted(ground) as transactions:
            made = client.post("/v1/subscriptions", json=body,
                               headers=headers | {"Idempotency-Key": unique})  # fmt: skip
        assert (found.status_code, made.status_code) == (200, 201), (found.text, made.text)
        ids = (made.json()["id"], body["customer"], unique)
        create = Recorded(transactions, made.content, ids)
    return Recordings(ground.postgres.url, show, create)


@contextmanager
def _noted(ground: Stage) -> Iterator[list[list[tuple[str, Any]]]]:
    engine = ground.context.database._engine
    found: list[list[tuple[str, Any]]] = []

    def began(_connection: Any) -> None:
        found.append([])

    def executed(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found[-1].append((statement, parameters))

    event.listen(engine, "begin", began)
    event.listen(engine, "before_cursor_execute", executed)
    try:
        yield found
    finally:
        event.remove(engine, "begin", began)
        event.remove(engine, "before_cursor_execute", executed)


def _bare(ground: Stage, port: int, recorded: Recordings) -> Child:
    kept = ground.folder / "recorded.pickle"
    kept.write_bytes(pickle.dumps(recorded))
    code = (
        "import uvicorn; from anyio import to_thread; from tests.bench import web_bare;"
        f" uvicorn.run(web_bare.create(), host='127.0.0.1', port={port}, http='h11',"
        " log_config=None, access_log=False, server_header=False)"
    )
    path = str(Path(__file__).parents[2])
    environment = ground.environment | {web_bare.VARIABLE: str(kept), "PYTHONPATH": path}
    child = ground.crew.start(
        Program("bare", [sys.executable, "-c", code], ground.folder / "bare.log", environment)
    )
    if not until(lambda: not servers.port_is_free(port), 60):
        raise RuntimeError(child.last_words())
    return child


if __name__ == "__main__":
    forget_own_settings()
    logs.configure("json", "warning")
    sys.exit(main(sys.argv[1:]))

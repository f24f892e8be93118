"""The three runs that are compared, each with the same number of charges: bare, loop, engine."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from threading import Event
from time import monotonic
from uuid import uuid4

import psycopg

from billing.clock import real_now
from billing.local.processes import Child
from tests.bench import people
from tests.bench.meter import Reading, metered
from tests.bench.stage import Stage

LEAD = timedelta(seconds=2)
RUN_SECONDS_MAX = 400.0
POLL_SECONDS = 0.5
_tags = count()


@dataclass(frozen=True)
class Run:
    """How fast it went, and what it took."""

    charges: int
    seconds: float
    used: Reading

    @property
    def rate(self) -> float:
        """Charges a second."""
        return self.charges / self.seconds


def servers_of(stage: Stage) -> dict[str, int]:
    """The processes that every run uses."""
    return {
        "postgres": stage.postgres.pid,
        "redis": stage.redis.pid,
        "gateway": stage.sandbox.pid,
    }


def bare(stage: Stage, charges: int) -> Run:
    """Signed posts only, in as many processes and threads as the engine has."""
    return _rivals(stage, "bare", charges)


def loop(stage: Stage, charges: int) -> Run:
    """A durable loop, written by hand."""
    with stage.connect() as connection:
        _loop_tables(connection, charges)
    return _rivals(stage, "loop", charges)


def engine(stage: Stage, charges: int, worker: Child, beat: Child) -> Run:
    """The engine as shipped: from the tick that finds the due periods to the last settlement."""
    with stage.connect() as connection:
        connection.execute("VACUUM ANALYZE invoices, charges, subscriptions")
        due_at = (real_now() + LEAD).replace(microsecond=0)
        people.subscribe(connection, charges, due_at)
        claimed = _claimed(connection) + charges * people.AMOUNT
        roots = servers_of(stage) | {"worker": worker.pid, "beat": beat.pid}
        with metered(roots) as used:
            deadline, pause = monotonic() + RUN_SECONDS_MAX, Event()
            while monotonic() < deadline:
                # To count charges costs PostgreSQL something too: not before all were claimed.
                if _claimed(connection) >= claimed and _settled(connection, due_at) >= charges:
                    break
                pause.wait(POLL_SECONDS)
            if _settled(connection, due_at) < charges:
                raise RuntimeError(f"{_settled(connection, due_at)} of {charges} were settled")
        seconds = _between(connection, due_at)
    return Run(charges, seconds, used)


def _claimed(connection: psycopg.Connection) -> int:
    """Rupiah that were claimed in all, by the engine's own count of each hour."""
    row = connection.execute("SELECT coalesce(sum(amount), 0) FROM hours").fetchone()
    return int(row[0]) if row else 0


def _settled(connection: psycopg.Connection, since: object) -> int:
    row = connection.execute(
        "SELECT count(*) FROM charges WHERE created_at >= %s AND status = 'succeeded'", (since,)
    ).fetchone()
    return int(row[0]) if row else 0


def _between(connection: psycopg.Connection, since: object) -> float:
    """From the tick, whose instant the first invoice has, to the last settlement."""
    row = connection.execute(
        "SELECT extract(epoch FROM (SELECT max(settled_at) FROM charges WHERE created_at >= %s)"
        " - (SELECT min(created_at) FROM invoices WHERE created_at >= %s))",
        (since, since),
    ).fetchone()
    assert row is not None
    return float(row[0])


def _loop_tables(connection: psycopg.Connection, charges: int) -> None:
    connection.execute("DROP TABLE IF EXISTS loop_charges, loop_invoices")
    connection.execute(
        "CREATE TABLE loop_invoices (id uuid PRIMARY KEY, customer int NOT NULL,"
        " number text NOT NULL, status text NOT NULL)"
    )
    connection.execute(
        "CREATE INDEX loop_invoices_open ON loop_invoices (id) WHERE status = 'open'"
    )
    connection.execute(
        "CREATE TABLE loop_charges (id uuid PRIMARY KEY REFERENCES loop_invoices,"
        " number text NOT NULL UNIQUE, amount bigint NOT NULL, status text NOT NULL,"
        " created_at timestamptz NOT NULL, settled_at timestamptz)"
    )
    connection.execute(
        "INSERT INTO loop_invoices SELECT gen_random_uuid(), n, %s || n, 'open'"
        " FROM generate_series(1, %s) AS n",
        (f"L{uuid4().hex[:12]}-", charges),
    )
    connection.execute("VACUUM ANALYZE loop_invoices")


def _rivals(stage: Stage, kind: str, charges: int) -> Run:
    """Start as many processes as a worker has, let them go at once, and wait for the last."""
    many = stage.settings.worker_processes
    tag = f"B{uuid4().hex[:12]}-{next(_tags)}"
    command = [sys.executable, "-m", "tests.bench.posts", kind]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(many)
    ]
    try:
        for number, process in enumerate(processes):
            job = {
                "url": stage.sandbox.url,
                "client_id": stage.sandbox.client_id,
                "secret_key": stage.sandbox.secret_key,
                "database": stage.postgres.url,
                "threads": stage.settings.batch_threads,
                "people": list(range(1 + number, charges + 1, many)),
                "tag": tag,
            }
            _tell(process, json.dumps(job))
        for process in processes:
            _heard(process)
        roots = {f"{kind} {number}": process.pid for number, process in enumerate(processes)}
        with metered(servers_of(stage) | roots) as used:
            for process in processes:
                _tell(process, "go")
            told = [json.loads(_heard(process)) for process in processes]
        if sum(item["paid"] for item in told) != charges:
            raise RuntimeError(f"{kind}: {sum(item['paid'] for item in told)} of {charges} paid")
        seconds = max(item["ended"] for item in told) - min(item["began"] for item in told)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return Run(charges, seconds, used)


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the benchmark ended early")
    return line

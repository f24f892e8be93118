"""`make bench-scale`: many subscriptions, a payday, and a long history.

    python -m tests.bench.scale [--sizes 10000 100000 1000000] [--payday 100000]
                                [--history 5000000] [--out FOLDER]

For each size: what an idle tick costs, what opening and enqueuing cost when 1 % and 10 % are due,
and the bytes a subscription takes. The plans of the hot statements are written as text into
`docs/plans`, so that an index that got lost shows when changes are read.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import psycopg
import redis
from rich.console import Console

from billing import bootstrap, logs
from billing.clock import real_now
from billing.services.collecting import charging, opening_batches, reconciling
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.subscriptions import canceling, pausing
from billing.services.wallets import linking
from tests.bench import payday, people
from tests.bench.meter import MEGABYTE, metered
from tests.bench.plans import write_plans
from tests.bench.report import machine
from tests.bench.runs import servers_of
from tests.bench.stage import Stage, forget_own_settings, stage

PLANS = Path(__file__).parents[2] / "docs" / "plans"
IDLE_TICKS = 9
BATCHES_WAITING = 16
"""As many as a tick enqueues (workers/ticks.py)."""
GARBAGE_THRESHOLD = 50_000
"""As a worker has it (workers/app.py), for here services are called without one."""


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write scale.json; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--payday", type=int, default=100_000, help="due at one minute; 0: none")
    parser.add_argument("--history", type=int, default=5_000_000, help="old charges; 0: none")
    parser.add_argument("--out", type=Path, default=Path(".local/bench"))
    given = parser.parse_args(arguments)
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    console = Console(highlight=False, soft_wrap=True)
    found: dict[str, Any] = {"about": machine(), "sizes": []}
    try:
        for size in given.sizes:
            found["sizes"].append(_size(console, size))
        if given.payday:
            with stage(given.payday) as ground:
                found["payday"] = payday.payday(ground, given.payday)
            console.print(f"payday: {found['payday']}")
        if given.history:
            found["history"] = _long_history(console, given.history)
    except KeyboardInterrupt:
        console.print("given up; every process is ended")
        return 130
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "scale.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _size(console: Console, size: int) -> dict[str, Any]:
    """One number of subscriptions: idle, 1 % due, 10 % due."""
    with stage(0) as ground, ground.connect() as connection:
        _fill(connection, ground.context, size)
        row: dict[str, Any] = {"subscriptions": size, "idle_ms": _idle(ground.context)}
        row["bytes"] = _bytes(connection, size)
        for share in (100, 10):
            row[f"due_1_in_{share}"] = _open_and_enqueue(ground, connection, size // share)
        console.print(f"{size:,}: {row}")
        return row


def _fill(connection: psycopg.Connection, context: Context, size: int) -> None:
    """As many customers with a wallet and a subscription, due on days to come."""
    people.more(connection, context.vault, size)
    connection.execute(
        "INSERT INTO subscriptions (id, customer_id, plan_code, status, amount, start_at,"
        " anchor_local, next_due_at, created_at)"
        " SELECT gen_random_uuid(), 'C' || lpad(n::text, 7, '0'), %s, 'active', %s, at,"
        " at AT TIME ZONE 'Asia/Jakarta', at, now() FROM (SELECT n, date_trunc('second', now())"
        " + make_interval(days => 1 + n %% 28, secs => n %% 3600) AS at"
        " FROM generate_series(1, %s) AS n) AS dated",
        (people.PLAN, people.AMOUNT, size),
    )
    connection.execute("VACUUM ANALYZE")


def idle_ticks(context: Context) -> None:
    """Send all ticks of one round of beat when nothing is due."""
    canceling.cancel_due(context)
    pausing.pause_due(context)
    pausing.resume_due(context)
    opening_batches.open_due(context)
    charging.lease_due(context, BATCHES_WAITING * context.settings.batch_size)
    reconciling.lease_due(context, BATCHES_WAITING * context.settings.batch_size)
    refunding.lease_due(context, 500)
    linking.expire_due(context, 500)
    linking.give_notice(context, 500)
    linking.lease_due(context, 500)


def _idle(context: Context) -> float:
    for _ in range(6):  # a statement is prepared at its fifth time
        idle_ticks(context)
    return round(median(_milliseconds(lambda: idle_ticks(context)) for _ in range(IDLE_TICKS)), 2)


def _milliseconds(act: Callable[[], object]) -> float:
    began = monotonic()
    act()
    return (monotonic() - began) * 1000


def _open_and_enqueue(
    ground: Stage, connection: psycopg.Connection, due: int
) -> dict[str, float | int]:
    """Open all that is due, and enqueue as a tick does: leased, in batches, up to its bound."""
    connection.execute(
        "UPDATE subscriptions SET next_due_at = date_trunc('second', now()), anchor_local ="
        " date_trunc('second', now()) AT TIME ZONE 'Asia/Jakarta' WHERE customer_id IN"
        " (SELECT 'C' || lpad(n::text, 7, '0') FROM generate_series(1, %s) AS n)"
        " AND next_period_index = 0",
        (due,),
    )
    before = _count(connection)
    with metered(servers_of(ground) | {"opening": os.getpid()}) as used:
        began = monotonic()
        opening_batches.open_due(ground.context)
        opened = monotonic() - began
        _enqueue(ground)
        enqueued = monotonic() - began - opened
    with redis.Redis.from_url(ground.redis.url) as broker:
        held = broker.info("memory")["used_memory_peak"] / MEGABYTE
    return {
        "opened": _count(connection) - before,
        "opening_s": round(opened, 2),
        "enqueuing_s": round(enqueued, 3),
        "peak_mb": max(used.peak_mb.values()),
        "redis_mb": round(held, 1),
    }


def _enqueue(ground: Stage) -> None:
    size = ground.settings.batch_size
    ids = [str(i) for i in charging.lease_due(ground.context, BATCHES_WAITING * size)]
    with bootstrap.messenger(ground.settings) as client:
        for start in range(0, len(ids), size):
            client.send_task("charges.collect", args=[ids[start : start + size]])


def _count(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM invoices").fetchone()
    return int(row[0]) if row else 0


def _bytes(connection: psycopg.Connection, size: int) -> dict[str, dict[str, int]]:
    """Bytes of table and indexes for each subscription."""
    rows = connection.execute(
        "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class"
        " WHERE relname IN ('customers', 'wallets', 'subscriptions')"
    ).fetchall()
    return {name: {"table": t // size, "indexes": i // size} for name, t, i in rows}


def _long_history(console: Console, charges: int) -> dict[str, Any]:
    """The hot statements with hardly a past, and with a long one; and their plans, as text."""
    found: dict[str, Any] = {}
    with stage(payday.HISTORY_DUE) as ground, ground.connect() as connection:
        payday.warm(ground)
        found["short"] = payday.timed(ground, idle_ticks)
        payday.add_history(connection, charges)
        found["long"] = payday.timed(ground, idle_ticks)
        people.subscribe(
            connection, 1_000, (real_now() - timedelta(minutes=1)).replace(microsecond=0)
        )
        opening_batches.open_due(ground.context)
        write_plans(ground.context, PLANS)
        size = connection.execute(
            "SELECT pg_total_relation_size('charges') / count(*) FROM charges"
        ).fetchone()
        found["bytes_a_charge"] = int(size[0]) if size else 0
    console.print(f"history of {charges:,} charges: {found}")
    return found


if __name__ == "__main__":
    forget_own_settings()
    logs.configure("json", "warning")
    sys.exit(main(sys.argv[1:]))

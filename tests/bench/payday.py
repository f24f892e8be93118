"""A payday: many due at one minute, a refund in between; and paydays after years of others."""

from collections.abc import Callable
from datetime import timedelta
from statistics import median
from threading import Event
from time import monotonic
from typing import Any

import psycopg
import redis

from billing import bootstrap
from billing.clock import real_now
from billing.local.compare import compare
from billing.local.pretend import Pretend
from billing.services.collecting import charging, opening_batches
from billing.services.context import Context
from billing.services.reading import auditing
from tests.bench import people
from tests.bench.meter import MEGABYTE, metered
from tests.bench.runs import LEAD, servers_of
from tests.bench.stage import Stage

WALLET_MS = 50
SECONDS_MAX = 900.0
HISTORY_DUE = 1_000
REPEATS = 5
_ONE_PAID = """SELECT invoice_id FROM charges WHERE status = 'succeeded' AND refunded = 0
    LIMIT 1"""
_REFUNDED = "SELECT count(*) FROM refunds WHERE status = 'succeeded'"


def payday(ground: Stage, due: int) -> dict[str, Any]:
    """All of them due at one minute, 50 ms a wallet: how long to the last, and what else holds."""
    ground.wallet_takes(WALLET_MS)
    worker, beat = ground.start_engine()
    with ground.connect() as connection:
        due_at = (real_now() + LEAD).replace(microsecond=0)
        people.subscribe(connection, due, due_at)
        roots = servers_of(ground) | {"worker": worker.pid, "beat": beat.pid}
        with metered(roots) as used:
            refunds, longest_queue = _watched(ground, connection, due)
        row = connection.execute(
            "SELECT extract(epoch FROM max(settled_at) - (SELECT min(created_at) FROM invoices)),"
            " (SELECT extract(epoch FROM max(created_at) - min(created_at)) FROM invoices)"
            " FROM charges"
        ).fetchone()
        assert row is not None
    with redis.Redis.from_url(ground.redis.url) as broker:
        redis_mb = broker.info("memory")["used_memory_peak"] / MEGABYTE
    ledger = Pretend(ground.sandbox.url).ledger()
    return {
        "charges": due,
        "seconds": round(float(row[0]), 1),
        "opening_s": round(float(row[1]), 1),
        "a_second": round(due / float(row[0])),
        "refunds_s": refunds,
        "queue_max": longest_queue,
        "redis_mb": round(redis_mb, 1),
        "peak_mb": used.peak_mb,
        "cpu_s": used.cpu_seconds,
        "audit": [finding.name for finding in auditing.audit(ground.context)],
        "differences": list(compare(ground.context, ledger).differences)[:5],
    }


def _watched(ground: Stage, connection: psycopg.Connection, due: int) -> tuple[list[float], int]:
    """Wait for the last charge, and ask for a refund now and then; how long each of them took."""
    took: list[float] = []
    longest, asked_at, deadline = 0, None, monotonic() + SECONDS_MAX
    broker = redis.Redis.from_url(ground.redis.url)
    messenger = bootstrap.messenger(ground.settings)
    pause, settled = Event(), 0
    while settled < due and monotonic() < deadline:
        pause.wait(0.2)
        longest = max(longest, broker.llen("charges"))
        if asked_at is not None and _value(connection, _REFUNDED) > len(took):
            took.append(round(monotonic() - asked_at, 2))
            asked_at = None
        if asked_at is None:
            settled = _value(connection, "SELECT count(*) FROM invoices WHERE status = 'paid'")
            paid = connection.execute(_ONE_PAID).fetchone()
            if paid is not None and settled < due:
                invoice, asked_at = str(paid[0]), monotonic()
                messenger.send_task("admin.refund_invoice", kwargs={"invoice": invoice})
    messenger.close()
    broker.close()
    if settled < due:
        raise RuntimeError(f"{settled} of {due} were settled")
    return took, longest


def _value(connection: psycopg.Connection, statement: str) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def warm(ground: Stage) -> None:
    """A first payday, so that statements are prepared and pages are read."""
    for _ in range(2):
        _charge_all(ground)


def timed(ground: Stage, idle: Callable[[Context], None]) -> dict[str, float]:
    """What an idle round of ticks costs, and a charge from opening to settlement, in ms."""
    idle_ms, charge_ms = [], []
    for _ in range(REPEATS):
        began = monotonic()
        idle(ground.context)
        idle_ms.append((monotonic() - began) * 1000)
        charge_ms.append(_charge_all(ground) * 1000 / HISTORY_DUE)
    return {"idle_ms": round(median(idle_ms), 2), "charge_ms": round(median(charge_ms), 3)}


def _charge_all(ground: Stage) -> float:
    with ground.connect() as connection:
        due_at = (real_now() - timedelta(minutes=1)).replace(microsecond=0)
        people.subscribe(connection, HISTORY_DUE, due_at)
    began = monotonic()
    opening_batches.open_due(ground.context)
    charging.collect(ground.context, charging.lease_due(ground.context, HISTORY_DUE))
    return monotonic() - began


def add_history(connection: psycopg.Connection, charges: int) -> None:
    """Insert that many paid invoices and charges of past years for the existing subscriptions.

    One in ten was refunded, and as many customers with wallets as refunds have left since.
    """
    row = connection.execute("SELECT count(*) FROM subscriptions").fetchone()
    periods = -(-charges // int(row[0])) if row else 0
    connection.execute(
        "CREATE TEMP TABLE past AS SELECT gen_random_uuid() AS invoice_id,"
        " gen_random_uuid() AS charge_id, s.id AS subscription_id, s.customer_id, s.plan_code,"
        " w.id AS wallet, p AS period, s.start_at - make_interval(days => 30 * (p + 1)) AS at"
        " FROM subscriptions s JOIN wallets w ON w.customer_id = s.customer_id,"
        " generate_series(1, %s) AS p LIMIT %s",
        (periods, charges),
    )
    connection.execute(
        "INSERT INTO hours (hour, shard, amount) SELECT hour, shard, 0 FROM generate_series(now() -"
        " interval '2 years', now() - interval '2 hours', '1 hour') AS hour,"
        " generate_series(0, 2) AS shard"
    )
    connection.execute(
        "INSERT INTO invoices (id, subscription_id, customer_id, plan_code, period_index,"
        " period_start, period_end, amount, status, created_at, paid_at, closed_at) SELECT"
        " invoice_id, subscription_id, customer_id, plan_code, 1000000 + period, at,"
        " at + interval '30 days', %s, 'paid', at, at, at FROM past",
        (people.AMOUNT,),
    )
    connection.execute(
        "INSERT INTO charges (id, invoice_id, subscription_id, customer_id, plan_code, wallet_id,"
        " attempt, gateway_number, trigger, amount, kept, status, created_at, sent_at, settled_at)"
        " SELECT charge_id, invoice_id, subscription_id, customer_id, plan_code, wallet, 1,"
        " left(replace(charge_id::text, '-', ''), 32), 'scheduled', %s, %s, 'succeeded', at, at, at"
        " FROM past",
        (people.AMOUNT, people.AMOUNT),
    )
    connection.execute(
        "WITH given AS (UPDATE charges SET kept = 0, refunded = amount WHERE attempt = 1"
        " AND id IN (SELECT charge_id FROM past WHERE period % 10 = 0) RETURNING *)"
        " INSERT INTO refunds (id, charge_id, invoice_id, customer_id, plan_code, sequence,"
        " amount, reason, status, created_at, settled_at) SELECT gen_random_uuid(), id, invoice_id,"
        " customer_id, plan_code, 1, amount, 'gone by', 'succeeded', settled_at, settled_at"
        " FROM given"
    )
    connection.execute(
        "INSERT INTO customers (id, name, created_at) SELECT 'G' || n, 'Gone', now()"
        " FROM generate_series(1, %s) AS n",
        (charges // 10,),
    )
    connection.execute(
        "INSERT INTO wallets (id, customer_id, status, phone_sealed, created_at, closed_at)"
        " SELECT gen_random_uuid(), id, 'unlinked', '', created_at, created_at FROM customers"
        " WHERE id LIKE 'G%'"
    )
    connection.execute("DROP TABLE past")
    connection.execute("VACUUM ANALYZE")

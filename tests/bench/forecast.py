"""How long a forecast of very many subscriptions takes to its first line, and its memory.

`make bench-forecast` fills a database of its own in an embedded PostgreSQL, runs the command as
a process, and exits 1 when a bound does not hold. Run by hand; figures depend on the machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

import psycopg
from cryptography.fernet import Fernet
from rich.console import Console

from billing.clock import real_now
from billing.local import servers
from billing.local.processes import Crew
from billing.store import migrate

CONSOLE = Console(highlight=False)
FIRST_LINE_SECONDS = 2
PEAK_MIB = 300
DAYS = 30
FILL = """
INSERT INTO plans (code, name, amount, every, cron, timezone, trial, cycles, retries, on_exhausted,
                   catch_up, use_points, created_at)
SELECT code, code, 50000, every, cron, 'Asia/Jakarta', trial, cycles, '2d 5d 7d 7d', 'cancel',
       'all', false, now()
FROM (VALUES ('monthly', '1 month', NULL, NULL, NULL), ('trial', '1 month', NULL, '14 days', NULL),
             ('weekly', '1 week', NULL, NULL, NULL), ('term', '3 months', NULL, NULL, 4),
             ('payday', NULL, '0 10 25 * *', NULL, NULL))
     AS offered (code, every, cron, trial, cycles);

INSERT INTO customers (id, name, created_at)
SELECT 'C' || n, 'Customer ' || n, now() FROM generate_series(1, {count}) AS n;

-- A month's subscriptions, each with a second of its own: no two share an anchor.
INSERT INTO subscriptions (id, customer_id, plan_code, status, amount, start_at, anchor_local,
                           next_period_index, next_due_at, first_paid_at, resume_at, created_at)
SELECT gen_random_uuid(), 'C' || n, plan, status, 50000, at, at AT TIME ZONE 'Asia/Jakarta',
       CASE WHEN status = 'trialing' THEN 0 ELSE 3 END,
       CASE WHEN status <> 'paused' THEN CASE plan
           WHEN 'weekly' THEN at + interval '21 days'
           WHEN 'payday' THEN (date_trunc('month', {now}) + interval '24 days 10 hours')
                AT TIME ZONE 'Asia/Jakarta'
           ELSE at + interval '90 days' END END,
       CASE WHEN status <> 'trialing' THEN at END,
       CASE WHEN status = 'paused' THEN {now} + interval '9 days' END, {now}
FROM (SELECT n, {now} - CASE n % 10 WHEN 0 THEN interval '21 days' ELSE interval '90 days' END
             + (n % 2592000) * interval '1 second' AS at,
             CASE n % 10 WHEN 0 THEN 'weekly' WHEN 1 THEN 'payday' WHEN 2 THEN 'term'
                         WHEN 3 THEN 'trial' ELSE 'monthly' END AS plan,
             CASE WHEN n % 50 = 7 THEN 'past_due' WHEN n % 50 = 8 THEN 'paused'
                  WHEN n % 10 = 3 THEN 'trialing' ELSE 'active' END AS status
      FROM generate_series(1, {count}) AS n) AS drawn;

INSERT INTO invoices (id, subscription_id, customer_id, plan_code, period_index, period_start,
                      period_end, amount, status, next_attempt_at, first_failed_at, created_at)
SELECT gen_random_uuid(), id, customer_id, plan_code, 2, start_at + interval '60 days',
       start_at + interval '90 days', amount, 'open', {now} + interval '2 days', {now}, {now}
FROM subscriptions WHERE status = 'past_due';

ANALYZE;
"""


def main(arguments: Sequence[str]) -> int:
    """Fill, run, measure; 0 when every bound holds."""
    parser = argparse.ArgumentParser("python -m tests.bench.forecast", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="subscriptions")
    count = parser.parse_args(arguments).count
    folder = Path(tempfile.mkdtemp(prefix="ovo-bench-"))
    with closing(Crew()) as crew:
        crew.remove_at_end(folder)
        postgres = servers.start_postgres(
            crew, folder / "postgres", folder / "postgres.log", durable=False
        )
        now = real_now().replace(microsecond=0)
        begun = perf_counter()
        fill(postgres.url, count, now)
        CONSOLE.print(f"{count:,} subscriptions, filled in {perf_counter() - begun:.0f} s")
        return measure(postgres.url, now + timedelta(days=DAYS))


def fill(url: str, count: int, now: datetime) -> None:
    """Migrate, and write subscriptions of every kind a forecast knows."""
    migrate.upgrade(url.replace("postgresql://", "postgresql+psycopg://", 1))
    statements = FILL.format(count=count, now=f"timestamptz '{now.isoformat()}'")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def measure(url: str, until: datetime) -> int:
    """Run the forecast and print its figures."""
    begun = perf_counter()
    program = "from billing.cli import main; main()"
    command = [sys.executable, "-c", program, "forecast", "--until", until.isoformat()]
    with subprocess.Popen(command, env=environment(url), stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        first = perf_counter() - begun
        lines = 1 + sum(1 for _ in running.stdout)
        # Linux counts this child alone, in KiB: the others are the crew's.
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    seconds, peak = perf_counter() - begun, used.ru_maxrss / 1024
    CONSOLE.print(f"first line after {first:.2f} s (bound {FIRST_LINE_SECONDS})")
    CONSOLE.print(f"{lines:,} lines in {seconds:.0f} s, {lines / seconds:,.0f} a second")
    CONSOLE.print(f"peak memory {peak:.0f} MiB (bound {PEAK_MIB})")
    return int(bool(running.returncode) or first > FIRST_LINE_SECONDS or peak > PEAK_MIB)


def environment(url: str) -> Mapping[str, str]:
    """Settings for a forecast: a database, and a gateway that is never called."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_")}
    return kept | {
        "BILLING_DATABASE_URL": url,
        "BILLING_DOKU_CLIENT_ID": "bench",
        "BILLING_DOKU_SECRET_KEY": "bench",
        "BILLING_TOKEN_KEY": Fernet.generate_key().decode(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

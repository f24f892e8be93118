"""Charging with and without an endpoint that receives every event, in one run."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from typing import NamedTuple

import psycopg

from billing import logs
from billing.domain.events import OPERATOR
from billing.local import programs
from billing.services.webhooks import endpoints
from tests.bench import runs
from tests.bench.payday import WALLET_MS
from tests.bench.stage import Stage, forget_own_settings, stage

CHARGES = 20_000
WARM = 1_000
SECONDS_MAX = 900.0
POLL_SECONDS = 2.0


class Measured(NamedTuple):
    """What the run with an endpoint adds."""

    deliveries: int
    after_seconds: float  # from the last settlement to the last delivery
    rate: float  # deliveries a second, from the first attempt to the last


@contextmanager
def _receiver() -> Iterator[str]:
    """Run a receiver; its URL."""
    command = [sys.executable, "-m", "tests.bench.hook_receiver"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
        finally:
            process.kill()


def measure(charges: int, warm: int = WARM) -> Iterator[str]:
    """Yield what is to be printed, as it becomes known."""
    hosts = {"BILLING_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1"}
    with _receiver() as url, stage(charges, **hosts) as ground:
        ground.wallet_takes(WALLET_MS)
        worker, beat = ground.start_engine()
        ground.crew.start(
            programs.webhooks(ground.folder / "webhooks.log", ground.environment).program
        )
        runs.engine(ground, warm, worker, beat)
        without = runs.engine(ground, charges, worker, beat).rate
        yield f"without an endpoint: {without:,.0f} charges/s"
        endpoints.create(ground.context, url, OPERATOR)
        with_one = runs.engine(ground, charges, worker, beat).rate
        yield f"with an endpoint:    {with_one:,.0f} charges/s, {with_one / without:.2f} of that"
        found = _delivered(ground)
        yield (
            f"{found.deliveries:,} deliveries, {found.rate:,.0f}/s,"
            f" the last {found.after_seconds:.0f} s after the last settlement"
        )


def _delivered(ground: Stage) -> Measured:
    """Wait for the last delivery."""
    deadline, pause = monotonic() + SECONDS_MAX, Event()
    with ground.connect() as connection:
        while _left(connection):
            if monotonic() > deadline:
                raise RuntimeError(f"{_left(connection)} events were not delivered")
            pause.wait(POLL_SECONDS)
        row = connection.execute(
            "SELECT count(*), extract(epoch FROM max(settled_at)"
            " - (SELECT max(settled_at) FROM charges)),"
            " count(*) / extract(epoch FROM max(settled_at) - min(settled_at))"
            " FROM webhook_deliveries WHERE status = 'succeeded'"
        ).fetchone()
        assert row is not None
        return Measured(int(row[0]), float(row[1]), float(row[2]))


def _left(connection: psycopg.Connection) -> int:
    """Events since the endpoint was created that are not delivered to it."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM events WHERE id > (SELECT max(id) FROM events WHERE"
        " kind = 'webhook.created')) - (SELECT count(*) FROM webhook_deliveries d JOIN events e"
        " ON e.id = d.event_id WHERE d.status = 'succeeded' AND e.kind <> 'webhook.created')"
    ).fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    """Measure and print; the first argument is the number of charges."""
    forget_own_settings()
    logs.configure("json", "error")
    for line in measure(int(sys.argv[1]) if len(sys.argv) > 1 else CHARGES):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

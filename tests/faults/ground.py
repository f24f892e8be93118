"""An engine on its own servers, which a test can stop and start again.

A world of the stories, with PostgreSQL and Redis started here so that no other test notices when
they go, and with workers and beats started by hand.
"""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import redis as redis_client
from sqlalchemy.exc import SQLAlchemyError

from billing.local import servers
from billing.local.processes import Crew
from billing.local.servers import Server
from billing.local.stack import Stack
from billing.services.subscriptions import subscribing
from billing.services.wallets import linking
from billing.store.queries import engine
from schedules.beat import TICKS
from tests import prepared
from tests.e2e.world import BY, World
from tests.faults.fleet import Fleet, kill
from tests.servers import fast_place
from tests.waits import WAIT_SECONDS, state_of, wait_until

HOUR = timedelta(hours=1)
TICK_SECONDS = 2.0
POLL_SECONDS = 0.1
"""Most of what is waited for takes seconds, and each look asks a server."""
SETTINGS = {
    "BILLING_TEST_CLOCK": "1",
    "BILLING_TICK_SECONDS": "1",
    "BILLING_LOG_FORMAT": "json",
    "BILLING_LOG_LEVEL": "info",
    "BILLING_DOKU_TIMEOUT_SECONDS": "6",
    "BILLING_WORKER_PROCESSES": "1",
    "BILLING_BATCH_SIZE": "4",
    "BILLING_BATCH_THREADS": "2",
}
"""Small batches and one process, so that a test knows who is doing what."""


class Ground(World):
    """A world whose servers can be stopped."""

    def __init__(self, stack: Stack, fleet: Fleet, postgres: Server, redis: Server) -> None:
        super().__init__(stack)
        self.fleet = fleet
        self.postgres = postgres
        self.redis = redis

    # --- people ------------------------------------------------------------------------------

    def members(self, count: int, plan: str, **options: Any) -> list[str]:
        """As many new customers with linked wallets, on a new plan that begins in an hour."""
        self.plan(plan, **options)
        start = self.now + HOUR
        names = [f"{plan}-{number}" for number in range(count)]
        for name in names:
            self._joined += 1
            tail = f"{self._joined:04}"
            subscribing.create_customer(
                self.context, name, name=f"Name Of {name}", by=BY,
                phone=f"08120000{tail}", email=f"{name}@mail.example",
            )  # fmt: skip
            linking.link(self.context, name, f"628120000{tail}", BY)
            linking.refresh(self.context, name)
            subscribing.subscribe(self.context, name, plan, BY, start=start)
        return names

    def subscription(self, customer: str) -> UUID:
        """A customer's subscription."""
        found = self.value("SELECT id FROM subscriptions WHERE customer_id = :who", who=customer)
        return UUID(str(found))

    def script(
        self, kind: str, customer: str = "", *, call: str = "pay", times: int = 1, **action: Any
    ) -> int:
        """Add a scripted fault, for one customer or for any, and return its number."""
        match = {"call": call} | ({"customer_id": customer} if customer else {})
        body = {"match": match, "times": times, "action": {"kind": kind, **action}}
        return int(self.pretend.call("POST", "scripts", body)["scripts"][0]["id"])

    def met(self, script: int) -> int:
        """Return how often a scripted fault has happened."""
        listed = self.pretend.call("GET", "scripts")["scripts"]
        return int(next(row["met"] for row in listed if row["id"] == script))

    def await_met(self, script: int, times: int = 1) -> None:
        """Wait until a scripted fault has happened N times."""
        self.poll(lambda: self.met(script) >= times, f"script {script} met {times}")

    def debits(self, customers: Sequence[str]) -> list[int]:
        """How many times each customer's money moved, as the gateway's ledger has it."""
        moves = dict.fromkeys(customers, 0)
        for row in self.pretend.ledger():
            if row["kind"] == "payment" and row["customer_id"] in moves:
                moves[row["customer_id"]] += row["moves"]
        return list(moves.values())

    def charges(self, customers: Sequence[str]) -> list[str]:
        """The status of every charge of these customers, sorted."""
        rows = self.rows(
            "SELECT status FROM charges WHERE customer_id = ANY(:who) ORDER BY 1",
            who=list(customers),
        )
        return [row.status for row in rows]

    # --- time --------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """Return the time of the engine's clock."""
        return self.context.clock.now()

    def jump(self, delta: timedelta) -> None:
        """Move the clock, without waiting for anything."""
        self.set_clock(self.now + delta)

    def tick(self, ticks: Sequence[str] = TICKS) -> None:
        """Send ticks as beat does."""
        for name in ticks:
            self.messenger.send_task(name)

    def forget_leases(self) -> None:
        """Let every lease have ended; they last 45 s of real time, and this is quicker."""
        with self.context.database.transaction() as connection:
            for table in ("invoices", "charges"):
                connection.exec_driver_sql(f"UPDATE {table} SET leased_until = NULL")

    def shorten_leases(self, seconds: float) -> None:
        """Set the remaining time of the invoices' leases, by the database's clock."""
        with self.context.database.transaction() as connection:
            connection.exec_driver_sql(
                "UPDATE invoices SET leased_until = clock_timestamp() + make_interval(secs => %s)"
                " WHERE leased_until > clock_timestamp()",
                (seconds,),
            )

    def poll(
        self,
        condition: Callable[[], bool],
        what: str,
        seconds: float = WAIT_SECONDS,
        pause_seconds: float = POLL_SECONDS,
    ) -> None:
        """Wait, boundedly, until something is so."""
        wait_until(condition, what, seconds=seconds, state=self.state, pause_seconds=pause_seconds)

    def state(self) -> str:
        """What is due, leased and queued, and the last words of every process, for a message."""
        try:
            rows = state_of(self.context.database, self.redis.url)
        except SQLAlchemyError as away:
            rows = f"the database says {away!r}"
        return f"{rows}\n{self.fleet.words()}"

    def work_off(self, delta: timedelta = timedelta(0), seconds: float = WAIT_SECONDS) -> None:
        """Move the clock, and send ticks as beat does until nothing is due at that instant."""
        if delta:
            self.jump(delta)
        now, sent_at = self.now, monotonic()
        self.tick()

        def quiet() -> bool:
            nonlocal sent_at
            if monotonic() - sent_at > TICK_SECONDS:
                self.tick()
                sent_at = monotonic()
            with self.context.database.transaction() as connection:
                due = engine.next_due(connection)
                return (due is None or due > now) and not engine.in_flight(connection)

        self.poll(quiet, "what was due is done", seconds)

    def ticked(self) -> None:
        """Wait until beat has had the sweep of charges run twice, from its begin to its end."""
        seen: set[object] = set()

        def often() -> bool:
            seen.add(self.value("SELECT at FROM heartbeats WHERE tick = 'sweep_charges'"))
            return len(seen) > 3

        self.poll(often, "the sweep of charges ran")

    def ticked_out(self) -> None:
        """Wait until ticks have failed without a database."""
        log = self.fleet.workers["one"].program.log
        before = log.read_text().count("OperationalError")
        self.poll(lambda: log.read_text().count("OperationalError") > before + 5, "ticks failed")

    # --- the servers -------------------------------------------------------------------------

    def broker(self) -> redis_client.Redis:
        """A client of the message server."""
        return redis_client.Redis.from_url(self.redis.url)

    def restart_redis(self, *, crash: bool = False) -> None:
        """Stop the message server and start it again, at the same address."""
        self.stop_redis(crash=crash)
        self.start_redis()

    def stop_redis(self, *, crash: bool = False) -> None:
        """Stop the message server."""
        if crash:
            kill(self.redis.child)
        self.redis.child.end()

    def start_redis(self) -> None:
        """Start the message server again."""
        self.redis.child.start()
        self.poll(lambda: servers.redis_problem(self.redis.url) is None, "Redis answers")

    def stop_postgres(self, *, crash: bool = False) -> None:
        """Shut PostgreSQL down: fast, or at once as after a crash, leaving recovery to do."""
        if crash:
            self.postgres.child._process.send_signal(signal.SIGQUIT)  # "immediate shutdown"
            self.poll(lambda: not self.postgres.child.running, "PostgreSQL is gone")
        self.postgres.child.end()

    def start_postgres(self) -> None:
        """Start PostgreSQL again on the same data."""
        self.postgres.child.start()
        self.poll(lambda: servers.postgres_problem(self.postgres.url) is None, "PostgreSQL answers")

    def close(self) -> None:
        """End everything that was started for it."""
        self.fleet.close()
        super().close()


@contextmanager
def grounds(**settings: str) -> Iterator[Ground]:
    """Servers, gateway and database of one's own; workers and beats are the caller's to start."""
    home = Path(tempfile.mkdtemp(prefix="ovo-", dir=fast_place() or "/tmp"))
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, home, ignore_errors=True)
        crew = Crew()
        undo.callback(crew.close)
        prepared.lay(home / "pg")
        postgres = servers.start_postgres(crew, home / "pg", home / "postgres.log", durable=False)
        redis = servers.start_redis(crew, home / "redis", home / "redis.log")
        named = {"BILLING_DATABASE_URL": postgres.url, "BILLING_REDIS_URL": redis.url}
        stack = undo.enter_context(
            Stack(
                home / "stack", parts=(), environment=SETTINGS | named | settings,
                any_ports=True, migrate=lambda found: prepared.upgrade(found.database),
            )
        )  # fmt: skip
        there = Ground(stack, Fleet(stack), postgres, redis)
        undo.callback(there.close)
        yield there


def set_clock_back(ground: Ground, delta: timedelta) -> None:
    """Move the clock back, which no service does: as a host whose clock was wrong."""
    with ground.context.database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE engine SET clock_at = clock_at - make_interval(secs => %s)",
            (int(delta.total_seconds()),),
        )

"""The whole engine in one process, with a real database and a sandbox process.

It does what workers and beat do, in the order of the beat table, and moves the test clock from
one stretch of due work to the next. It knows no Celery and mocks nothing.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import sample
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import structlog
from cryptography.fernet import Fernet
from sqlalchemy import Connection, text

from billing import bootstrap
from billing.clock import TestClock
from billing.config import Settings
from billing.domain.events import OPERATOR
from billing.domain.outcomes import Payer, Succeeded
from billing.domain.settlement import Source
from billing.sandbox.process import SandboxProcess
from billing.services.collecting import charging, opening_batches, reconciling, settling
from billing.services.money import refunding
from billing.services.operating import test_clock
from billing.services.subscriptions import canceling, pausing, subscribing
from billing.services.wallets import erasing, linking
from billing.services.webhooks import upcoming
from billing.store.queries import engine as engine_rows
from billing.store.queries.subscriptions import MAY_PAUSE, MAY_RESUME
from schedules.beat import TICKS
from tests.integration import checks, linked_wallets
from tests.integration.kept import Kept
from tests.integration.linked_wallets import new_phone
from tests.integration.reader import Reader
from tests.waits import WAIT_SECONDS, state_of, wait_until

START = datetime(2026, 1, 31, 2, tzinfo=UTC)
"""09:00 in Jakarta, on a day that February does not have."""
KEY = Fernet.generate_key().decode()
TABLES = ("plans", "customers", "wallets", "subscriptions", "invoices", "charges", "refunds",
          "events", "commands")  # fmt: skip
STEPS_MAX = 2_000
Row = Mapping[str, Any]


class Engine:
    """An engine to drive: services, rows, and the gateway's ledger."""

    def __init__(self, where: str | Kept, gateway: SandboxProcess, **settings: Any) -> None:
        self.gateway = gateway
        self.url = where if isinstance(where, str) else where.url
        self.audited = True
        self.dead_ends: set[str] = set()
        values: dict[str, Any] = {
            "database_url": self.url,
            "doku_base_url": gateway.url,
            "doku_client_id": gateway.client_id,
            "doku_secret_key": gateway.secret_key,
            "doku_timeout_seconds": 5,
            "token_key": KEY,
            "test_clock": True,
            "batch_threads": 4,
        }
        made = Settings(**values | settings)
        self.context = bootstrap.build(made)
        self._kept = None if isinstance(where, str) else where
        self._reader: Reader | None = None
        if self._kept is not None:
            self._reader = self._kept.reader()  # one round trip for rows or the clock, not four
            clock = TestClock(self._reader.clock)
            self.context = replace(self.context, database=self._kept.database, clock=clock)

    def close(self) -> None:
        """End the threads, and drop its own database."""
        self.context.pool.shutdown()
        if self._kept is None:
            self.context.database.dispose()

    def leave_database(self) -> None:
        """End every connection, so that the database can be copied."""
        if self._kept is not None:
            self._kept.close()
        self.context.database.dispose()

    # --- time and work -----------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """Return the time of the test clock."""
        return self.context.clock.now()

    def set_clock(self, at: datetime) -> None:
        """Set the clock to a later instant, without doing the due work."""
        test_clock.set_clock(self.context, at, OPERATOR)

    def tick(self, ticks: Sequence[str] = TICKS) -> None:
        """Do what is due now, once, in the order of the beat table."""
        for name in ticks:
            self._tick(name)

    def _tick(self, name: str) -> None:
        c = self.context
        match name.removeprefix("ticks."):
            case "end_subscriptions":
                canceling.cancel_due(c)
                pausing.pause_due(c)
                pausing.resume_due(c)
            case "open_periods":
                opening_batches.open_due(c)
            case "sweep_charges":
                charging.collect(c, in_any_order(charging.lease_due(c, 1000)))
            case "reconcile":
                reconciling.ask(c, in_any_order(reconciling.lease_due(c, 1000)))
            case "sweep_refunds":
                for refund in in_any_order(refunding.lease_due(c, 100)):
                    refunding.send_due(c, refund)
            case "attend_wallets":
                linking.expire_due(c, 100)
                linking.give_notice(c, 100)
                for wallet in in_any_order(linking.lease_due(c, 100)):
                    linking.attend(c, wallet)
                erasing.complete_due(c, 100)

    def run(self) -> None:
        """Do all the work that is due now; fails when due work does not progress."""
        for rounds in range(50):
            upcoming.announce_due(self.context, 1000)
            due = self.due_ticks()
            if not due:
                return
            if rounds > 1:
                self.forget_leases()
            self.tick(due)
        raise AssertionError(f"due at {self.now}, and still due after 50 rounds:\n{self.state()}")

    def due_ticks(self) -> Sequence[str]:
        """Return the first tick that has work now, and all later ones."""
        [due] = self.rows(_DUE)
        return next((TICKS[i:] for i, name in enumerate(TICKS) if due[name]), ())

    def next_due(self) -> datetime | None:
        """When something is due next."""
        with self.context.database.transaction() as connection:
            return engine_rows.next_due(connection)

    def advance(self, to: datetime | timedelta) -> None:
        """Do everything that is due up to an instant, stopping at each due date."""
        target = to if isinstance(to, datetime) else self.now + to
        for _ in range(STEPS_MAX):
            self.run()
            due = self.next_due()
            if due is None or due > target:
                self.set_clock(target)
                return
            self.set_clock(due)
        raise AssertionError(f"more than {STEPS_MAX} stops; at {self.now}: next {self.next_due()}")

    def until(
        self, holds: Callable[[], bool], what: str = "what another thread does",
        seconds: float = WAIT_SECONDS,
    ) -> None:  # fmt: skip
        """Wait in real time for something another thread does."""
        wait_until(holds, what, seconds=seconds, state=self.state, pause_seconds=0.005)

    def state(self) -> str:
        """What is due, leased and on the wire, for a message."""
        return state_of(self.context.database)

    def forget_leases(self) -> None:
        """Let every lease end, as real time would after a lost message."""
        for table in ("invoices", "charges", "refunds", "wallets"):
            self.execute(f"UPDATE {table} SET leased_until = NULL WHERE leased_until IS NOT NULL")

    # --- stories begin with these ------------------------------------------------------------

    def plan(self, code: str = "P", **options: Any) -> str:
        """Offer a plan: 50,000 a month unless told otherwise."""
        values: dict[str, Any] = {"amount": 50_000, "by": OPERATOR} | options
        if "cron" not in values:
            values.setdefault("every", "1 month")
        subscribing.create_plan(self.context, code, **values)
        return code

    def customer(self, *, linked: bool = True, cash: int | None = None, points: int = 0) -> str:
        """Make a customer, with a linked wallet unless told otherwise."""
        customer = f"C{uuid4().hex[:12]}"
        money = {"cash": 100_000_000 if cash is None else cash, "points": points}
        at = self.context, self._reader
        if linked and linked_wallets.copy(*at, self.gateway, customer, money):
            return customer
        subscribing.create_customer(self.context, customer, name="Ani", by=OPERATOR)
        self.gateway.control("PUT", f"wallets/{customer}", money)
        if linked:
            self.link(customer)
            linked_wallets.keep(*at, customer)
        return customer

    def link(self, customer: str, **options: Any) -> None:
        """Link a wallet: bind, the customer's confirmation, and a poll."""
        self.bind(customer, **options)
        self.gateway.control("POST", f"wallets/{customer}/confirm")
        linking.refresh(self.context, customer)

    def bind(self, customer: str, **options: Any) -> UUID:
        """Start linking a phone that no other customer has."""
        return linking.link(self.context, customer, new_phone(), OPERATOR, **options)

    def subscribe(self, customer: str, plan: str = "P", **options: Any) -> UUID:
        """Put a customer on a plan."""
        return UUID(subscribing.subscribe(self.context, customer, plan, OPERATOR, **options)["id"])

    def begun(self, *, cash: int | None = None, **plan: Any) -> tuple[str, UUID]:
        """Make a plan, a customer with a wallet and a subscription; nothing is charged yet."""
        self.plan(**plan)
        customer = self.customer(cash=cash)
        return customer, self.subscribe(customer)

    # --- the gateway's side ------------------------------------------------------------------

    def script(
        self,
        kind: str,
        customer: str,
        call: str = "pay",
        *,
        times: int | None = 1,
        skip: int = 0,
        **options: Any,
    ) -> int:
        """Add a scripted fault for a customer's calls; returns its id."""
        action = {"kind": kind, **options}
        match = {"call": call, "customer_id": customer}
        script = {"match": match, "times": times, "skip": skip, "action": action}
        listed: Row = self.gateway.control("POST", "scripts", script)
        return int(listed["scripts"][0]["id"])

    def no_more_scripts(self) -> None:
        """Remove all scripted faults."""
        self.gateway.control("DELETE", "scripts")

    def met(self, script: int) -> int:
        """Return the number of requests that a scripted fault has affected."""
        scripts = self.gateway.control("GET", "scripts")["scripts"]
        return int(next(row["met"] for row in scripts if row["id"] == script))

    def ledger(self, customer: str, kind: str | None = None) -> list[Row]:
        """The gateway's rows of a customer, in the order in which they happened."""
        path = f"ledger?customer={quote(customer)}&limit=10000" + (f"&kind={kind}" if kind else "")
        return list(self.gateway.control("GET", path)["rows"])

    def debits(self, customer: str) -> list[Row]:
        """The payments that moved money, each as often as it did."""
        rows = self.ledger(customer, "payment")
        return [row for row in rows for _ in range(row["moves"])]

    def unlink(self, customer: str) -> None:
        """Delete the customer's token at the gateway without the engine's knowledge."""
        token = self.context.vault.open(self.wallets(customer)[-1]["token_sealed"]).decode()
        assert (
            self.context.gateway.unbind(Payer(customer, "Ani"), token, str(uuid4())) == Succeeded()
        )

    def lose_wallet(self, customer: str) -> None:
        """Expire the token at the gateway and here."""
        self.unlink(customer)
        expired = "UPDATE wallets SET expires_at = :now WHERE customer_id = :id"
        self.execute(f"{expired} AND status = 'active'", now=self.now, id=customer)

    def late_success(self, charge_id: UUID) -> None:
        """Send a status query for a charge in any state, and settle its answer."""
        [charge] = self.rows("SELECT * FROM charges WHERE id = :id", id=charge_id)
        number = charge["gateway_number"]
        said = self.context.gateway.check_status(number, number, charge["amount"])
        settling.settle(self.context, [settling.News(charge_id, said)], Source.STATUS)

    def put_cash(self, customer: str, cash: int) -> None:
        """Set what the customer's wallet holds."""
        self.gateway.control("PUT", f"wallets/{customer}", {"cash": cash})

    # --- rows --------------------------------------------------------------------------------

    def rows(self, statement: str, **parameters: Any) -> list[Row]:
        """Read rows."""
        if self._reader is not None:
            return self._reader.rows(statement, parameters)
        with self.context.database.transaction() as connection:
            return [dict(r) for r in connection.execute(text(statement), parameters).mappings()]

    def one(self, statement: str, **parameters: Any) -> Any:
        """Read one value."""
        [row] = self.rows(statement, **parameters)
        [value] = row.values()
        return value

    def execute(self, statement: str, **parameters: Any) -> None:
        """Change rows directly."""
        with self.context.database.transaction() as connection:
            connection.execute(text(statement), parameters)

    @contextmanager
    def undone(self) -> Iterator[Connection]:
        """Give a transaction that is rolled back."""
        with self.context.database.transaction() as connection, connection.begin_nested() as inner:
            yield connection
            inner.rollback()

    def subscription(self, subscription: UUID) -> Row:
        """One subscription."""
        return self.rows("SELECT * FROM subscriptions WHERE id = :id", id=subscription)[0]

    def status(self, subscription: UUID) -> str:
        """A subscription's status."""
        return str(self.subscription(subscription)["status"])

    def invoices(self, subscription: UUID) -> list[Row]:
        """A subscription's invoices, oldest first."""
        order = "ORDER BY period_index, change_index"
        return self.rows(
            f"SELECT * FROM invoices WHERE subscription_id = :id {order}", id=subscription
        )

    def charges(self, subscription: UUID) -> list[Row]:
        """A subscription's charges, oldest first."""
        statement = """SELECT c.*, i.period_index FROM charges c JOIN invoices i
            ON i.id = c.invoice_id WHERE c.subscription_id = :id
            ORDER BY c.created_at, i.period_index, c.attempt"""
        return self.rows(statement, id=subscription)

    def refunds(self, customer: str) -> list[Row]:
        """A customer's refunds, oldest first."""
        statement = (
            "SELECT r.* FROM refunds r JOIN charges c ON c.id = r.charge_id"
            " WHERE r.customer_id = :id ORDER BY r.created_at, c.gateway_number, r.sequence"
        )
        return self.rows(statement, id=customer)

    def wallets(self, customer: str) -> list[Row]:
        """A customer's wallets, oldest first."""
        order = "ORDER BY created_at, closed_at, id"
        return self.rows(f"SELECT * FROM wallets WHERE customer_id = :id {order}", id=customer)

    def told(self, kind: str) -> list[Row]:
        """The events of one kind, oldest first."""
        return self.rows("SELECT * FROM events WHERE kind = :kind ORDER BY id", kind=kind)

    def counts(self) -> dict[str, int]:
        """How many rows every table has: what is refused must not change it."""
        return {table: self.one(f"SELECT count(*) FROM {table}") for table in TABLES}


def in_any_order(ids: Sequence[UUID]) -> list[UUID]:
    """Shuffle what comes in no promised order, so that no test comes to depend on one.

    pytest-randomly seeds it for each test; `--randomly-seed` with a printed seed repeats a run.
    """
    return sample(list(ids), len(ids))


_DUE = f"""
WITH now AS (SELECT clock_at AS at FROM engine)
SELECT EXISTS (SELECT 1 FROM subscriptions s, now WHERE ended_at IS NULL
               AND held_at IS NULL AND (cancel_at <= at
               OR pause_at <= at AND {MAY_PAUSE} OR resume_at <= at AND {MAY_RESUME}))
           AS "ticks.end_subscriptions",
       EXISTS (SELECT 1 FROM subscriptions, now WHERE next_due_at <= at AND held_at IS NULL)
           AS "ticks.open_periods",
       EXISTS (SELECT 1 FROM invoices, now WHERE next_attempt_at <= at AND held_at IS NULL)
           AS "ticks.sweep_charges",
       EXISTS (SELECT 1 FROM charges, now WHERE next_check_at <= at AND held_at IS NULL)
           AS "ticks.reconcile",
       EXISTS (SELECT 1 FROM refunds, now WHERE next_attempt_at <= at AND held_at IS NULL)
           AS "ticks.sweep_refunds",
       EXISTS (SELECT 1 FROM wallets, now WHERE held_at IS NULL AND (next_attempt_at <= at
               OR (expires_at <= at AND status = 'active')
               OR (next_notice_at <= at AND status = 'active'))) AS "ticks.attend_wallets"
"""


@contextmanager
def running(where: str | Kept, gateway: SandboxProcess, **settings: Any) -> Iterator[Engine]:
    """Give an engine whose clock is at START; the invariants are checked at the end."""
    engine = Engine(where, gateway, **settings)
    logs = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        engine.set_clock(START)
        yield engine
        if engine.audited:
            checks.check(engine)
    finally:
        structlog.configure(**logs)
        engine.no_more_scripts()
        engine.close()

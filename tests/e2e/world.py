"""The whole engine as processes, with control of its clock and its customers' wallets."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import UUID

from sqlalchemy import text

from billing import bootstrap
from billing.domain.events import Actor
from billing.local.compare import compare
from billing.local.pretend import Pretend
from billing.local.stack import Stack
from billing.services.operating import test_clock
from billing.services.reading import auditing
from billing.services.subscriptions import subscribing
from billing.services.wallets import linking
from billing.store import migrate
from tests import forked_programs
from tests.commands import command
from tests.integration.kept import empty
from tests.waits import WAIT_SECONDS, state_of, wait_until

BY = Actor("test")
BEGIN = datetime.fromisoformat("2026-01-31T09:00:00+07:00")
RICH = 10_000_000


class World:
    """A running stack under the test clock."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.context = bootstrap.build(stack.settings)
        self.pretend = Pretend(stack.sandbox_url)
        self.messenger = bootstrap.messenger(stack.settings)
        self._joined = self._told_before = 0
        self._begin()

    def begin_anew(self) -> None:
        """Empty the database; the gateway keeps its state."""
        empty(self.context.database)
        self._told_before = len(self.pretend.ledger())
        self._begin()

    def _begin(self) -> None:
        self.set_clock(BEGIN)
        self.pretend.defaults(cash=RICH, confirm_after_seconds=0)

    def ledger(self) -> list[dict[str, Any]]:
        """What the gateway has booked since the begin, oldest first."""
        return self.pretend.ledger()[self._told_before :]

    def set_clock(self, instant: datetime) -> None:
        """Put the engine's and the gateway's clock somewhere."""
        test_clock.set_clock(self.context, instant, BY)
        self.pretend.set_clock(instant.isoformat())

    def until(self, instant: str | datetime) -> None:
        """Let time pass, from one stretch of due work to the next."""
        at = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
        test_clock.advance(
            self.context, self.messenger.send_task, at, BY,
            lambda now: self.pretend.set_clock(now.isoformat()),
        )  # fmt: skip

    def plan(self, code: str, **options: Any) -> None:
        """Offer a plan, monthly and over 50,000 unless told otherwise."""
        values = {"amount": 50_000, "every": "1 month"} | options
        subscribing.create_plan(self.context, code, by=BY, **values)

    def join(self, customer: str, plan: str, *, cash: int = RICH) -> UUID:
        """A customer with a wallet subscribes."""
        self._joined += 1
        number = self._joined
        subscribing.create_customer(
            self.context, customer, name=f"Name Of {customer}", by=BY,
            phone=f"08120000{number:04}", email=f"{customer}@mail.example",
        )  # fmt: skip
        linking.link(self.context, customer, f"628120000{number:04}", BY)
        self.pretend.give(customer, cash)
        return UUID(subscribing.subscribe(self.context, customer, plan, BY)["id"])

    def rows(self, statement: str, **parameters: object) -> list[Any]:
        """What a query says."""
        with self.context.database.transaction() as connection:
            return list(connection.execute(text(statement), parameters))

    def value(self, statement: str, **parameters: object) -> Any:
        """The one value a query gives."""
        return self.rows(statement, **parameters)[0][0]

    def eventually(self, statement: str, expected: object, seconds: float = WAIT_SECONDS) -> None:
        """Wait, boundedly, until a query gives a value."""

        def state() -> str:
            rows = state_of(self.context.database, self.stack.settings.redis)
            return f"it is {self.value(statement)!r}\n{rows}"

        wait_until(
            lambda: bool(self.value(statement) == expected), f"{statement} is {expected!r}",
            seconds=seconds, state=state,
        )  # fmt: skip

    def billing(self, *arguments: str) -> Any:
        """Run `billing … --json` in this process and return the document it prints."""
        code, said, complained = command([*arguments, "--json"], self.stack.environment)
        assert code == 0, complained
        return json.loads(said)

    def run(self, *arguments: str) -> "CompletedProcess[str]":
        """Run `billing …` as its own process."""
        return forked_programs.billing(arguments, self.stack.environment)

    def reckon(self) -> None:
        """Our rows equal the gateway's ledger, and every invariant holds."""
        assert compare(self.context, self.ledger()).differences == []
        assert auditing.audit(self.context) == []

    def close(self) -> None:
        """Let go of connections and threads."""
        self.context.pool.shutdown()
        self.context.database.dispose()
        self.messenger.close()


@contextmanager
def world(
    home: Path,
    database_url: str,
    redis_url: str,
    parts: set[str],
    stand_ins: Mapping[str, Sequence[str]] | None = None,
    **settings: str,
) -> Iterator[World]:
    """A migrated stack with worker and beat, ended afterwards."""
    named = {
        "BILLING_DATABASE_URL": database_url,
        "BILLING_REDIS_URL": redis_url,
        "BILLING_TEST_CLOCK": "1",
        "BILLING_TICK_SECONDS": "2",
        "BILLING_LOG_FORMAT": "json",
        "BILLING_LOG_LEVEL": "debug",
    }
    with Stack(
        home, parts=parts, environment=named | {"LOGNAME": "operator"} | settings, any_ports=True,
        migrate=lambda found: migrate.upgrade(found.database, pooler=found.database_pooler),
        stand_ins=stand_ins,
    ) as stack:  # fmt: skip
        there = World(stack)
        try:
            yield there
        finally:
            there.close()


def environment_of(settings: dict[str, str]) -> dict[str, str]:
    """Our environment with these settings and no other of ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith("BILLING_")} | settings

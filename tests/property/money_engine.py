"""The engine of a life in money: a till for its gateway, and a clock that needs no statement."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from billing.store.queries import audit
from tests.integration.engine import START, Engine, Row
from tests.integration.reader import Reader
from tests.property.money_till import Till

MONEY = (
    "what invoices took of credits adds up", "what is left of a credit adds up",
    "what is paid out of a credit adds up", "what was taken is kept, refunded or credited",
    "a credit is of the charge that paid its invoice", "no charge gave back more than it took",
    "a surplus payment is given back", "refunded money adds up",
    "no refund is contradicted by the gateway",
)  # fmt: skip
"""The invariants about money, without the one that lists what waits for a person."""
READ = {
    "invoices": "SELECT * FROM invoices ORDER BY created_at, period_index, change_index",
    "charges": "SELECT * FROM charges WHERE status = 'succeeded' ORDER BY settled_at, id",
    "refunds": "SELECT * FROM refunds",
    "credits": "SELECT id, remaining FROM credits",
}
"""What a life looks at after each deed."""


def broken_rules(engine: Engine) -> list[str]:
    """What the audit says about money."""
    with engine.context.database.transaction() as connection:
        return [found for name in MONEY for found in audit.broken(connection, name, engine.now)]


@dataclass
class _Watch:
    """The test clock, read without a statement: only the life itself moves it."""

    at: datetime

    def now(self) -> datetime:
        """Return the time of the clock."""
        return self.at


class Quick(Engine):
    """An engine with its own copy of the clock; it shares everything else with another one."""

    def __init__(self, engine: Engine, till: Till, reader: Reader) -> None:
        self.gateway, self.url, self.audited = engine.gateway, engine.url, False
        self.watch, self.reader = _Watch(START), reader
        self.context = replace(engine.context, gateway=till, clock=self.watch)

    def rows(self, statement: str, **parameters: Any) -> list[Row]:
        """Read rows, over a connection that does nothing else."""
        return self.reader.rows(statement, parameters)

    def set_clock(self, at: datetime) -> None:
        """Put the clock somewhere later."""
        super().set_clock(at)
        self.watch.at = at

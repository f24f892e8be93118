"""Settling: an answer of the gateway is recorded, also when the connection breaks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from billing.domain.outcomes import Succeeded
from billing.domain.settlement import Source
from billing.services.collecting import charging, opening_batches, settling
from billing.services.collecting.settling import News
from tests.integration.engine import Engine


class Breaking:
    """A database whose connection breaks once, at a chosen place."""

    def __init__(self, database: Any, where: str) -> None:
        self._database = database
        self._where = where
        self.broken = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """The first transaction breaks before, in, or after its commit; the others do not."""
        first = self.broken == 0
        if first and self._where == "at the begin":
            self._break()
        with self._database.transaction() as connection:
            yield connection
            if first and self._where == "before the commit":
                self._break()
        if first and self._where == "after the commit":
            self._break()

    def _break(self) -> None:
        self.broken += 1
        raise OperationalError("COMMIT", {}, ConnectionError("server closed the connection"))


PLACES = ("at the begin", "before the commit", "after the commit")


def on_the_wire(engine: Engine) -> tuple[str, Any]:
    """A customer and a charge that the gateway paid, whose answer is not recorded yet."""
    customer, subscription = engine.begun()
    opening_batches.open_due(engine.context)
    engine.forget_leases()
    engine.script("drop_after", customer)
    charging.collect(engine.context, charging.lease_due(engine.context, 10))
    engine.execute("UPDATE charges SET status = 'in_flight', status_queries = 0, message = NULL")
    engine.execute("DELETE FROM events WHERE kind = 'charge.unknown'")
    [charge] = engine.charges(subscription)
    return customer, charge["id"]


@pytest.mark.parametrize("where", PLACES)
def test_an_answer_is_written_down_although_the_connection_breaks_once(
    engine: Engine, where: str
) -> None:
    """It is not known whether the commit happened; decided again, it is recorded once."""
    customer, charge = on_the_wire(engine)
    breaking = Breaking(engine.context.database, where)
    context = replace(engine.context, database=breaking)

    settling.settle(context, [News(charge, Succeeded())], Source.LIVE)

    assert breaking.broken == 1
    [row] = engine.rows("SELECT status FROM charges")
    assert row["status"] == "succeeded"
    assert engine.one("SELECT status FROM invoices") == "paid"
    assert len(engine.told("charge.succeeded")) == 1
    assert len(engine.told("invoice.paid")) == 1
    assert len(engine.debits(customer)) == 1


def test_a_connection_that_stays_broken_is_an_error(engine: Engine) -> None:
    """The second time the caller learns of it; the charge stays unresolved and is asked about."""
    _, charge = on_the_wire(engine)

    class Gone(Breaking):
        @contextmanager
        def transaction(self) -> Iterator[Connection]:
            self._break()
            yield from ()  # type: ignore[misc]  # never reached

    context = replace(engine.context, database=Gone(engine.context.database, ""))
    with pytest.raises(OperationalError):
        settling.settle(context, [News(charge, Succeeded())], Source.LIVE)

    assert engine.one("SELECT status FROM charges") == "in_flight"
    engine.execute("UPDATE charges SET next_check_at = :now", now=engine.now)
    engine.run()
    assert engine.one("SELECT status FROM charges") == "succeeded"

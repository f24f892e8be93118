"""Leases: a dead worker's lease of any kind of row ends after a bounded time."""

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR
from billing.services.collecting import charging, opening_batches, reconciling
from billing.services.context import LEASE_SECONDS, Context
from billing.services.money import refunding
from billing.services.wallets import linking, unlinking
from tests.integration.engine import Engine

Lease = Callable[[Context, int], Sequence[UUID]]


def due_invoice(engine: Engine) -> None:
    """An invoice that is due to be charged."""
    engine.begun()
    opening_batches.open_due(engine.context)
    engine.forget_leases()


def due_charge(engine: Engine) -> None:
    """A charge that is due to be asked about."""
    customer, _ = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    engine.execute("UPDATE charges SET next_check_at = :now", now=engine.now)


def due_refund(engine: Engine) -> None:
    """A refund that is due to be sent."""
    _, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], None, OPERATOR)


def due_wallet(engine: Engine) -> None:
    """A wallet that is due to be unlinked."""
    customer = engine.customer()
    unlinking.unlink(engine.context, customer, OPERATOR)


LEASES: dict[str, tuple[Callable[[Engine], None], Lease]] = {
    "invoices": (due_invoice, charging.lease_due),
    "charges": (due_charge, reconciling.lease_due),
    "refunds": (due_refund, refunding.lease_due),
    "wallets": (due_wallet, linking.lease_due),
}


@pytest.mark.parametrize("table", LEASES)
def test_a_row_that_a_dead_worker_leased_is_leased_again(engine: Engine, table: str) -> None:
    """While the lease lasts no other worker gets the row; then exactly one does."""
    make_due, lease = LEASES[table]
    make_due(engine)

    [mine] = lease(engine.context, 10)
    assert lease(engine.context, 10) == []
    left = engine.one(
        f"SELECT extract(epoch FROM leased_until - clock_timestamp()) FROM {table} WHERE id = :id",
        id=mine,
    )
    assert 0 < left <= LEASE_SECONDS
    engine.execute(
        f"UPDATE {table} SET leased_until = clock_timestamp() - interval '1 millisecond'"
        " WHERE id = :id",
        id=mine,
    )

    assert lease(engine.context, 10) == [mine]

    engine.forget_leases()
    engine.run()

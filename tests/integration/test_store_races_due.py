"""Due invoices are claimed without a message and a lease, by exactly one worker."""

from dataclasses import replace
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.services.collecting import charging, claiming
from billing.services.operating import held_rows, kill_switch
from billing.store.queries import subscriptions
from billing.store.queries.holding import Kind
from tests.integration.engine import START, Engine
from tests.integration.races import at_once
from tests.integration.test_store_races import DAY, due, many


def test_two_that_take_what_is_due_charge_each_once(engine: Engine, other: Engine) -> None:
    """Without leases the rows' locks keep them apart: one debit a customer, no waiting."""
    made = many(engine, 24)

    at_once(
        lambda: charging.collect_on(engine.context, [], 10),
        lambda: charging.collect_on(other.context, [], 10),
        lambda: charging.collect(other.context, charging.lease_due(other.context, 8)),
    )
    engine.run()

    assert [len(engine.debits(customer)) for customer, _ in made] == [1] * 24
    assert engine.counts()["charges"] == 24


def test_a_worker_with_nothing_else_due_claims_what_messages_wait_for(
    engine: Engine, other: Engine
) -> None:
    """The last messages need no round of their own; each then finds its invoices charged."""
    made = many(engine, 24)
    waiting = [charging.lease_due(engine.context, 8) for _ in range(2)]
    assert [len(ids) for ids in waiting] == [8, 8]

    charging.collect_on(other.context, [], 10)
    assert engine.counts()["charges"] == 24
    for ids in waiting:
        charging.collect_on(engine.context, ids, 10)
    assert [len(engine.debits(customer)) for customer, _ in made] == [1] * 24
    assert engine.one("SELECT count(leased_until) FROM invoices") == 0


def test_a_message_and_a_worker_that_takes_what_it_waits_for_do_not_deadlock(
    engine: Engine, other: Engine
) -> None:
    """Both are claimed in the same order of locks, in the same counter row of the hour."""
    made = many(engine, 24)
    waiting = charging.lease_due(engine.context, 24)

    at_once(
        lambda: charging.collect(engine.context, waiting),
        lambda: charging.collect_on(other.context, [], 10),
        lambda: charging.collect_on(other.context, [], 10),
    )
    engine.run()
    assert [len(engine.debits(customer)) for customer, _ in made] == [1] * 24
    assert engine.counts()["charges"] == 24


def test_the_lease_of_a_message_stays_when_another_worker_locks_its_subscription(
    engine: Engine, other: Engine
) -> None:
    """Its invoice is not written to, since two workers might wait for each other then."""
    [(customer, subscription)] = many(engine, 1)
    waiting = charging.lease_due(engine.context, 10)
    with engine.context.database.transaction() as connection:
        assert subscriptions.lock(connection, [subscription]) == [subscription]
        charging.collect_on(other.context, [], 10)
    assert engine.one("SELECT count(leased_until) FROM invoices") == 1

    charging.collect(engine.context, waiting)
    assert len(engine.debits(customer)) == 1


def test_a_row_that_cannot_be_claimed_stops_no_other_that_waits(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is held as if its message had come, and the others are charged."""
    made = many(engine, 6)
    spoilt = charging.lease_due(engine.context, 6)[2]
    plain = claiming._composed

    def composed(context: Any, connection: Any, row: Any, *more: Any) -> Any:
        if row.invoice_id == spoilt:
            raise ValueError("spoilt")
        return plain(context, connection, row, *more)

    with monkeypatch.context() as patch:
        patch.setattr(claiming, "_composed", composed)
        charging.collect_on(other.context, [], 10)
    assert sum(len(engine.debits(customer)) for customer, _ in made) == 5
    assert engine.one("SELECT id FROM invoices WHERE held_at IS NOT NULL") == spoilt
    held_rows.release(engine.context, Kind.INVOICE, spoilt, OPERATOR)
    engine.forget_leases()
    engine.run()
    assert [len(engine.debits(customer)) for customer, _ in made] == [1] * 6


def test_with_a_limited_rate_messages_keep_what_they_wait_for(
    engine: Engine, other: Engine
) -> None:
    """A turn that a message takes for nothing would be lost."""
    many(engine, 4)
    charging.lease_due(engine.context, 4)
    limited = replace(
        other.context,
        settings=other.context.settings.model_copy(update={"charges_per_second": 100}),
    )
    charging.collect_on(limited, [], 10)
    assert engine.counts()["charges"] == 0


def test_claiming_due_invoices_neither_waits_for_nor_leases_locked_ones(
    engine: Engine, other: Engine
) -> None:
    """An invoice whose subscription is locked stays unchanged for the next worker."""
    [(customer, subscription)] = many(engine, 1)
    with engine.context.database.transaction() as connection:
        assert subscriptions.lock(connection, [subscription]) == [subscription]
        assert claiming.claim_due(other.context, 10) == ([], [])

    charging.collect_on(other.context, [], 10)
    assert len(engine.debits(customer)) == 1


def test_a_retry_is_leased_during_its_precheck(engine: Engine, other: Engine) -> None:
    """While one worker checks a retry before its charge, no other worker checks it."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.run()
    engine.set_clock(START + 2 * DAY)

    new, charged = claiming.claim_due(engine.context, 10)
    assert (new, charged) == ([], due(engine))
    assert claiming.claim_due(other.context, 10) == ([], [])

    charging.collect(engine.context, charged)
    assert [c["status"] for c in engine.charges(subscription)] == ["declined", "succeeded"]


def test_a_stop_leaves_what_is_due_without_a_lease(engine: Engine) -> None:
    """Nothing is claimed while charging is stopped; afterwards no invoice waits for a lease."""
    [(customer, _)] = many(engine, 1)
    kill_switch.stop_charging(engine.context, OPERATOR)
    charging.collect_on(engine.context, [], 10)
    assert engine.counts()["charges"] == 0

    kill_switch.start_charging(engine.context, OPERATOR)
    charging.collect_on(engine.context, [], 10)
    assert len(engine.debits(customer)) == 1

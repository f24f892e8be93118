"""Due invoices are claimed without a message and a lease, by exactly one worker."""

from billing.domain.events import OPERATOR
from billing.services.collecting import charging, claiming
from billing.services.operating import kill_switch
from billing.store.queries import subscriptions
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


def test_claiming_due_invoices_neither_waits_for_nor_leases_locked_ones(
    engine: Engine, other: Engine
) -> None:
    """An invoice whose subscription is locked stays unchanged for the next worker."""
    [(customer, subscription)] = many(engine, 1)
    with engine.context.database.transaction() as connection:
        assert subscriptions.lock(connection, [subscription]) == [subscription]
        assert claiming.claim_due(other.context, 10, waiting=True)[:2] == ([], [])

    charging.collect_on(other.context, [], 10)
    assert len(engine.debits(customer)) == 1


def test_a_retry_is_leased_during_its_precheck(engine: Engine, other: Engine) -> None:
    """While one worker checks a retry before its charge, no other worker checks it."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.run()
    engine.set_clock(START + 2 * DAY)

    new, charged, _ = claiming.claim_due(engine.context, 10)
    assert (new, charged) == ([], due(engine))
    assert claiming.claim_due(other.context, 10, waiting=True)[:2] == ([], [])

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

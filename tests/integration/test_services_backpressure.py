"""Back-pressure: nothing is sent while the gateway refuses, and at most the contract's rate."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import monotonic

import pytest

from billing.config import ROUNDS_MAX, Settings
from billing.domain.outcomes import Succeeded, Unsent
from billing.sandbox.process import SandboxProcess
from billing.services.collecting import backpressure, charging
from billing.services.collecting.backpressure import Pace
from billing.store.queries import engine as engine_rows
from tests.integration.engine import Engine, running
from tests.integration.kept import Kept

MEMBERS = 40


def _due(engine: Engine) -> list[str]:
    """Customers, each with one invoice that is due."""
    engine.plan(amount=1_000)
    people = [engine.customer() for _ in range(MEMBERS)]
    for person in people:
        engine.subscribe(person)
    engine.tick(["ticks.open_periods"])
    return people


def _open(engine: Engine) -> int:
    return int(engine.one("SELECT count(*) FROM invoices WHERE status = 'open'"))


def test_a_gateway_that_refuses_is_left_alone_by_all_and_caught_up_with(
    emptied: Kept, gateway: SandboxProcess
) -> None:
    """
    After the first refusals no worker claims; then single charges probe, and the others follow.

    Another worker rests too, although it was never refused: the rest is stored in the database.
    """
    with running(emptied, gateway, batch_threads=4) as engine:
        people = _due(engine)
        busy = [engine.script("rate_limited", one, times=None, retry_after=2) for one in people]
        charging.collect(engine.context, charging.lease_due(engine.context, MEMBERS))

        refused = sum(map(engine.met, busy))
        assert backpressure.TROUBLE_MIN <= refused < MEMBERS
        second = Engine(engine.url, gateway)
        assert charging.lease_due(second.context, MEMBERS) == []
        second.close()

        engine.until(
            lambda: len(charging.lease_due(engine.context, MEMBERS)) == backpressure.PROBES
        )
        engine.no_more_scripts()
        engine.forget_leases()
        engine.run()
        assert _open(engine) == refused  # those wait for their own back-off
        engine.advance(timedelta(minutes=2))
        assert [len(engine.debits(person)) for person in people] == [1] * MEMBERS


@pytest.mark.parametrize("unanswered", [0, 1])
@pytest.mark.parametrize("answered", [0, 1, 32, 64, 100, 128, 10**6])
def test_no_charge_waits_longer_for_its_call_than_the_horizon_allows(
    answered: int, unanswered: int
) -> None:
    """Also with fast answers a claim never makes more than ROUNDS_MAX charges for each thread."""
    settings = Settings(batch_threads=32)
    pace = Pace(settings)
    pace.settled(answered, unanswered=unanswered)
    most = ROUNDS_MAX * settings.batch_threads
    claims = [n for n in range(2 * most) if pace.may_claim(n)]

    assert claims == list(range(claims[-1] + 1))
    assert claims[-1] + pace.portion < most
    if answered >= most:
        assert claims[-1] + pace.portion > most - settings.batch_threads


def test_more_is_claimed_at_a_time_where_answers_outrun_the_claims() -> None:
    """Two for each thread; four after a settlement that left no call; and two again after that."""
    pace = Pace(Settings(batch_threads=32))
    portions = [pace.portion]
    for unanswered in (0, 0, 1):
        pace.settled(64, unanswered=unanswered)
        portions.append(pace.portion)

    assert portions == [64, 128, 128, 64]
    pace.settled(0, unanswered=1)
    assert pace.may_claim(31)
    assert not pace.may_claim(32)


def test_each_rest_is_longer_until_the_gateway_answers(engine: Engine) -> None:
    """The rests after refusals in a row grow; one answer ends them."""
    with engine.context.database.transaction() as connection:
        refusals = [Unsent("rate_limited retry_after=7")] * backpressure.TROUBLE_MIN
        backpressure.heed(connection, refusals, troubled=False)
        state = engine_rows.charging_state(connection)
        assert (state.resting, state.troubles) == (True, 1)
        assert backpressure.limit(state) == 0

        again = engine_rows.rest(connection, backpressure.RESTS_SECONDS, 0)
        assert again is None  # others were refused in the same row
    engine.execute("UPDATE engine SET resting_until = clock_timestamp()")
    with engine.context.database.transaction() as connection:
        assert backpressure.limit(engine_rows.charging_state(connection)) == backpressure.PROBES
        assert engine_rows.rest(connection, (1, 5, 60), 0) == 5
    engine.execute("UPDATE engine SET resting_until = clock_timestamp()")
    with engine.context.database.transaction() as connection:
        backpressure.heed(connection, [Succeeded()], troubled=True)
        assert backpressure.limit(engine_rows.charging_state(connection)) is None


def test_a_few_that_are_refused_stop_nobody(engine: Engine) -> None:
    """Trouble with single charges is no trouble with the gateway."""
    with engine.context.database.transaction() as connection:
        few = [Unsent("not_connected")] * (backpressure.TROUBLE_MIN - 1)
        backpressure.heed(connection, few, troubled=False)
        backpressure.heed(connection, [*few, few[0], *[Succeeded()] * 8], troubled=False)

        assert backpressure.limit(engine_rows.charging_state(connection)) is None


def test_a_contracts_rate_is_kept_by_all_workers_together(
    emptied: Kept, gateway: SandboxProcess
) -> None:
    """Two workers send forty charges at twenty a second in no less than the time that takes."""
    with running(emptied, gateway, charges_per_second=20) as engine:
        people = _due(engine)
        second = Engine(engine.url, gateway, charges_per_second=20)
        ids = charging.lease_due(engine.context, MEMBERS)
        began = monotonic()
        with ThreadPoolExecutor(2) as pool:
            halves = ((engine, ids[::2]), (second, ids[1::2]))
            for done in [pool.submit(charging.collect, e.context, part) for e, part in halves]:
                done.result()
        took = monotonic() - began
        second.close()

        assert took >= (MEMBERS - 20 / backpressure.SPREAD) / 20
        assert [len(engine.debits(person)) for person in people] == [1] * MEMBERS


def test_a_contracts_rate_is_kept_without_messages_too(
    database_url: str, gateway: SandboxProcess
) -> None:
    """Invoices that a worker claims after its message count like those of the message."""
    with running(database_url, gateway, charges_per_second=20) as engine:
        people = _due(engine)
        began = monotonic()
        charging.collect_on(engine.context, [], 10)

        assert monotonic() - began >= (MEMBERS - 20 / backpressure.SPREAD) / 20
        assert [len(engine.debits(person)) for person in people] == [1] * MEMBERS


def test_a_worker_goes_on_with_what_is_due_without_a_message(engine: Engine) -> None:
    """After a batch that ends in time the worker claims other due invoices."""
    people = _due(engine)
    charging.collect_on(engine.context, charging.lease_due(engine.context, 1), 10)

    assert [len(engine.debits(person)) for person in people] == [1] * MEMBERS

"""Code that skips a leased row releases the lease, or leaves the row due."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR
from billing.services.collecting import charging, claiming, opening_batches, prechecks, reconciling
from billing.services.money import refunding
from billing.services.operating import kill_switch
from billing.services.wallets import linking, unlinking
from billing.store.queries import ahead, subscriptions
from tests.integration.engine import Engine, running
from tests.integration.kept import Kept

DAY = timedelta(days=1)


@contextmanager
def locked(engine: Engine, *ids: UUID) -> Iterator[None]:
    """Lock these subscriptions in another transaction."""
    with engine.context.database.transaction() as connection:
        assert subscriptions.lock(connection, ids)
        yield


def leased(engine: Engine, table: str = "invoices") -> int:
    """How many rows are under a lease."""
    return int(engine.one(f"SELECT count(leased_until) FROM {table}"))


def test_an_invoice_whose_subscription_is_locked_is_due_again_at_once(
    engine: Engine, other: Engine
) -> None:
    """Its message finds nothing to do; the next tick finds the row, without 45 seconds of lease."""
    _, held = engine.begun(every="1 year")
    free = engine.subscribe(engine.customer())
    opening_batches.open_due(engine.context)
    due = charging.lease_due(engine.context, 10)
    assert len(due) == leased(engine) == 2

    with locked(other, held):
        charging.collect(engine.context, due)
        assert (len(engine.charges(held)), len(engine.charges(free))) == (0, 1)
        assert leased(engine) == 0
        charging.collect_on(engine.context, [], 10)  # and no worker turns round and round on it

    assert charging.lease_due(engine.context, 10) == [engine.invoices(held)[0]["id"]]
    engine.forget_leases()
    engine.run()


def test_a_retry_that_is_locked_during_its_precheck_is_checked_again(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry must be postponed while another transaction locks its subscription."""
    customer, subscription = engine.begun(retries="1d 1d", every="1 year")
    engine.put_cash(customer, 0)
    engine.run()
    engine.set_clock(engine.now + DAY)
    due = charging.lease_due(engine.context, 10)
    plain = prechecks._look

    with locked(other, subscription):
        assert prechecks.look(engine.context, due) == {}
        assert leased(engine) == 0

    def blind(_context: Any, row: Any, _now: Any) -> prechecks.Sight:
        return prechecks.Sight(row, blind="nobody knows")

    due = charging.lease_due(engine.context, 10)
    with locked(other, subscription), monkeypatch.context() as patch:
        patch.setattr(prechecks, "_look", blind)
        assert prechecks.look(engine.context, due) == {}
        assert leased(engine) == 0
    assert plain is prechecks._look
    engine.put_cash(customer, 100_000)
    engine.run()
    assert engine.invoices(subscription)[0]["status"] == "paid"


def test_invoices_leased_at_a_stop_are_due_at_once_when_charging_starts_again(
    engine: Engine,
) -> None:
    """First charges and retries: messages that arrive during the stop lease nothing."""
    customer, old = engine.begun(retries="1d", every="1 year")
    engine.put_cash(customer, 0)
    engine.run()
    engine.put_cash(customer, 100_000)
    engine.set_clock(engine.now + DAY)
    fresh = engine.subscribe(engine.customer())
    opening_batches.open_due(engine.context)
    due = charging.lease_due(engine.context, 10)
    assert len(due) == 2

    kill_switch.stop_charging(engine.context, OPERATOR)
    charging.collect(engine.context, due)
    assert leased(engine) == 0
    kill_switch.start_charging(engine.context, OPERATOR)
    charging.collect(engine.context, charging.lease_due(engine.context, 10))
    assert [engine.invoices(each)[0]["status"] for each in (old, fresh)] == ["paid", "paid"]


def test_the_guard_that_stops_charging_gives_back_what_it_did_not_let_through(
    emptied: Kept, gateway: Any
) -> None:
    """After an hour's limit and a new start of charging no invoice waits for a lease."""
    with running(emptied, gateway, rupiah_an_hour_max=60_000) as engine:
        engine.plan()
        for _ in range(2):
            engine.subscribe(engine.customer())
        opening_batches.open_due(engine.context)
        charging.collect(engine.context, charging.lease_due(engine.context, 10))
        assert engine.counts()["charges"] == 0
        assert leased(engine) == 0
        engine.dead_ends = set()


def test_leases_above_the_limit_are_released(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While single charges probe a gateway, the other invoices of a message stay due."""
    engine.plan()
    for _ in range(3):
        engine.subscribe(engine.customer())
    opening_batches.open_due(engine.context)
    due = charging.lease_due(engine.context, 10)
    with monkeypatch.context() as patch:
        patch.setattr(claiming.safety, "charges_at_once", lambda *_: 1)
        new = claiming.claim(engine.context, dict.fromkeys(due))
    assert (len(new), leased(engine)) == (1, 0)
    charging.send(engine.context, new)
    engine.run()
    assert engine.one("SELECT count(*) FROM invoices WHERE status = 'paid'") == 3


def test_an_invoice_that_waited_for_another_is_due_when_that_one_is_paid(engine: Engine) -> None:
    """An invoice that was leased behind an older open one follows that one at once."""
    _, subscription = engine.begun(every="10 days")
    engine.set_clock(engine.now + 11 * DAY)
    opening_batches.open_due(engine.context)
    first, second = engine.invoices(subscription)
    engine.execute("UPDATE invoices SET next_attempt_at = :now", now=engine.now)
    due = charging.lease_due(engine.context, 10)
    assert set(due) == {first["id"], second["id"]}

    new = claiming.claim(engine.context, dict.fromkeys(due))
    assert [payment.number for payment in new] == [
        engine.charges(subscription)[0]["gateway_number"]
    ]
    charging.send(engine.context, new)
    assert charging.lease_due(engine.context, 10) == [second["id"]]
    engine.forget_leases()
    engine.run()


def test_periods_that_are_passed_over_have_no_lease(engine: Engine, other: Engine) -> None:
    """A subscription that is locked while others are opened is opened by the next tick."""
    _, held = engine.begun(every="1 year")
    free = engine.subscribe(engine.customer())
    with locked(other, held):
        assert opening_batches.open_for(engine.context, 5) == (1, None)
    assert (len(engine.invoices(held)), len(engine.invoices(free))) == (0, 1)
    assert opening_batches.open_for(engine.context, 5) == (1, None)
    engine.run()


def foreign(engine: Engine, host: str) -> None:
    """Let the database belong to some gateway."""
    engine.execute("UPDATE engine SET gateway_host = :host", host=host)


def test_questions_to_a_foreign_gateway_are_given_back(engine: Engine) -> None:
    """The database turns out to be another gateway's between the tick and its message."""
    customer, _ = engine.begun(every="1 year")
    engine.script("drop_after", customer)
    engine.run()
    engine.set_clock(engine.now + timedelta(minutes=2))
    due = reconciling.lease_due(engine.context, 10)
    assert leased(engine, "charges") == len(due) == 1

    foreign(engine, "elsewhere.example.com")
    reconciling.ask(engine.context, due)
    assert leased(engine, "charges") == 0
    foreign(engine, "127.0.0.1")
    engine.run()


def test_a_wallet_with_nothing_to_do_is_not_leased_again_and_again(engine: Engine) -> None:
    """A date without a link to poll or a token to delete is taken off."""
    customer = engine.customer()
    engine.execute("UPDATE wallets SET next_attempt_at = :now", now=engine.now)
    [wallet] = linking.lease_due(engine.context, 10)
    linking.attend(engine.context, wallet)
    assert engine.next_due() is not None
    assert engine.wallets(customer)[0]["next_attempt_at"] is None
    assert leased(engine, "wallets") == 0


def test_a_refund_that_is_taken_keeps_no_lease(engine: Engine) -> None:
    """Its own date decides when it is sent again; a lease would only be later."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    refunding.refund_invoice(engine.context, engine.invoices(subscription)[0]["id"], 1, OPERATOR)
    engine.script("http_500", customer, "refund")
    [refund] = refunding.lease_due(engine.context, 10)
    refunding.send_due(engine.context, refund)
    assert leased(engine, "refunds") == 0
    engine.advance(DAY)
    assert engine.refunds(customer)[0]["status"] == "succeeded"


@pytest.fixture
def ticks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The ticks as a worker has them, with this engine and a broker that is away."""
    with monkeypatch.context() as environment:
        environment.setenv("BILLING_DATABASE_URL", engine.url)
        environment.setenv("BILLING_REDIS_URL", "redis://127.0.0.1:1/0")
        environment.setenv(
            "BILLING_TOKEN_KEY", engine.context.settings.token_key.get_secret_value()
        )
        from workers import ticks
    monkeypatch.setattr(ticks, "context", lambda: engine.context)
    monkeypatch.setattr(ticks, "_waiting", lambda _queue: 0)

    def away(*_: Any) -> None:
        raise ConnectionError("Redis is away")

    for task in ("collect", "ask", "send_refund", "attend_wallet"):
        monkeypatch.setattr(getattr(ticks, task), "delay", away)
    return ticks


@pytest.mark.parametrize("tick", ["sweep_charges", "reconcile", "sweep_refunds", "attend_wallets"])
def test_rows_whose_message_could_not_be_sent_are_due_again_at_once(
    engine: Engine, ticks: ModuleType, tick: str
) -> None:
    """Redis vanishes between the lease and the message: the tick fails, and leases nothing.

    The heartbeat says so, and when it last succeeded.
    """
    customer, subscription = engine.begun(every="1 year")
    table = {"sweep_charges": "invoices", "reconcile": "charges", "sweep_refunds": "refunds",
             "attend_wallets": "wallets"}[tick]  # fmt: skip
    if tick == "sweep_charges":
        opening_batches.open_due(engine.context)
    if tick == "reconcile":
        engine.script("drop_after", customer)
        engine.run()
        engine.set_clock(engine.now + timedelta(minutes=2))
    if tick == "sweep_refunds":
        engine.run()
        invoice = engine.invoices(subscription)[0]["id"]
        refunding.refund_invoice(engine.context, invoice, 1, OPERATOR)
    if tick == "attend_wallets":
        unlinking.unlink(engine.context, engine.customer(), OPERATOR)

    with pytest.raises(ConnectionError):
        getattr(ticks, tick)()

    assert leased(engine, table) == 0
    [beat] = engine.rows("SELECT * FROM heartbeats")
    assert (beat["tick"], beat["succeeded_at"]) == (tick, None)
    assert beat["failed_at"] >= beat["at"]
    assert "Redis is away" in beat["error"]
    engine.run()
    getattr(ticks, tick)()  # nothing is due any more
    [beat] = engine.rows("SELECT * FROM heartbeats")
    assert beat["succeeded_at"] >= beat["failed_at"]
    assert beat["error"] is None


def test_a_tick_that_skips_its_work_has_not_succeeded(
    engine: Engine, ticks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count of what is ahead runs more often than it counts: only a count is a success.

    The error of a count that failed stays until the next count.
    """

    def heartbeat() -> Any:
        [found] = engine.rows("SELECT at, succeeded_at, error FROM heartbeats")
        return found

    ticks.count_ahead()
    counted = heartbeat()
    ticks.count_ahead()
    skipped = heartbeat()
    assert skipped["at"] > counted["at"]
    assert skipped["succeeded_at"] == counted["succeeded_at"]
    engine.execute("UPDATE ahead_state SET counted_at = now() - interval '1 day'")
    with monkeypatch.context() as patched:
        patched.setattr(ahead, "count", failing)
        with pytest.raises(ValueError, match="nothing adds up"):
            ticks.count_ahead()
    ticks.count_ahead()
    assert heartbeat()["error"] == "ValueError: nothing adds up"
    assert heartbeat()["succeeded_at"] == counted["succeeded_at"]


def failing(*_given: object) -> None:
    """A count that fails."""
    raise ValueError("nothing adds up")


def test_the_tick_that_attends_wallets_completes_an_erasure(
    engine: Engine, ticks: ModuleType
) -> None:
    """Also one that a worker left after the token was deleted."""
    customer = engine.customer(linked=False)
    engine.execute("UPDATE customers SET erase_requested_at = created_at")

    ticks.attend_wallets()

    assert engine.one("SELECT erased_at FROM customers WHERE id = :id", id=customer) is not None

"""Ids from outside input: the same order is the same thing, and two databases never share one."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from alembic import command

from billing.domain.events import OPERATOR
from billing.sandbox.process import SandboxProcess
from billing.services.context import Request
from billing.services.operating import importing
from billing.services.subscriptions import changing, subscribing
from billing.services.wallets import linking
from billing.store import migrate
from tests.integration import checks
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
OF_A_SUBSCRIPTION = ("events", "refunds", "charges", "invoices", "commands", "subscriptions")


@pytest.fixture
def elsewhere(engine: Engine, database_url: str, gateway: SandboxProcess) -> Iterator[Engine]:
    """An engine with another database and the same Client-Id."""
    second = Engine(database_url, gateway)
    second.set_clock(START)
    yield second
    checks.check(second)
    second.close()


def order(customer: str, key: str = "order-4711", plan: str = "P") -> Request:
    """What the admin task makes of a message."""
    return Request(key, "admin.subscribe", {"customer": customer, "plan": plan})


def forget(engine: Engine, *tables: str) -> None:
    """Lose what was written after the backup."""
    for table in tables:
        engine.execute(f"DELETE FROM {table}")


def test_an_order_that_a_restore_lost_is_the_same_subscription(engine: Engine) -> None:
    """
    Sent again under its idempotency key, it finds the payment of the first time.

    Rows, key and events are gone; the gateway's ledger has one debit, which is booked.
    """
    engine.plan(every="1 year")
    customer = engine.customer()
    first = engine.subscribe(customer, request=order(customer))
    engine.run()
    [before] = engine.charges(first)
    forget(engine, *OF_A_SUBSCRIPTION)
    engine.advance(2 * DAY)

    again = engine.subscribe(customer, request=order(customer))
    engine.advance(DAY)

    assert again == first
    [after] = engine.charges(again)
    assert after["status"] == "succeeded"
    assert after["gateway_number"] == before["gateway_number"]
    assert len(engine.debits(customer)) == 1


def test_the_same_key_in_two_databases_makes_two_gateway_numbers(
    engine: Engine, elsewhere: Engine
) -> None:
    """Each is paid by its own customer: the orders are not confused."""
    debits = []
    for each in (engine, elsewhere):
        each.plan()
        customer = each.customer()
        each.subscribe(customer, request=Request("1", "admin.subscribe", {}))
        each.run()
        debits += each.debits(customer)

    assert len({row["number"] for row in debits}) == len(debits) == 2


def test_the_same_reference_in_two_databases_makes_two_gateway_numbers(
    engine: Engine, elsewhere: Engine
) -> None:
    """Two systems that both count from 1 share one Client-Id."""
    debits = []
    for each in (engine, elsewhere):
        each.plan()
        customer = each.customer()
        row = {"id": "1", "customer": customer, "plan": "P", "anchor": "2026-01-31T09:00",
               "next_due_at": "2026-02-28T09:00"}  # fmt: skip
        [*_, report] = importing.subscriptions(each.context, [(2, row)], OPERATOR)
        assert (report.added, report.bad) == (1, [])
        each.advance(29 * DAY)
        debits += each.debits(customer)

    assert len({row["number"] for row in debits}) == len(debits) == 2


def test_an_import_that_a_restore_lost_is_the_same_subscription(engine: Engine) -> None:
    """Imported again into the restored database: the charges are found, not repeated."""
    engine.plan()
    customer = engine.customer()
    row = {"id": "1", "customer": customer, "plan": "P", "anchor": "2026-01-31T09:00",
           "next_due_at": "2026-01-31T09:00"}  # fmt: skip
    numbers = []
    for _ in range(2):
        [*_, report] = importing.subscriptions(engine.context, [(2, row)], OPERATOR)
        assert report.added == 1
        engine.advance(2 * DAY)
        numbers += [each["gateway_number"] for each in engine.rows("SELECT * FROM charges")]
        if len(numbers) == 1:
            forget(engine, "imports", *OF_A_SUBSCRIPTION)

    assert numbers[0] == numbers[1]
    assert [each["status"] for each in engine.rows("SELECT * FROM charges")] == ["succeeded"]
    assert len(engine.debits(customer)) == 1


def test_a_key_that_was_forgotten_returns_what_it_made(engine: Engine) -> None:
    """
    The key's row may be gone while the subscription is there, on another plan since.

    The key of another customer's order, or with another plan, then means another subscription: its
    charges never meet those of the first one.
    """
    engine.plan()
    engine.plan("Q", amount=80_000)
    customer, other = engine.customer(), engine.customer()
    first = engine.subscribe(customer, request=order(customer))
    engine.run()
    changing.change(engine.context, first, OPERATOR, plan_code="Q", at="period-end")
    engine.advance(30 * DAY)
    subscribing.archive_plan(engine.context, "P", OPERATOR)
    forget(engine, "commands")
    before = engine.counts() | {"commands": 1}

    assert engine.subscribe(customer, request=order(customer)) == first
    assert engine.counts() == before
    for who in (other, customer):
        forget(engine, "commands")
        assert engine.subscribe(who, "Q", request=order(who, plan="Q")) != first


def test_a_lost_key_with_another_order_is_no_payment_of_it(engine: Engine) -> None:
    """
    The restore lost an order; its key comes again for another customer.

    With an id of the key alone the gateway would repeat the payment of the first one, and the
    second customer would have a subscription that it never paid.
    """
    engine.plan()
    customer, other = engine.customer(), engine.customer()
    first = engine.subscribe(customer, request=order(customer))
    engine.run()
    forget(engine, *OF_A_SUBSCRIPTION)

    again = engine.subscribe(other, request=order(other))
    engine.run()

    assert again != first
    assert len(engine.debits(other)) == 1
    engine.audited = False  # the payment of the lost one is only at the gateway


def test_a_link_that_a_restore_lost_is_met_again(engine: Engine) -> None:
    """The same Request-Id: the gateway repeats its link, and the token that came of it is found."""
    customer = engine.customer(linked=False)
    request = Request("link-1", "admin.link_wallet", {"customer": customer})
    phone = "6281200004711"
    first = linking.link(engine.context, customer, phone, OPERATOR, request=request)
    engine.gateway.control("POST", f"wallets/{customer}/confirm")
    linking.refresh(engine.context, customer)
    forget(engine, "events", "commands", "wallets")

    again = linking.link(engine.context, customer, phone, OPERATOR, request=request)
    linking.refresh(engine.context, customer)

    assert again == first
    assert [row["status"] for row in engine.wallets(customer)] == ["active"]


def test_a_link_whose_key_was_forgotten_is_not_asked_for_twice(engine: Engine) -> None:
    """The wallet is returned as it is; for another customer it is another link."""
    customer, other = engine.customer(linked=False), engine.customer(linked=False)
    phone = "6281200004712"

    def bind(who: str) -> UUID:
        request = Request("link-2", "admin.link_wallet", {"customer": who})
        return linking.link(engine.context, who, phone, OPERATOR, request=request)

    first = bind(customer)
    forget(engine, "commands")
    assert bind(customer) == first
    assert len(engine.told("wallet.link_requested")) == 1
    forget(engine, "commands")
    assert bind(other) != first
    assert len(engine.wallets(other)) == 1


def test_without_a_key_every_order_is_another(engine: Engine) -> None:
    """Without a key a second order is a second subscription; `--again` confirms it."""
    engine.plan()
    customer = engine.customer()

    assert engine.subscribe(customer) != engine.subscribe(customer, again=True)


def test_imports_from_before_the_upgrade_are_known_after_it(
    database_url: str, gateway: SandboxProcess
) -> None:
    """
    The migration finds earlier references in the events, and their rows keep their ids.

    A backup from before it that is migrated a second time is the same installation again.
    """
    config = migrate._config(database_url)
    engine = Engine(database_url, gateway)
    engine.plan()
    first, other = engine.customer(), engine.customer()
    row = {"id": "1", "customer": first, "plan": "P", "anchor": "2026-01-31T09:00",
           "next_due_at": "2026-02-28T09:00"}  # fmt: skip
    list(importing.subscriptions(engine.context, [(2, row)], OPERATOR, backdate=True))
    before = engine.rows("SELECT id FROM subscriptions")

    installations = set()
    for _ in range(2):
        engine.leave_database()
        command.downgrade(config, "0008")
        migrate.upgrade(database_url)
        installations.add(engine.one("SELECT installation_id FROM engine"))
    others = {"customer": other}, {"next_due_at": "2026-03-31T09:00"}, {"paid_before": "no"}
    lines = list(enumerate([row, *(row | each for each in others), row | {"id": "2"}], 2))
    [*_, report] = importing.subscriptions(engine.context, lines, OPERATOR, backdate=True)

    assert (report.added, report.there) == (1, 1)
    assert [(line, why.rpartition(" ")[2]) for line, why in report.bad] == [
        (3, "customer"), (4, "next_due_at"), (5, "paid_before"),
    ]  # fmt: skip
    assert before[0] in engine.rows("SELECT id FROM subscriptions")
    assert len(installations) == 1
    engine.close()


def test_a_new_database_is_an_installation_of_its_own(engine: Engine, elsewhere: Engine) -> None:
    """It has no past to take an id from: chance makes one, once."""
    ids = [each.one("SELECT installation_id FROM engine") for each in (engine, elsewhere, engine)]

    assert ids[0] != ids[1]
    assert ids[0] == ids[2]

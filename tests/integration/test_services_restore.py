"""A database restored from before the charges: they are found, and no customer pays twice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.sandbox.process import SandboxProcess
from billing.services.money import extra_lines, refunding
from billing.services.operating import charge_resolution
from billing.services.reading import attention, auditing
from tests.integration import checks
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
Restore = Callable[[str], AbstractContextManager[Engine]]


@pytest.fixture
def snapshot(engine: Engine) -> Iterator[Callable[[], str]]:
    """Take a snapshot of the engine's database; returns its URL."""
    url = make_url(engine.url)
    admin_url = url.set(drivername="postgresql", database="postgres")
    made: list[str] = []
    with psycopg.connect(admin_url.render_as_string(hide_password=False), autocommit=True) as admin:

        def take() -> str:
            engine.audited = False  # from here on the restored one is the one that counts
            engine.leave_database()
            made.append(f"restored_{uuid4().hex}")
            admin.execute(f"CREATE DATABASE {made[-1]} TEMPLATE {url.database}")
            return url.set(database=made[-1]).render_as_string(hide_password=False)

        yield take
        for name in made:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def restored(url: str, gateway: SandboxProcess) -> Iterator[Engine]:
    """An engine on an older database; afterwards it has to agree with the ledger."""
    copy = Engine(url, gateway)
    try:
        yield copy
        checks.check(copy)
    finally:
        copy.close()


@pytest.mark.parametrize("repeat", ["original", "idempotent_request"])
def test_a_days_charges_are_met_again_and_not_repeated(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str], repeat: str
) -> None:
    """First charges and renewals: the same numbers meet the earlier payments, which are booked."""
    customer, first = engine.begun()
    engine.run()
    other = engine.customer()
    second = engine.subscribe(other, start=START + 28 * DAY)
    engine.set_clock(START + 27 * DAY)
    engine.run()
    before = snapshot()
    engine.advance(DAY)
    paid = {name: engine.debits(name) for name in (customer, other)}
    assert [len(rows) for rows in paid.values()] == [2, 1]

    gateway.control("PUT", "defaults", {"repeat_answer": repeat})
    try:
        with restored(before, gateway) as copy:
            assert len(copy.charges(first)) == 1
            copy.advance(2 * DAY)
            assert {name: copy.debits(name) for name in (customer, other)} == paid
            assert [c["status"] for c in copy.charges(first)] == ["succeeded"] * 2
            assert [c["first_payment"] for c in copy.charges(second)] == [True]
            numbers = {c["gateway_number"] for c in copy.charges(first)}
            assert numbers == {row["number"] for row in paid[customer]}
    finally:
        gateway.control("PUT", "defaults", {"repeat_answer": "original"})


def test_a_ladder_is_walked_again_without_a_second_debit(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """Declined in the backup, paid by a later retry: the repeated retry finds that payment."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.advance(DAY)
    before = snapshot()
    engine.advance(DAY)
    assert [c["status"] for c in engine.charges(subscription)] == ["declined", "succeeded"]

    with restored(before, gateway) as copy:
        copy.advance(5 * DAY)
        assert [c["status"] for c in copy.charges(subscription)] == ["declined", "succeeded"]
        assert len(copy.debits(customer)) == 1


def test_a_charge_that_was_in_flight_in_the_snapshot_is_asked_about(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """Unknown on record, settled after the snapshot: the restored engine asks, and books it."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    before = snapshot()
    engine.advance(DAY)

    with restored(before, gateway) as copy:
        copy.advance(DAY)
        assert [c["status"] for c in copy.charges(subscription)] == ["succeeded"]
        assert len(copy.debits(customer)) == 1


def test_a_decline_after_the_snapshot_is_met_and_the_ladder_goes_on(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """The earlier charge failed at the gateway: the restored one learns it, and pays once later."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    before = snapshot()
    engine.advance(DAY)

    with restored(before, gateway) as copy:
        copy.advance(4 * DAY)
        assert [c["status"] for c in copy.charges(subscription)] == ["declined", "succeeded"]
        assert len(copy.debits(customer)) == 1


def test_a_renewal_of_another_amount_is_not_said_to_be_declined(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """The lost renewal was paid at another price under its number: no verdict can change that.

    If it were resolved as declined, the period would be charged again under the next number.
    """
    customer, subscription = engine.begun()
    engine.advance(27 * DAY)
    before = snapshot()
    engine.advance(2 * DAY)
    paid = engine.debits(customer)
    assert [row["amount"] for row in paid] == [50_000] * 2

    copy = Engine(before, gateway)
    extra_lines.add(copy.context, subscription, "a towel", 5_000, OPERATOR)
    copy.advance(3 * DAY)
    [_, charge] = copy.charges(subscription)
    assert (charge["status"], charge["message"]) == ("unknown", "other_amount")
    tick = copy.context.settings.tick_seconds
    [found] = attention.listed(copy.context.database, copy.now, tick, 50)
    assert (found.item.cause, found.item.alarm) == ("other amount", True)
    assert str(found.item.why).endswith(charge["gateway_number"])
    assert [item.cause for item in auditing.dead_ends(copy.context)] == ["other amount"]
    with pytest.raises(IllegalMove, match=r"Rp 50,000 under our number .* is over Rp 55,000"):
        charge_resolution.resolve_charge(copy.context, charge["id"], False, OPERATOR)
    copy.advance(40 * DAY)
    debits = copy.debits(customer)
    copy.close()

    assert debits == paid


def test_a_refund_after_the_snapshot_is_found_by_the_audit(
    engine: Engine, gateway: SandboxProcess, snapshot: Callable[[], str]
) -> None:
    """All of a charge went back, and the restored rows know of none: money could go back twice."""
    customer, subscription = engine.begun()
    engine.run()
    [invoice], [charge] = engine.invoices(subscription), engine.charges(subscription)
    before = snapshot()
    refunding.refund_invoice(engine.context, invoice["id"], None, OPERATOR)
    engine.run()
    agreed = list(auditing.audit_gateway(engine.context, START, engine.now + DAY))
    assert agreed == []

    copy = Engine(before, gateway)
    found = list(auditing.audit_gateway(copy.context, START, copy.now + DAY))
    refunding.refund_invoice(copy.context, invoice["id"], None, OPERATOR)
    copy.run()
    repaired = list(auditing.audit_gateway(copy.context, START, copy.now + DAY))
    copy.close()

    [finding] = found
    assert charge["gateway_number"] in finding.detail
    assert "refunded all of it, but our refunds are Rp 0 of Rp 50,000" in finding.detail
    assert repaired == []
    assert [row["amount"] for row in engine.ledger(customer, "refund") if row["moves"]] == [50_000]

"""Two connections that want the same: exactly one acts, and neither waits without a limit.

The order is forced where possible: one transaction stays open while the other runs.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.conservation import Part
from billing.domain.errors import BillingError, RefundTooLarge
from billing.domain.events import OPERATOR
from billing.domain.outcomes import Declined, Fault, Succeeded
from billing.domain.settlement import Source
from billing.domain.subscription import RefundPolicy
from billing.services.collecting import (
    charging,
    claiming,
    opening_batches,
    prechecks,
    reconciling,
    settling,
)
from billing.services.collecting.settling import News
from billing.services.context import Request
from billing.services.money import charge_money, refunding
from billing.services.operating import kill_switch
from billing.services.subscriptions import canceling
from billing.store.queries import charges, invoices, refunds, subscriptions, wallets
from tests.integration.engine import START, Engine
from tests.integration.races import at_once, is_waiting

DAY = timedelta(days=1)


def many(engine: Engine, count: int) -> list[tuple[str, UUID]]:
    """Customers with a subscription each, whose first invoices are open and due."""
    engine.plan()
    made = []
    for _ in range(count):
        customer = engine.customer()
        made.append((customer, engine.subscribe(customer)))
    engine.tick(["ticks.open_periods"])
    return made


def due(engine: Engine) -> list[UUID]:
    """The invoices that are due."""
    return [row["id"] for row in engine.rows("SELECT id FROM invoices WHERE status = 'open'")]


def test_two_collectors_of_the_same_invoices_charge_each_once(
    engine: Engine, other: Engine
) -> None:
    """Doubled messages, in two processes, in opposite order: one debit for each customer."""
    made = many(engine, 8)
    ids = due(engine)

    at_once(
        lambda: charging.collect(engine.context, ids),
        lambda: charging.collect(other.context, ids[::-1]),
        lambda: charging.collect(other.context, ids),
    )
    engine.run()

    assert [len(engine.debits(customer)) for customer, _ in made] == [1] * 8
    assert engine.counts()["charges"] == 8


def test_a_claim_passes_over_what_another_one_holds(engine: Engine, other: Engine) -> None:
    """While one transaction holds the subscription the other claims nothing and does not wait."""
    [(customer, subscription)] = many(engine, 1)
    [invoice] = due(engine)
    with engine.context.database.transaction() as connection:
        assert subscriptions.lock(connection, [subscription]) == [subscription]
        charging.collect(other.context, [invoice])
        assert other.ledger(customer) == engine.ledger(customer)
        assert engine.counts()["charges"] == 0
    engine.run()
    assert len(engine.debits(customer)) == 1


def test_a_retry_is_claimed_by_one_of_two(engine: Engine, other: Engine) -> None:
    """Both checked it and found that it may be charged: one of them claims it."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.run()
    engine.set_clock(START + 2 * DAY)
    ids = due(engine)
    sights = [prechecks.look(process.context, ids) for process in (engine, other)]
    assert sights[0] == sights[1] != {}

    first = claiming.claim(engine.context, sights[0])
    charging.send(engine.context, first)
    second = claiming.claim(other.context, sights[1])

    assert (len(first), second) == (1, [])
    assert [c["status"] for c in engine.charges(subscription)] == ["declined", "succeeded"]


def test_a_precheck_of_an_older_charge_claims_nothing(engine: Engine, other: Engine) -> None:
    """A message that was delayed for days checked charge one; now charge two must be checked."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, times=2)
    engine.run()
    engine.set_clock(START + 2 * DAY)
    seen = prechecks.look(other.context, due(engine))
    engine.run()
    engine.set_clock(START + 7 * DAY)

    assert claiming.claim(other.context, seen) == []

    engine.run()
    assert len(engine.charges(subscription)) == 3


def test_a_look_that_is_out_of_date_moves_nothing(engine: Engine, other: Engine) -> None:
    """One could not read, the other charged and was declined at the same time: its date stays."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, times=2)
    engine.run()
    engine.set_clock(START + 2 * DAY)
    ids = due(engine)
    asked = other.script("hold", customer, "status", seconds=0.3)
    other.script("status_says", customer, "status", status="PENDING")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(prechecks.look, other.context, ids)
        engine.until(lambda: engine.met(asked) == 1)
        charging.collect(engine.context, ids)
        assert late.result() == {}

    assert engine.invoices(subscription)[0]["next_attempt_at"] == START + 7 * DAY
    assert len(engine.charges(subscription)) == 2


@pytest.mark.parametrize("outcome", [Succeeded(), Declined(Fault.OTHER, "x")])
def test_the_same_news_twice_is_settled_once(
    engine: Engine, other: Engine, outcome: Succeeded | Declined
) -> None:
    """A live answer and a status query arrive together: one event, one date, one payment."""
    customer, subscription = engine.begun()
    engine.script("drop_after" if outcome == Succeeded() else "drop_before", customer)
    engine.run()
    [charge] = engine.charges(subscription)
    news = [News(charge["id"], outcome)]

    at_once(
        *(
            lambda process=process: settling.settle(process.context, news, Source.LIVE)
            for process in (engine, other, other)
        )
    )

    kind = "succeeded" if outcome == Succeeded() else "declined"
    assert len(engine.told(f"charge.{kind}")) == 1
    assert engine.charges(subscription)[0]["status"] == kind


def test_settling_waits_for_a_cancel_and_sees_it(engine: Engine, other: Engine) -> None:
    """Money that moved while the cancellation was written is refunded, not settled as paid."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    [charge] = engine.charges(subscription)
    news = [News(charge["id"], Succeeded())]
    with ThreadPoolExecutor(1) as pool:
        with engine.context.database.transaction() as connection:
            row = subscriptions.lock_one(connection, subscription)
            assert row is not None
            settled = pool.submit(settling.settle, other.context, news, Source.STATUS)
            engine.until(lambda: is_waiting(other))
            canceling._end(connection, row, OPERATOR, RefundPolicy.NONE, START, unlink=False)
        settled.result(10)
    engine.run()

    assert engine.charges(subscription)[0]["surplus"] is True
    assert [row["moves"] for row in engine.ledger(customer, "refund")] == [1]


def test_two_refunds_of_the_whole_give_it_back_once(engine: Engine, other: Engine) -> None:
    """Two operators click at once: one is told that nothing is left."""
    customer, subscription = engine.begun()
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]

    told = at_once(
        *(
            lambda process=process: refunding.refund_invoice(
                process.context, invoice, None, OPERATOR
            )
            for process in (engine, other, other)
        )
    )
    engine.run()

    assert sum(isinstance(answer, RefundTooLarge) for answer in told) == 2
    assert [row["moves"] for row in engine.ledger(customer, "refund")] == [1]


def test_an_idempotency_key_used_at_the_same_time_acts_once(engine: Engine, other: Engine) -> None:
    """A message that is delivered twice at the same moment: both get the first one's answer."""
    customer, subscription = engine.begun()
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]
    request = Request("key", "admin.refund_invoice", {"amount": 10_000})

    told = at_once(
        *(
            lambda process=process: refunding.refund_invoice(
                process.context, invoice, 10_000, OPERATOR, request
            )
            for process in (engine, other, other)
        )
    )
    engine.run()

    assert told[0] == told[1] == told[2]
    assert [row["amount"] for row in engine.ledger(customer, "refund")] == [10_000]


def test_the_charge_alone_keeps_refunds_below_it(engine: Engine, other: Engine) -> None:
    """Two transactions take 30,000 of 50,000 without any other lock: the second waits, fails."""
    _customer, subscription = engine.begun()
    engine.run()
    [charge] = engine.charges(subscription)

    def take_out() -> Part:
        with suppress(BillingError), other.context.database.transaction() as connection:
            charge_money.move(connection, charge["id"], 30_000, Part.KEPT, Part.REFUNDED)
            return Part.REFUNDED
        return Part.KEPT

    with ThreadPoolExecutor(1) as pool:
        with engine.context.database.transaction() as connection:
            charge_money.move(connection, charge["id"], 30_000, Part.KEPT, Part.REFUNDED)
            second = pool.submit(take_out)
            engine.until(lambda: is_waiting(other))
            charge_money.move(connection, charge["id"], 5_000, Part.REFUNDED, Part.KEPT)
        assert second.result(10) is Part.KEPT
    engine.execute("UPDATE charges SET kept = amount, refunded = 0")


def test_two_openers_open_a_period_once(engine: Engine, other: Engine) -> None:
    """Two beats, two schedulers: each period gets one invoice, and one event."""
    engine.plan(every="1 day")
    for _ in range(4):
        engine.subscribe(engine.customer())
    engine.set_clock(START + 5 * DAY)

    at_once(
        *(
            lambda p=process: opening_batches.open_due(p.context)
            for process in (engine, other, other)
        )
    )
    engine.tick()

    assert engine.counts()["invoices"] == 4 * 6
    assert len(engine.told("invoice.opened")) == 4 * 6
    engine.run()


def test_leases_are_given_to_one_of_two(engine: Engine, other: Engine) -> None:
    """Two ticks at once lease each thing once; a lease that has ended is given again."""
    many(engine, 6)
    leased = at_once(
        lambda: charging.lease_due(engine.context, 100),
        lambda: charging.lease_due(other.context, 100),
        lambda: charging.lease_due(other.context, 2),
    )
    together = [invoice for ids in leased for invoice in ids]
    assert sorted(together) == sorted(due(engine))

    assert charging.lease_due(engine.context, 100) == []
    engine.forget_leases()
    assert len(charging.lease_due(engine.context, 100)) == 6
    engine.forget_leases()
    engine.run()


Lease = Callable[..., Sequence[Any]]


@pytest.mark.parametrize(
    ("lease", "table", "column"),
    [
        (invoices.lease_due, "invoices", "next_attempt_at"),
        (charges.lease_to_ask, "charges", "next_check_at"),
        (refunds.lease_due, "refunds", "next_attempt_at"),
        (wallets.lease_due, "wallets", "next_attempt_at"),
    ],
)
def test_a_lease_passes_over_a_row_that_is_being_leased(
    engine: Engine, other: Engine, lease: Lease, table: str, column: str
) -> None:
    """Neither waits: what one transaction has leased, the other does not see as free."""
    _customer, subscription = engine.begun()
    engine.run()
    refunding.refund_invoice(
        engine.context, engine.invoices(subscription)[0]["id"], 10_000, OPERATOR
    )
    engine.execute("UPDATE invoices SET status = 'open', paid_at = NULL")
    engine.execute(f"UPDATE {table} SET {column} = :at", at=START)
    arguments = {"now": START, "lease_seconds": 60, "limit": 10}
    with (
        engine.context.database.transaction() as first,
        other.context.database.transaction() as second,
    ):
        assert len(lease(first, **arguments)) == 1
        assert lease(second, **arguments) == []
    with other.context.database.transaction() as third:
        assert lease(third, **arguments) == []
    engine.audited = False  # the rows were bent


def test_two_questions_at_once_send_a_lost_charge_again_under_one_id(
    engine: Engine, other: Engine
) -> None:
    """Two simultaneous "not found" answers after the horizon lead to one debit."""
    customer, subscription = engine.begun()
    engine.script("drop_before", customer)
    engine.run()
    [charge] = engine.charges(subscription)
    engine.set_clock(START + timedelta(minutes=20))

    at_once(
        *(
            lambda process=process: reconciling.ask(process.context, [charge["id"]])
            for process in (engine, other, other)
        )
    )
    engine.advance(DAY)

    assert len(engine.ledger(customer, "payment")) == 1
    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]


def test_two_senders_of_one_refund_send_it_once(engine: Engine, other: Engine) -> None:
    """The row names the sender."""
    customer, subscription = engine.begun()
    engine.run()
    made = refunding.refund_invoice(
        engine.context, engine.invoices(subscription)[0]["id"], None, OPERATOR
    )
    refund = UUID(str(made["refund"]))

    at_once(
        *(
            lambda process=process: refunding.send_due(process.context, refund)
            for process in (engine, other, other)
        )
    )

    assert len(engine.told("refund.sent")) == 1
    assert [row["moves"] for row in engine.ledger(customer, "refund")] == [1]


def test_stop_and_collect_at_once_leave_no_doubt(engine: Engine, other: Engine) -> None:
    """In either order an invoice is charged or not, and afterwards everything is paid."""
    made = many(engine, 4)
    ids = due(engine)

    at_once(
        lambda: charging.collect(engine.context, ids),
        lambda: kill_switch.stop_charging(other.context, OPERATOR),
    )
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.run()

    assert [len(engine.debits(customer)) for customer, _ in made] == [1] * 4

"""Changing plan, quantity and price: what is credited, what is charged, and from when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from billing.domain.errors import BillingError, IllegalMove, InvalidValue
from billing.domain.events import OPERATOR
from billing.domain.subscription import RefundPolicy
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.engine import Engine

APRIL = datetime(2026, 4, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def april(engine: Engine) -> tuple[str, UUID]:
    """A customer on SMALL (10,000 a month) since 1 April, a month of thirty days."""
    engine.set_clock(APRIL)
    engine.plan("SMALL", amount=10_000)
    engine.plan("BIG", amount=30_000)
    customer = engine.customer()
    subscription = engine.subscribe(customer, "SMALL")
    engine.run()
    return customer, subscription


def change(engine: Engine, subscription: UUID, plan: str | None = None, **options: object) -> None:
    """Change a subscription, and do the due work."""
    changing.change(engine.context, subscription, OPERATOR, plan_code=plan, **options)  # type: ignore[arg-type]
    engine.run()


def paid(engine: Engine, customer: str) -> list[int]:
    """What the customer's wallet paid, in order."""
    return [row["amount"] for row in engine.debits(customer)]


def balance(engine: Engine, customer: str) -> int:
    """Return the customer's remaining credit."""
    statement = "SELECT coalesce(sum(remaining), 0) FROM credits WHERE customer_id = :id"
    return int(engine.one(statement, id=customer))


def test_an_upgrade_after_half_the_month(engine: Engine, april: tuple[str, UUID]) -> None:
    """10000 to 30000 after 15 of 30 days: credit 5000, charge 15000, one charge over 10000."""
    customer, subscription = april
    engine.advance(15 * DAY)

    change(engine, subscription, "BIG")

    assert paid(engine, customer) == [10_000, 10_000]
    made = engine.invoices(subscription)[1]
    assert (made["period_index"], made["change_index"], made["status"]) == (0, 1, "paid")
    assert [line["amount"] for line in made["lines"]] == [-5_000, 15_000]
    [second] = [c for c in engine.charges(subscription) if c["invoice_id"] == made["id"]]
    assert second["first_payment"] is False
    assert "-0_1-1" in second["gateway_number"]
    engine.advance(datetime(2026, 5, 1, 3, tzinfo=UTC))
    assert paid(engine, customer) == [10_000, 10_000, 30_000]


def test_a_downgrade_becomes_the_balance_of_the_next_invoices(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """From 30,000 to 10,000: nothing is charged, 10,000 become credit, and May costs nothing."""
    customer, subscription = april
    change(engine, subscription, "BIG", at="period-end")
    engine.advance(datetime(2026, 6, 1, 3, tzinfo=UTC))
    assert paid(engine, customer) == [10_000, 30_000, 30_000]
    engine.advance(15 * DAY - timedelta(hours=1))

    change(engine, subscription, "SMALL")

    assert balance(engine, customer) == 10_000
    engine.advance(datetime(2026, 7, 1, 3, tzinfo=UTC))
    july = engine.invoices(subscription)[-1]
    assert (july["amount"], july["credited"], july["status"]) == (10_000, 10_000, "paid")
    assert engine.charges(subscription)[-1]["invoice_id"] != july["id"]
    assert balance(engine, customer) == 0
    engine.advance(datetime(2026, 8, 1, 3, tzinfo=UTC))
    assert paid(engine, customer) == [10_000, 30_000, 30_000, 10_000]


def test_twice_in_a_period(engine: Engine, april: tuple[str, UUID]) -> None:
    """Up on day 10, further up on day 20: each settles its own days."""
    customer, subscription = april
    engine.plan("HUGE", amount=60_000)
    engine.advance(10 * DAY)
    change(engine, subscription, "BIG")  # 20 of 30 days: 20000 - 6667
    engine.advance(10 * DAY)
    change(engine, subscription, "HUGE")  # 10 of 30 days: 20000 - 10000

    assert paid(engine, customer) == [10_000, 13_333, 10_000]
    assert [i["change_index"] for i in engine.invoices(subscription)] == [0, 1, 2]


def test_up_and_down_again_on_one_day_costs_nothing(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """The amount charged for the change becomes credit again, to the rupiah."""
    customer, subscription = april
    engine.advance(15 * DAY)
    change(engine, subscription, "BIG")
    change(engine, subscription, "SMALL")

    assert sum(paid(engine, customer)) - balance(engine, customer) == 10_000


def test_quantity_and_price_are_changed_alike(engine: Engine, april: tuple[str, UUID]) -> None:
    """Three for one from the subscription's own price; then a price of its own."""
    customer, subscription = april
    engine.advance(15 * DAY)
    change(engine, subscription, quantity=3)
    assert paid(engine, customer) == [10_000, 10_000]
    assert engine.subscription(subscription)["amount"] == 30_000

    change(engine, subscription, amount=27_000, at="period-end")
    engine.advance(datetime(2026, 5, 1, 3, tzinfo=UTC))
    assert paid(engine, customer)[2:] == [27_000]


def test_a_change_at_period_end_waits_and_can_be_taken_back(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """A change to the current plan withdraws a planned change."""
    customer, subscription = april
    change(engine, subscription, "BIG", at="period-end")
    assert engine.subscription(subscription)["next_plan_code"] == "BIG"

    change(engine, subscription, "SMALL")

    assert engine.subscription(subscription)["change_at"] is None
    engine.advance(datetime(2026, 5, 1, 3, tzinfo=UTC))
    assert paid(engine, customer) == [10_000, 10_000]


def test_another_interval_begins_a_new_period_at_once(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """Monthly to yearly on day 15: half a month is credited to the year that begins."""
    customer, subscription = april
    engine.plan("YEAR", amount=100_000, every="1 year")
    engine.advance(15 * DAY)

    change(engine, subscription, "YEAR")

    assert paid(engine, customer) == [10_000, 95_000]
    month, year = engine.invoices(subscription)
    assert month["period_end"] == year["period_start"] == APRIL + 15 * DAY
    assert engine.subscription(subscription)["next_due_at"] == datetime(2027, 4, 16, 2, tzinfo=UTC)


def test_another_interval_at_period_end_takes_its_anchor_there(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """From 1 May on every ten days, without gap or overlap."""
    _, subscription = april
    engine.plan("TEN", amount=5_000, every="10 days")
    change(engine, subscription, "TEN", at="period-end")
    engine.advance(datetime(2026, 5, 22, 3, tzinfo=UTC))

    starts = [i["period_start"].date().isoformat() for i in engine.invoices(subscription)]
    assert starts == ["2026-04-01", "2026-05-01", "2026-05-11", "2026-05-21"]


def test_in_a_trial_nothing_is_settled(engine: Engine) -> None:
    """The trial continues, and its end bills the new plan as the first payment."""
    engine.plan("SMALL", amount=10_000, trial="7 days")
    engine.plan("BIG", amount=30_000)
    customer = engine.customer()
    subscription = engine.subscribe(customer, "SMALL")
    engine.advance(2 * DAY)
    change(engine, subscription, "BIG")
    assert engine.invoices(subscription) == []

    engine.advance(6 * DAY)
    assert paid(engine, customer) == [30_000]
    assert engine.charges(subscription)[0]["first_payment"] is True


def test_a_prorated_cancellation_after_an_upgrade(engine: Engine, april: tuple[str, UUID]) -> None:
    """The change's invoice is refunded first, then the rest of the days' value."""
    customer, subscription = april
    engine.advance(15 * DAY)
    change(engine, subscription, "BIG")

    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.PRORATED)
    engine.run()

    # Both have one instant: only the events are in an order.
    told = [e["data"]["amount"] for e in engine.told("refund.requested")]
    assert told == [10_000, 5_000]
    assert sorted(r["amount"] for r in engine.refunds(customer)) == [5_000, 10_000]


def test_a_full_refund_after_a_downgrade_gives_nothing_back_twice(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """An amount that was credited is not refunded too."""
    customer, subscription = april
    change(engine, subscription, "BIG", at="period-end")
    engine.advance(datetime(2026, 5, 16, 12, tzinfo=UTC))
    change(engine, subscription, "SMALL")
    credited = balance(engine, customer)
    assert credited > 0

    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.FULL)
    engine.run()

    assert [r["amount"] for r in engine.refunds(customer)] == [30_000 - credited]
    assert balance(engine, customer) == credited


def test_a_change_that_the_wallet_cannot_pay_is_dunned_and_the_period_stays(
    engine: Engine, april: tuple[str, UUID]
) -> None:
    """The invoice of a change has the same dunning as any other, and is paid in the end."""
    customer, subscription = april
    engine.advance(15 * DAY)
    engine.put_cash(customer, 0)
    change(engine, subscription, "BIG")
    assert engine.status(subscription) == "past_due"

    engine.put_cash(customer, 100_000)
    engine.advance(3 * DAY)
    assert engine.status(subscription) == "active"
    assert paid(engine, customer) == [10_000, 10_000]


def refused(engine: Engine, subscription: UUID, kind: type[BillingError], **options: object) -> str:
    """What a change is refused with; nothing may be written."""
    before = engine.counts(), engine.subscription(subscription)
    with pytest.raises(kind) as error:
        changing.change(engine.context, subscription, OPERATOR, **options)  # type: ignore[arg-type]
    assert (engine.counts(), engine.subscription(subscription)) == before
    return str(error.value)


def test_an_invalid_change_is_refused(engine: Engine, april: tuple[str, UUID]) -> None:
    """An archived or unknown plan, another cron schedule, a quantity of zero, too few cycles."""
    from billing.services.subscriptions import subscribing

    _, subscription = april
    engine.plan("OLD", amount=1)
    subscribing.archive_plan(engine.context, "OLD", OPERATOR)
    engine.plan("FIRST", amount=1, cron="0 9 1 * *")
    engine.plan("ONCE", amount=1, cycles=1)

    def told(kind: type[BillingError] = IllegalMove, **options: object) -> str:
        return refused(engine, subscription, kind, **options)

    assert "archived" in told(plan_code="OLD")
    assert "did you mean 'BIG'" in told(BillingError, plan_code="BIGG")
    assert "dates of its own" in told(InvalidValue, plan_code="FIRST")
    assert "ends after 1 periods" in told(plan_code="ONCE")
    assert "quantity must be" in told(InvalidValue, quantity=0)
    assert "say what to change" in told(InvalidValue)
    assert "already" in told(plan_code="SMALL")
    assert "now or period-end" in told(InvalidValue, plan_code="BIG", at="soon")
    assert "amount of a period" in told(InvalidValue, amount=0)


def test_an_unpaid_invoice_blocks_a_change_now(engine: Engine, april: tuple[str, UUID]) -> None:
    """Unpaid days are not credited; a paused or ended subscription does not change."""
    customer, subscription = april
    engine.put_cash(customer, 0)
    engine.advance(datetime(2026, 5, 1, 3, tzinfo=UTC))
    assert "not paid yet" in refused(engine, subscription, IllegalMove, plan_code="BIG")
    change(engine, subscription, "BIG", at="period-end")
    engine.put_cash(customer, 100_000)
    engine.advance(3 * DAY)

    pausing.pause(engine.context, subscription, OPERATOR)
    assert "is paused" in refused(engine, subscription, IllegalMove, quantity=2)
    canceling.cancel(engine.context, subscription, OPERATOR)
    assert "nothing to change" in refused(engine, subscription, IllegalMove, quantity=2)


def test_nothing_is_planned_for_after_the_last_period(engine: Engine) -> None:
    """While the last one opens late, what follows it is no period that could be changed."""
    engine.set_clock(APRIL)
    engine.plan("BIG", amount=30_000)
    engine.plan("TWICE", amount=10_000, cycles=2)
    subscription = engine.subscribe(engine.customer(), "TWICE")
    engine.run()
    engine.set_clock(APRIL + 35 * DAY)

    why = refused(engine, subscription, IllegalMove, plan_code="BIG", at="period-end")

    assert "its term of 2 periods ends" in why
    engine.run()
    assert engine.status(subscription) == "completed"
    assert engine.told("subscription.change_dropped") == []

"""The limits that stop a runaway: by customer and day, and in all by hour."""

from datetime import timedelta

from billing.domain.events import OPERATOR
from billing.sandbox.process import SandboxProcess
from billing.services.operating import kill_switch
from tests.integration.engine import running
from tests.integration.kept import Kept

DAY = timedelta(days=1)


def test_a_customer_charged_too_often_is_left_alone(emptied: Kept, gateway: SandboxProcess) -> None:
    """The third charge within a day waits, visibly, and is made when the day has passed."""
    with running(emptied, gateway, customer_charges_a_day_max=2) as engine:
        engine.plan(amount=1_000, every="1 month")
        customer = engine.customer()
        for _ in range(3):
            engine.subscribe(customer, again=True)
            engine.run()
        assert len(engine.debits(customer)) == 2
        [told] = engine.told("invoice.held_back")
        assert told["customer_id"] == customer
        engine.advance(2 * DAY)
        assert len(engine.debits(customer)) == 3


def test_the_limit_of_a_day_holds_within_one_batch(emptied: Kept, gateway: SandboxProcess) -> None:
    """Of eight subscriptions of one customer that are due together, three are charged that day."""
    with running(emptied, gateway, customer_charges_a_day_max=3) as engine:
        engine.plan(amount=1_000, every="1 month")
        customer = engine.customer()
        for _ in range(8):
            engine.subscribe(customer, again=True)
        engine.run()
        assert len(engine.debits(customer)) == 3
        assert len(engine.told("invoice.held_back")) == 5
        engine.advance(2 * DAY)
        engine.advance(2 * DAY)
        assert len(engine.debits(customer)) == 8


def test_an_hour_beyond_the_limit_stops_charging(emptied: Kept, gateway: SandboxProcess) -> None:
    """No charge of the batch that would exceed it is sent; an operator starts charging again."""
    with running(emptied, gateway, rupiah_an_hour_max=120_000) as engine:
        engine.plan(amount=50_000, every="1 month")
        people = [engine.customer() for _ in range(3)]
        for person in people[:2]:
            engine.subscribe(person)
        engine.run()
        engine.subscribe(people[2])
        engine.tick()

        assert sum(len(engine.debits(person)) for person in people) == 2
        [told] = engine.told("engine.charging_stopped")
        assert told["actor"] == "guard"
        assert "BILLING_RUPIAH_AN_HOUR_MAX" in told["reason"]

        engine.set_clock(engine.now + timedelta(hours=1))
        kill_switch.start_charging(engine.context, OPERATOR)
        engine.run()
        assert len(engine.debits(people[2])) == 1

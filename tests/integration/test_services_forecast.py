"""The forecast equals what the engine then does."""

from datetime import timedelta

from billing.domain.events import OPERATOR, Actor
from billing.services.money import coupons, crediting
from billing.services.reading import forecasting
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY = timedelta(days=1)


def test_the_forecast_equals_the_charges_that_follow(engine: Engine) -> None:
    """
    Every charge of sixty days, by subscription, period, instant and amount.

    Renewals, a first one, a trial's end, a fixed term, an end, a pause with a return, a retry,
    coupons, a balance, changes of plan.
    """
    engine.plan(amount=10_000, every="1 week")
    engine.plan("T", amount=20_000, every="1 month", trial="14 days")
    engine.plan("C", amount=30_000, every="10 days", cycles=3)
    engine.plan("R", amount=40_000, every="1 month", retries="3d 4d")
    engine.plan("D", amount=5_000, every="10 days")
    people = [engine.customer() for _ in range(10)]
    weekly = engine.subscribe(people[0])
    engine.subscribe(people[1], "T")
    engine.subscribe(people[2], "C")
    ends = engine.subscribe(people[3])
    away = engine.subscribe(people[4])
    poor = people[5]
    engine.subscribe(poor, "R")
    engine.put_cash(poor, 0)
    engine.run()
    canceling.cancel(engine.context, ends, OPERATOR, at=canceling.PERIOD_END)
    back = engine.now + 20 * DAY
    pausing.pause(engine.context, away, OPERATOR, until=back)
    engine.subscribe(people[0], start=engine.now + 5 * DAY, again=True)
    engine.put_cash(poor, 5_000_000)
    # Coupons, a line for one invoice, a balance, and two planned changes.
    coupons.create(engine.context, "HALF", OPERATOR, percent=50, cycles=2)
    coupons.create(engine.context, "FREE", OPERATOR, percent=100, cycles=1)
    engine.subscribe(people[6], coupon="HALF", setup_fee=700)
    engine.subscribe(people[7], coupon="FREE")
    crediting.grant(engine.context, people[7], 12_000, Actor("operator", "a gift"))
    for person, plan in ((people[8], "D"), (people[9], "R")):
        turns = engine.subscribe(person)
        engine.run()
        changing.change(engine.context, turns, OPERATOR, plan_code=plan, at="period-end")
    until = engine.now + 60 * DAY

    expected = list(forecasting.forecast(engine.context.database, engine.now, until))
    begun = engine.now
    engine.advance(60 * DAY)

    made = engine.rows(
        "SELECT c.subscription_id, i.period_index, c.amount, c.created_at FROM charges c"
        " JOIN invoices i ON i.id = c.invoice_id"
        " WHERE c.status = 'succeeded' AND c.created_at > :begun",
        begun=begun,
    )
    assert sorted(
        (str(e.subscription), e.period_index, e.amount, e.due_at) for e in expected
    ) == sorted(
        (str(m["subscription_id"]), m["period_index"], m["amount"], m["created_at"]) for m in made
    )
    assert {e.cause for e in expected} == {"renewal", "first", "trial_end", "retry", "change"}
    assert sum(e.subscription == weekly for e in expected) == 8
    assert not any(e.subscription == ends for e in expected)


def test_a_forecast_writes_nothing(engine: Engine) -> None:
    """It only reads."""
    engine.begun()
    engine.run()
    before = engine.counts()
    until = engine.now + 400 * DAY
    assert list(forecasting.forecast(engine.context.database, engine.now, until))
    assert engine.counts() == before


def test_a_forecast_marks_what_needs_a_wallet(engine: Engine) -> None:
    """A lost wallet's charges are listed, and marked as such."""
    customer, subscription = engine.begun()
    engine.advance(DAY)
    until = engine.now + 60 * DAY

    def marks() -> set[str]:
        lines = forecasting.forecast(engine.context.database, engine.now, until)
        return {line.needs_link for line in lines if line.subscription == subscription}

    assert marks() == {False}
    engine.lose_wallet(customer)
    engine.run()
    assert marks() == {True}


def test_a_forecast_goes_on_after_a_planned_pause(engine: Engine) -> None:
    """It lists the charges before the pause, and from its end on."""
    customer, subscription = engine.begun(every="10 days")
    engine.run()
    due = engine.subscription(subscription)["next_due_at"]
    back = due + 30 * DAY
    pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END, until=back)
    until = engine.now + 100 * DAY
    lines = list(forecasting.forecast(engine.context.database, engine.now, until))

    engine.advance(until)

    made = [i["period_start"] for i in engine.invoices(subscription)[1:]]
    assert [line.due_at for line in lines] == made
    assert made[0] == back
    assert len(engine.debits(customer)) == len(made) + 1


def test_a_forecast_has_one_zone_and_names_it(engine: Engine, billing: Billing) -> None:
    """Overdue and coming charges of plans in several zones have comparable hours."""
    engine.plan(every="1 week", timezone="Asia/Jayapura", retries="3d")
    engine.plan("Q", every="1 week")
    engine.subscribe(engine.customer(cash=0))
    engine.run()
    engine.subscribe(engine.customer(), "Q")

    rows = billing("forecast", "--until", "2026-03-01T00:00")
    told = billing("forecast", "--until", "2026-03-01T00:00", people=True)

    assert len(rows) > 2
    assert {row["due_at"][-6:] for row in rows} == {"+00:00"}
    assert told.splitlines()[-1].endswith("; times are Asia/Jakarta")


def test_attention_has_the_same_zone(engine: Engine, billing: Billing) -> None:
    """`since` is shown in the timezone of the other pages."""
    engine.begun(cash=0, retries="1d", on_exhausted="unpaid", every="1 year")
    engine.advance(timedelta(days=5))

    assert {item["since_at"][-6:] for item in billing("attention")} == {"+00:00"}

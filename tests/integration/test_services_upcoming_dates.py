"""A date that was not announced is announced again, and credit is announced once."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from alembic import command
from sqlalchemy import make_url

from billing.domain.events import OPERATOR, Actor
from billing.services.money import crediting
from billing.services.subscriptions import canceling, pausing
from billing.services.webhooks import upcoming
from billing.store import migrate
from tests.integration.earlier import GROUND
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
FEBRUARY = datetime.fromisoformat("2026-02-28T02:00:00+00:00")
TRIAL_END = START + 14 * DAY


def told(engine: Engine, subscription: UUID) -> list[dict[str, Any]]:
    """What was announced of a subscription, in order."""
    return [
        row["data"] for row in engine.told("invoice.upcoming")
        if row["subscription_id"] == subscription
    ]  # fmt: skip


def dates(engine: Engine, subscription: UUID) -> list[datetime]:
    """The dates that were announced, in order."""
    return [datetime.fromisoformat(each["charge_at"]) for each in told(engine, subscription)]


def trial(engine: Engine) -> UUID:
    """A subscription whose trial ends in two days, which was announced."""
    engine.plan(trial="14 days", notice="3 days")
    subscription = engine.subscribe(engine.customer())
    engine.advance(TRIAL_END - 2 * DAY)
    assert dates(engine, subscription) == [TRIAL_END]
    return subscription


def test_a_trial_that_was_paused_after_its_notice_is_announced_again(engine: Engine) -> None:
    """The charge moves with the days that were left; its new date is announced in time."""
    subscription = trial(engine)
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(10 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(20 * DAY)

    [charge] = engine.charges(subscription)
    assert dates(engine, subscription) == [TRIAL_END, TRIAL_END + 10 * DAY]
    assert charge["created_at"] == TRIAL_END + 10 * DAY
    assert [each["period_index"] for each in told(engine, subscription)] == [0, 0]
    assert engine.told("subscription.notice_failed") == []


def test_a_trial_that_resumes_by_itself_is_announced_again(engine: Engine) -> None:
    """Also by a tick, and more than once."""
    subscription = trial(engine)
    for _ in range(2):
        pausing.pause(engine.context, subscription, OPERATOR, until=engine.now + 5 * DAY)
        engine.advance(6 * DAY)

    assert dates(engine, subscription) == [TRIAL_END, TRIAL_END + 5 * DAY, TRIAL_END + 10 * DAY]


def test_the_same_date_is_announced_once(engine: Engine) -> None:
    """A pause within the notice that moves nothing is not announced again."""
    _, subscription = engine.begun(notice="3 days")
    engine.advance(FEBRUARY - 2 * DAY)
    pausing.pause(engine.context, subscription, OPERATOR, until=FEBRUARY - DAY)
    engine.advance(FEBRUARY + DAY)

    assert dates(engine, subscription) == [FEBRUARY]
    assert len(engine.charges(subscription)) == 2


def give(engine: Engine, customer: str, amount: int) -> None:
    """Give credit that no payment backs."""
    crediting.grant(engine.context, customer, amount, Actor("shop", "sorry"))


def test_credit_is_announced_to_the_charge_that_takes_it(engine: Engine) -> None:
    """Two charges of one customer, announced together: the second has what the first leaves."""
    customer, first = engine.begun(notice="3 days")
    second = engine.subscribe(customer, again=True)
    engine.run()
    give(engine, customer, 70_000)
    engine.advance(FEBRUARY)

    said = sorted(each["credited"] for each in told(engine, first) + told(engine, second))
    assert said == [20_000, 50_000]
    paid = [charge["amount"] for each in (first, second) for charge in engine.charges(each)]
    assert sorted(paid) == [30_000, 50_000, 50_000]


def test_credit_that_was_announced_before_is_not_announced_again(engine: Engine) -> None:
    """By another tick, for a later charge; an earlier charge takes it first, and says so."""
    engine.plan("LATER", notice="10 days")
    engine.plan("SOONER", notice="1 day")
    customer = engine.customer()
    later = engine.subscribe(customer, "LATER", start=START + 20 * DAY)
    latest = engine.subscribe(customer, "LATER", start=START + 21 * DAY, again=True)
    sooner = engine.subscribe(customer, "SOONER", start=START + 15 * DAY)
    give(engine, customer, 60_000)
    engine.advance(START + 22 * DAY)

    said = {each: told(engine, each)[0]["credited"] for each in (sooner, later, latest)}
    assert said == {later: 50_000, latest: 10_000, sooner: 50_000}


def test_credit_of_a_charge_that_will_not_come_is_free_again(engine: Engine) -> None:
    """What was announced for a subscription that ended takes nothing."""
    customer, ended = engine.begun(notice="3 days")
    engine.plan("NEXT", notice="1 day")
    other = engine.subscribe(customer, "NEXT")
    engine.run()
    give(engine, customer, 50_000)
    engine.advance(FEBRUARY - 2 * DAY)
    canceling.cancel(engine.context, ended, OPERATOR)
    engine.advance(FEBRUARY)

    assert told(engine, ended)[0]["credited"] == 50_000
    assert told(engine, other)[0]["credited"] == 50_000


def test_two_customers_do_not_share_credit(engine: Engine) -> None:
    """Each announces its own."""
    one, first = engine.begun(notice="3 days")
    two = engine.customer()
    second = engine.subscribe(two)
    engine.run()
    for customer in (one, two):
        give(engine, customer, 50_000)
    engine.set_clock(FEBRUARY - DAY)
    assert upcoming.announce_due(engine.context, 1000) == 2
    assert [told(engine, each)[0]["credited"] for each in (first, second)] == [50_000, 50_000]


def test_an_upgrade_knows_the_dates_that_were_announced(empty_url: str) -> None:
    """They are read from the events; a downgrade allows one notice a period, and forgets none."""
    command.upgrade(migrate._config(empty_url), "0022")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    notice = (
        "INSERT INTO events (at, kind, actor, subscription_id, data) SELECT now(),"
        " 'invoice.upcoming', 'x', id, jsonb_build_object('period_index', %s::int, 'charge_at',"
        " %s::text) FROM subscriptions"
    )
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(GROUND)
        connection.execute("UPDATE subscriptions SET notice_for = 2")
        for index, at in enumerate(("2026-01-31T02:00:00+00:00", FEBRUARY.isoformat())):
            connection.execute(notice, (index, at))
        migrate.upgrade(empty_url)
        found = connection.execute("SELECT notice_due_at FROM subscriptions").fetchall()
        assert found == [(FEBRUARY,)]
        connection.execute(notice, (1, (FEBRUARY + DAY).isoformat()))

        command.downgrade(migrate._config(empty_url), "0022")
        migrate.upgrade(empty_url)

        kinds = connection.execute("SELECT kind, count(*) FROM events GROUP BY 1").fetchall()
        assert kinds == [("invoice.upcoming", 3)]

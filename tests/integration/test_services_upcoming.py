"""A charge is announced before it is made: once for each period, in time or late, never after."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import psycopg
import pytest

from billing.domain.errors import InvalidValue
from billing.domain.events import OPERATOR, Actor
from billing.services.money import coupons, crediting, extra_lines
from billing.services.operating import held_rows, importing
from billing.services.reading import forecasting
from billing.services.subscriptions import canceling, changing, pausing
from billing.services.webhooks import upcoming
from billing.store.queries import notices
from billing.store.queries.holding import Kind
from schedules.durations import EXACT, LENGTHS, SPELLINGS, Unit, parse_duration, plain_notice
from schedules.walltime import ScheduleError
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
FEBRUARY = datetime.fromisoformat("2026-02-28T02:00:00+00:00")
MARCH = datetime.fromisoformat("2026-03-31T02:00:00+00:00")


def told(engine: Engine, subscription: UUID) -> list[dict[str, Any]]:
    """The data of a subscription's notices, in order, with the instant of each."""
    return [
        {**row["data"], "at": row["at"]} for row in engine.told("invoice.upcoming")
        if row["subscription_id"] == subscription
    ]  # fmt: skip


def dates(engine: Engine, subscription: UUID) -> list[tuple[datetime, str]]:
    """When each charge was announced, and its date."""
    return [(each["at"], each["charge_at"]) for each in told(engine, subscription)]


def announce(engine: Engine, at: datetime) -> int:
    """Move the clock without any other work, and do what the tick does."""
    engine.set_clock(at)
    return upcoming.announce_due(engine.context, 1000)


def test_a_charge_is_announced_three_days_ahead_once(engine: Engine) -> None:
    """With what will be charged, when, and the wallet; the first one, due at once, is not."""
    _, subscription = engine.begun(notice="3 days")
    engine.advance(FEBRUARY + 10 * DAY)
    assert dates(engine, subscription) == [(FEBRUARY - 3 * DAY, FEBRUARY.isoformat())]
    [notice] = told(engine, subscription)
    [wallet] = engine.wallets(engine.subscription(subscription)["customer_id"])
    assert notice == {
        "plan": "P", "period_index": 1, "amount": 50_000, "credited": 0, "currency": "IDR",
        "charge_at": FEBRUARY.isoformat(), "wallet_status": "active",
        "wallet_expires_at": wallet["expires_at"].isoformat(), "at": FEBRUARY - 3 * DAY,
    }  # fmt: skip

    engine.advance(MARCH)

    assert [at for at, _ in dates(engine, subscription)] == [FEBRUARY - 3 * DAY, MARCH - 3 * DAY]
    assert len(engine.charges(subscription)) == 3


def test_a_plan_without_a_notice_announces_nothing(engine: Engine) -> None:
    """And its subscriptions are in no index for it."""
    _, subscription = engine.begun()
    engine.advance(MARCH)

    assert told(engine, subscription) == []
    assert engine.subscription(subscription)["notice_for"] is None


def test_a_late_tick_announces_late_but_never_after_the_charge(engine: Engine) -> None:
    """Down for two days: still before the charge. Down until the charge: not at all."""
    _, subscription = engine.begun(notice="3 days")
    other = engine.subscribe(engine.customer())
    engine.run()
    assert announce(engine, FEBRUARY - 3 * DAY - timedelta(seconds=1)) == 0
    engine.execute("UPDATE subscriptions SET notice_for = 9 WHERE id = :id", id=other)
    assert announce(engine, FEBRUARY - DAY) == 1
    assert dates(engine, subscription) == [(FEBRUARY - DAY, FEBRUARY.isoformat())]

    engine.execute("UPDATE subscriptions SET notice_for = 1 WHERE id = :id", id=other)
    assert announce(engine, FEBRUARY) == 0
    engine.advance(FEBRUARY + 2 * DAY)
    assert told(engine, other) == []
    engine.advance(MARCH)
    assert [each["period_index"] for each in told(engine, other)] == [2]


def test_two_ticks_announce_once(engine: Engine) -> None:
    """At the same moment, and one after the other."""
    engine.plan(notice="3 days")
    for _ in range(20):
        engine.subscribe(engine.customer())
    engine.run()
    engine.set_clock(FEBRUARY - DAY)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: upcoming.announce_due(engine.context, 1000), range(4)))

    assert sum(made) == 20
    assert upcoming.announce_due(engine.context, 1000) == 0
    assert len(engine.told("invoice.upcoming")) == 20


def test_the_database_allows_one_notice_a_period(engine: Engine) -> None:
    """Also when the mark is lost: the row is passed over with an event, and charged."""
    _, subscription = engine.begun(notice="3 days")
    engine.plan("Q", notice="3 days")
    other = engine.subscribe(engine.customer(), "Q")
    engine.run()
    announce(engine, FEBRUARY - 3 * DAY)
    engine.execute("UPDATE subscriptions SET notice_for = 1")
    engine.execute("DELETE FROM events WHERE kind = 'invoice.upcoming'"
                   " AND subscription_id = :id", id=other)  # fmt: skip

    assert announce(engine, FEBRUARY - 2 * DAY) == 1

    assert len(told(engine, subscription)) == len(told(engine, other)) == 1
    [failed] = engine.told("subscription.notice_failed")
    assert failed["subscription_id"] == subscription
    assert "events_one_notice_a_date" in failed["data"]["why"]
    engine.advance(FEBRUARY)
    assert len(engine.charges(subscription)) == 2


def test_a_row_that_fails_stops_no_other(engine: Engine) -> None:
    """It is passed over with an event that says why, once."""
    _, subscription = engine.begun(notice="3 days")
    engine.plan("BAD", notice="3 days")
    bad = engine.subscribe(engine.customer(), "BAD")
    engine.run()
    engine.execute("UPDATE plans SET every = '1 fortnicht' WHERE code = 'BAD'")

    assert announce(engine, FEBRUARY - 3 * DAY) == 1
    assert announce(engine, FEBRUARY - 2 * DAY) == 0

    assert len(told(engine, subscription)) == 1
    [failed] = engine.told("subscription.notice_failed")
    assert failed["subscription_id"] == bad
    engine.execute("UPDATE plans SET every = '1 month' WHERE code = 'BAD'")


def test_a_clock_that_is_behind_announces_nothing_again(engine: Engine) -> None:
    """On a host whose clock is days behind: before the notice, and after the charge."""
    _, subscription = engine.begun(notice="3 days")
    engine.advance(FEBRUARY - 2 * DAY)
    for at in (FEBRUARY - 4 * DAY, FEBRUARY - 3 * DAY):
        engine.execute("UPDATE engine SET clock_at = :at", at=at)
        assert upcoming.announce_due(engine.context, 1000) == 0
    engine.execute("UPDATE engine SET clock_at = :at", at=FEBRUARY - 2 * DAY)
    engine.advance(FEBRUARY + DAY)
    engine.execute("UPDATE engine SET clock_at = :at", at=FEBRUARY - DAY)
    assert upcoming.announce_due(engine.context, 1000) == 0

    assert len(told(engine, subscription)) == 1
    engine.execute("UPDATE engine SET clock_at = :at", at=FEBRUARY + DAY)


def test_the_end_of_a_trial_and_a_later_start_are_announced(engine: Engine) -> None:
    """Each is a first charge; the notice comes before it."""
    engine.plan("TRIAL", trial="14 days", notice="3 days")
    engine.plan("P", notice="3 days")
    trial = engine.subscribe(engine.customer(), "TRIAL")
    later = engine.subscribe(engine.customer(), start=START + 10 * DAY)
    engine.advance(START + 20 * DAY)

    assert dates(engine, trial) == [(START + 11 * DAY, (START + 14 * DAY).isoformat())]
    assert dates(engine, later) == [(START + 7 * DAY, (START + 10 * DAY).isoformat())]
    assert {each["period_index"] for each in told(engine, trial) + told(engine, later)} == {0}


def test_a_notice_longer_than_the_period_comes_when_the_period_before_opens(
    engine: Engine,
) -> None:
    """Only the next charge is announced, and each once."""
    _, subscription = engine.begun(every="1 week", notice="30 days")
    engine.advance(START + 15 * DAY)

    week = timedelta(weeks=1)
    assert dates(engine, subscription) == [
        (START + number * week, (START + (number + 1) * week).isoformat()) for number in range(3)
    ]


def _paused(engine: Engine, subscription: UUID) -> None:
    pausing.pause(engine.context, subscription, OPERATOR)


def _pause_planned(engine: Engine, subscription: UUID) -> None:
    pausing.pause(engine.context, subscription, OPERATOR, at="period-end")


def _cancel_planned(engine: Engine, subscription: UUID) -> None:
    canceling.cancel(engine.context, subscription, OPERATOR, at="period-end")


def _canceled(engine: Engine, subscription: UUID) -> None:
    canceling.cancel(engine.context, subscription, OPERATOR)


def _held(engine: Engine, subscription: UUID) -> None:
    held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, subscription, ValueError("x"))
    engine.dead_ends = {"held"}


@pytest.mark.parametrize("act", [_paused, _pause_planned, _cancel_planned, _canceled, _held])
def test_no_charge_is_announced_that_will_not_come(engine: Engine, act: Any) -> None:
    """A subscription that is paused, held or ended by then."""
    _, subscription = engine.begun(notice="3 days")
    engine.run()
    act(engine, subscription)
    announce(engine, FEBRUARY - DAY)

    assert told(engine, subscription) == []


def test_after_a_pause_the_next_charge_is_announced(engine: Engine) -> None:
    """One notice a period: what was announced before the pause is not announced again."""
    _, subscription = engine.begun(notice="3 days")
    engine.advance(FEBRUARY - 2 * DAY)
    pausing.pause(engine.context, subscription, OPERATOR)
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(FEBRUARY + DAY)
    assert len(told(engine, subscription)) == 1
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(MARCH + DAY)
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(timedelta(days=32))

    assert [each["charge_at"][:10] for each in told(engine, subscription)] == [
        "2026-02-28", "2026-04-30",
    ]  # fmt: skip


def test_the_plan_of_the_charge_decides(engine: Engine) -> None:
    """A planned change: to a plan with a notice, and back to one without."""
    engine.plan("PLAIN")
    engine.plan("TOLD", amount=70_000, notice="5 days")
    subscription = engine.subscribe(engine.customer(), "PLAIN")
    engine.run()
    changing.change(
        engine.context, subscription, OPERATOR, plan_code="TOLD", quantity=2, at="period-end"
    )
    engine.advance(FEBRUARY + DAY)
    [first] = told(engine, subscription)
    assert (first["plan"], first["amount"], first["at"]) == ("TOLD", 140_000, FEBRUARY - 5 * DAY)
    assert first["charge_at"] == FEBRUARY.isoformat()
    changing.change(engine.context, subscription, OPERATOR, plan_code="PLAIN", at="period-end")
    engine.advance(MARCH + DAY)
    assert len(told(engine, subscription)) == 1

    changing.change(engine.context, subscription, OPERATOR, plan_code="TOLD")
    engine.advance(timedelta(days=31))

    assert [each["period_index"] for each in told(engine, subscription)] == [1, 3]


def test_a_change_that_took_effect_unannounced_is_announced_from_then_on(engine: Engine) -> None:
    """The change was planned, and the tick was down until it had taken effect."""
    engine.plan("PLAIN")
    engine.plan("TOLD", notice="5 days")
    subscription = engine.subscribe(engine.customer(), "PLAIN")
    engine.run()
    changing.change(engine.context, subscription, OPERATOR, plan_code="TOLD", at="period-end")
    engine.set_clock(FEBRUARY)
    engine.advance(MARCH)

    assert dates(engine, subscription) == [(MARCH - 5 * DAY, MARCH.isoformat())]


def test_the_amount_is_that_of_the_forecast(engine: Engine) -> None:
    """Quantity, coupon, extra line and credit count, and the charge is then as announced."""
    engine.plan(notice="3 days")
    coupons.create(engine.context, "TEN", OPERATOR, percent=10)
    customer = engine.customer()
    subscription = engine.subscribe(customer, quantity=2, coupon="TEN")
    engine.run()
    extra_lines.add(engine.context, subscription, "seat", 7_000, OPERATOR)
    crediting.grant(engine.context, customer, 4_000, Actor("shop", "sorry"))
    database = engine.context.database
    [line] = forecasting.upcoming(database, engine.now, FEBRUARY, subscription)
    engine.advance(FEBRUARY)

    [notice] = told(engine, subscription)
    assert (notice["amount"], notice["credited"]) == (93_000, 4_000)
    assert line.amount == 93_000
    assert [charge["amount"] for charge in engine.charges(subscription)] == [90_000, 93_000]


def test_credit_that_covers_everything_is_announced_as_zero(engine: Engine) -> None:
    """The event comes for each period; its amount says what the wallet pays."""
    customer, subscription = engine.begun(notice="3 days")
    engine.run()
    crediting.grant(engine.context, customer, 60_000, Actor("shop", "sorry"))
    engine.advance(FEBRUARY)

    [notice] = told(engine, subscription)
    assert (notice["amount"], notice["credited"]) == (0, 50_000)


@pytest.mark.parametrize(("expires", "state"), [
    (FEBRUARY + DAY, "active"), (FEBRUARY, "expiring"), (FEBRUARY - DAY, "expiring"),
    (None, "none"),
])  # fmt: skip
def test_the_state_of_the_wallet_at_the_charge_is_told(
    engine: Engine, expires: datetime | None, state: str
) -> None:
    """Active, without a token by then, or none at all."""
    customer, subscription = engine.begun(notice="3 days")
    engine.run()
    if expires is None:
        engine.lose_wallet(customer)
        engine.run()
    else:
        engine.execute("UPDATE wallets SET expires_at = :at", at=expires)
    announce(engine, FEBRUARY - 3 * DAY)

    [notice] = told(engine, subscription)
    assert notice["wallet_status"] == state
    assert notice["wallet_expires_at"] == (expires.isoformat() if expires else None)


def test_an_imported_subscription_is_announced(engine: Engine) -> None:
    """From its first charge here on."""
    engine.plan(notice="3 days")
    engine.customer(linked=False)
    customer = engine.one("SELECT id FROM customers")
    cells = {"id": "S1", "customer": customer, "plan": "P", "anchor": "2026-01-15T09:00",
             "next_due_at": "2026-02-15T09:00"}  # fmt: skip
    [*_, report] = importing.subscriptions(engine.context, [(2, cells)], OPERATOR)
    assert report.added == 1
    engine.advance(START + 14 * DAY)

    [notice] = engine.told("invoice.upcoming")
    assert notice["data"]["wallet_status"] == "none"


def spellings() -> Iterator[str]:
    """Each way to write a notice."""
    for number, (word, unit) in product((1, 30), SPELLINGS.items()):
        if unit in {*EXACT, Unit.DAY, Unit.WEEK}:
            yield f"{number}{word}"
            yield f"{number} {word.upper()}"


def test_every_notice_is_as_long_in_the_database_as_in_the_code(engine: Engine) -> None:
    """PostgreSQL reads the text as an interval; months and years are refused."""
    for text in spellings():
        plain_notice(text)
        duration = parse_duration(text)
        found = engine.one("SELECT extract(epoch FROM CAST(:text AS interval))", text=text)
        assert found == (LENGTHS[duration.unit] * duration.count).total_seconds(), text
    for text in ("1 month", "2 years"):
        with pytest.raises(ScheduleError, match="a notice has days"):
            plain_notice(text)
    for text in ("", "soon", "3", "-3 days", "0 days", "1 month"):
        with pytest.raises(InvalidValue):
            engine.plan("X", notice=text)
    assert engine.one("SELECT count(*) FROM plans") == 0


MANY = """INSERT INTO subscriptions SELECT copy.* FROM subscriptions s,
    generate_series(1, 5000) AS number, jsonb_populate_record(s, jsonb_build_object(
        'id', gen_random_uuid(), 'plan_code', number % 100, 'notice_for', NULL)) AS copy"""
"""Subscriptions of other plans, which have no notice."""


def test_notices_are_found_by_their_index(engine: Engine) -> None:
    """No tick reads all subscriptions, with or without plans that have a notice."""
    engine.begun(notice="3 days")
    sql = notices._DUE.replace(":now", "now()").replace(":limit", "10")
    with psycopg.connect(engine.url.replace("+psycopg", "")) as connection:
        connection.execute("SET session_replication_role = replica")  # their plans do not exist
        connection.execute(MANY)
        connection.execute("ANALYZE subscriptions")
        connection.execute("SET enable_seqscan = off")  # of plans, which are few
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}"))
        connection.rollback()
    assert "subscriptions_to_announce" in plan
    assert "subscriptions_changing" in plan
    assert "Seq Scan" not in plan

"""Opening when very many are due: in batches and in turns, with real services and database."""

import json
from datetime import timedelta
from itertools import count
from types import ModuleType
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.services.collecting import opening, opening_batches
from billing.services.operating import kill_switch
from billing.store.queries import invoices
from tests.integration.engine import Engine
from tests.integration.races import at_once

MANY = 11


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two to a batch and two batches to a list, so that a few are many."""
    monkeypatch.setattr(opening_batches, "BATCH", 2)
    monkeypatch.setattr(opening_batches, "BATCHES_LISTED", 2)


def subscribed(engine: Engine) -> None:
    """Many subscriptions, and a clock that has passed two of each one's due dates."""
    engine.plan(every="1 day")
    for _ in range(MANY):
        engine.subscribe(engine.customer())
    engine.set_clock(engine.now + timedelta(days=1, hours=1))


@pytest.mark.usefixtures("small_batches")
def test_all_that_is_due_is_opened_whatever_the_batches(engine: Engine) -> None:
    """Each period that has begun is opened once."""
    subscribed(engine)

    opened = opening_batches.open_due(engine.context)

    made = engine.rows("SELECT period_index FROM invoices")
    assert opened == len(made) == 2 * MANY
    assert sorted(row["period_index"] for row in made) == [0] * MANY + [1] * MANY
    assert opening_batches.open_due(engine.context) == 0


@pytest.mark.usefixtures("small_batches")
def test_the_first_batch_need_not_wait_for_the_rest(engine: Engine, other: Engine) -> None:
    """One batch is opened; the rest is leased to the caller, who goes on with it."""
    subscribed(engine)

    first = opening_batches.open_first(engine.context)

    assert first.invoices == engine.one("SELECT count(*) FROM invoices") == 2
    assert opening_batches.open_first(other.context) == (0, None), "the rest is the first caller's"
    assert opening_batches.open_for(engine.context, 10, first.rest) == (2 * MANY - 2, None)
    assert opening_batches.open_first(engine.context) == (0, None)
    assert engine.one("SELECT opening_until FROM engine") is None


def test_invoices_opened_together_have_neighbouring_ids(engine: Engine) -> None:
    """Invoices are opened in the order of the subscriptions' ids, with ids that begin like them.

    So a payday's index entries are neighbours, and not each on a page of its own.
    """
    subscribed(engine)
    opening_batches.open_due(engine.context)

    pairs = engine.rows("SELECT id, subscription_id FROM invoices")
    order = engine.rows(
        "SELECT subscription_id AS id FROM events WHERE kind = 'invoice.opened'"
        " AND data->>'period_index' = '0' ORDER BY events.id"
    )
    assert {row["subscription_id"].version for row in pairs} == {7}
    assert [row for row in pairs if row["id"].bytes[:6] != row["subscription_id"].bytes[:6]] == []
    assert [row["id"] for row in order] == sorted(row["id"] for row in order)
    assert len(order) == MANY


def unreadable(engine: Engine, count: int) -> None:
    """Give the first due subscription an invalid anchor."""
    engine.audited = False  # it finds those that stay due
    engine.execute(
        "UPDATE subscriptions SET anchor_local = '1960-01-01', next_due_at = next_due_at - interval"
        " '1 minute' WHERE id IN (SELECT id FROM subscriptions LIMIT :count)",
        count=count,
    )


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("count", [3, 4, 7])
def test_dates_that_make_no_sense_keep_nobody_waiting(engine: Engine, count: int) -> None:
    """The others are opened, also with more failing rows than are listed at once.

    Those are held, each with the reason and an event.
    """
    subscribed(engine)
    unreadable(engine, count)

    assert opening_batches.open_due(engine.context) == 2 * (MANY - count)
    assert opening_batches.open_due(engine.context) == 0
    held = engine.rows("SELECT id, held_why FROM subscriptions WHERE held_at IS NOT NULL")
    assert len(held) == len(engine.told("subscription.held")) == count
    assert {row["held_why"].partition(":")[0] for row in held} == {"ScheduleError"}


@pytest.mark.usefixtures("small_batches")
def test_opening_continues_where_its_time_ended(engine: Engine) -> None:
    """Each run opens a batch and ends; the next one continues after rows that failed to open."""
    subscribed(engine)
    unreadable(engine, 5)
    parts, rest = [], None

    for _ in range(50):
        opened, rest = opening_batches.open_for(engine.context, 0, rest)
        parts.append(opened)
        if rest is None:
            break

    assert rest is None
    assert sum(parts) == 2 * (MANY - 5)
    assert max(parts) == 2, "a batch"
    assert engine.one("SELECT opening_until FROM engine") is None


@pytest.mark.usefixtures("small_batches")
def test_however_many_begin_one_goes_on(engine: Engine, other: Engine) -> None:
    """Simultaneous ticks, later ticks and a doubled message start no second chain."""
    subscribed(engine)

    begun = at_once(*(lambda e=e: opening_batches.open_for(e.context, 0) for e in (engine, other)))
    [rest] = [rest for _opened, rest in begun if rest is not None]
    assert opening_batches.open_for(other.context, 10) == (0, None)
    gone_on = at_once(
        *(lambda e=e: opening_batches.open_for(e.context, 0, rest) for e in (engine, other))
    )
    [following] = [rest for _opened, rest in gone_on if rest is not None]
    assert opening_batches.open_for(engine.context, 10, rest) == (0, None), "it was exchanged"
    assert opening_batches.open_for(engine.context, 10, following)[1] is None
    opening_batches.open_for(engine.context, 10)  # one skipped the rows that the other had locked

    assert engine.counts()["invoices"] == 2 * MANY


@pytest.mark.usefixtures("small_batches")
def test_a_lost_turn_is_made_up_for_by_a_tick_when_its_lease_has_ended(engine: Engine) -> None:
    """Nothing waits for a message that never comes, and one that comes late does no harm."""
    subscribed(engine)
    _opened, lost = opening_batches.open_for(engine.context, 0)
    engine.execute("UPDATE engine SET opening_until = opening_until - interval '11 seconds'")

    assert opening_batches.open_for(engine.context, 10) == (2 * MANY - 2, None)
    assert opening_batches.open_for(engine.context, 10, lost) == (0, None)
    assert opening_batches.open_for(engine.context, 10) == (0, None)


def test_time_that_is_over_ends_a_batch_that_only_skips(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missed periods that no invoice is made for take time, too; the next call goes on."""
    engine.plan("L", every="1 day", catch_up="latest")
    engine.subscribe(engine.customer(), "L")
    engine.run()
    engine.set_clock(engine.now + timedelta(days=60))
    monkeypatch.setattr(opening, "PERIODS_A_PASS", 2)
    plain, passes = opening_batches._open_batch, count(1)

    def counted(*given: Any) -> Any:
        next(passes)
        return plain(*given)

    monkeypatch.setattr(opening_batches, "_open_batch", counted)
    assert opening_batches.open_first(engine.context).rest is not None
    assert next(passes) == 2
    engine.run()


@pytest.mark.usefixtures("small_batches")
def test_a_failed_batch_ends_the_tick_and_the_next_opens_what_is_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened before the failure stays; nothing behind it is begun."""
    subscribed(engine)
    plain, calls = invoices.open_periods, count(1)

    def broken(*given: Any) -> Any:
        if next(calls) == 3:
            raise ConnectionError
        return plain(*given)

    with monkeypatch.context() as patch:
        patch.setattr(invoices, "open_periods", broken)
        with pytest.raises(ConnectionError):
            opening_batches.open_due(engine.context)

    assert next(calls) == 4
    opening_batches.open_due(engine.context)
    assert engine.counts()["invoices"] == 2 * MANY


@pytest.fixture
def ticks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The ticks as a worker has them, with this engine and no broker: nothing is swept."""
    with monkeypatch.context() as environment:
        environment.setenv("BILLING_DATABASE_URL", engine.url)
        environment.setenv("BILLING_REDIS_URL", "redis://127.0.0.1:1/0")
        environment.setenv(
            "BILLING_TOKEN_KEY", engine.context.settings.token_key.get_secret_value()
        )
        from workers import ticks
    monkeypatch.setattr(ticks, "context", lambda: engine.context)
    monkeypatch.setattr(ticks, "sweep_charges", lambda: None)
    monkeypatch.setattr(ticks, "OPENING_SECONDS", 0)
    return ticks


@pytest.mark.usefixtures("small_batches")
def test_the_tick_sends_itself_again_until_all_is_open(
    engine: Engine, ticks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one opening chain runs, also with more ticks of beat and while charging is stopped."""
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr(ticks.open_periods, "delay", lambda *rest: sent.append(rest))
    subscribed(engine)
    kill_switch.stop_charging(engine.context, OPERATOR)
    ticks.open_periods()
    turns = 1

    while sent:
        [rest] = sent
        ticks.open_periods()
        assert sent == [rest], "beat's tick leaves it to the one that goes on"
        sent.clear()
        ticks.open_periods(*json.loads(json.dumps(rest)))
        turns += 1

    assert engine.counts()["invoices"] == 2 * MANY
    assert MANY <= turns <= 2 * MANY
    kill_switch.start_charging(engine.context, OPERATOR)

"""A row that another session locks stops no other row, and is not held."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from billing.domain.events import OPERATOR
from billing.domain.outcomes import Succeeded
from billing.domain.settlement import Source
from billing.services.collecting import charging, claiming, opening_batches, settling
from billing.services.context import Context
from billing.services.subscriptions import canceling, pausing
from billing.store.session import Database
from tests.integration.engine import Engine

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@contextmanager
def locked(engine: Engine, subscription: UUID) -> Iterator[None]:
    """An open psql session locks one subscription's row."""
    url = make_url(engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as session:
        session.execute("SELECT 1 FROM subscriptions WHERE id = %s FOR UPDATE", (subscription,))
        yield
        session.rollback()


@contextmanager
def impatient(engine: Engine) -> Iterator[Context]:
    """The engine's context, whose transactions wait for a lock for a short time only."""
    url = make_url(engine.url).update_query_dict({"options": "-c lock_timeout=300ms"})
    database = Database(url.render_as_string(hide_password=False))
    try:
        yield replace(engine.context, database=database)
    finally:
        database.dispose()


def made(engine: Engine, count: int = 4) -> list[UUID]:
    """So many subscriptions of as many customers, none charged yet."""
    engine.plan()
    return [engine.subscribe(engine.customer()) for _ in range(count)]


def cancel(engine: Engine, subscription: UUID, after: timedelta) -> None:
    """Plan an end."""
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + after)


def pause(engine: Engine, subscription: UUID, _after: timedelta) -> None:
    """Plan a pause."""
    pausing.pause(engine.context, subscription, OPERATOR, at=pausing.PERIOD_END)


def pause_until(engine: Engine, subscription: UUID, after: timedelta) -> None:
    """Pause, with a date to resume."""
    pausing.pause(engine.context, subscription, OPERATOR, until=engine.now + after)


@pytest.mark.parametrize(
    ("plan", "due", "after"),
    [
        (cancel, canceling.cancel_due, "canceled"),
        (pause, pausing.pause_due, "paused"),
        (pause_until, pausing.resume_due, "active"),
    ],
)
def test_a_locked_subscription_keeps_the_dates_of_others(
    engine: Engine,
    plan: Callable[[Engine, UUID, timedelta], None],
    due: Callable[[Context], int],
    after: str,
) -> None:
    """What is due first is locked; the others move at once, and it moves when it is free."""
    subscriptions = made(engine)
    engine.run()
    for number, subscription in enumerate(subscriptions):
        plan(engine, subscription, DAY + number * MINUTE)
    engine.set_clock(engine.now + (31 if plan is pause else 2) * DAY)
    before = engine.status(subscriptions[0])

    with locked(engine, subscriptions[0]):
        due(engine.context)
        assert [engine.status(each) for each in subscriptions] == [before, after, after, after]
    assert engine.told("subscription.held") == []

    due(engine.context)
    assert engine.status(subscriptions[0]) == after


def test_a_locked_subscription_keeps_the_answers_of_others(engine: Engine) -> None:
    """Answers of a group are recorded; the locked one's charge is asked about, as any unknown."""
    subscriptions = made(engine)
    opening_batches.open_due(engine.context)
    due = charging.lease_due(engine.context, 100)
    asked = engine.context.gateway.pay

    with impatient(engine) as context:
        payments = claiming.claim(context, dict.fromkeys(due))
        news = [settling.News(UUID(payment.request_id), asked(payment)) for payment in payments]
        with locked(engine, subscriptions[0]):
            assert settling.settle(context, news, Source.LIVE) == []
        said = [[charge["status"] for charge in engine.charges(each)] for each in subscriptions]
        assert said == [["in_flight"], *[["succeeded"]] * 3]
    assert engine.told("charge.held") == []

    engine.advance(2 * MINUTE)
    assert [charge["status"] for charge in engine.charges(subscriptions[0])] == ["succeeded"]
    assert all(
        len(engine.debits(engine.subscription(s)["customer_id"])) == 1 for s in subscriptions
    )


def test_a_person_who_settles_a_locked_charge_is_told(engine: Engine) -> None:
    """An operator's command on a locked row is refused with a message."""
    [subscription] = made(engine, 1)
    opening_batches.open_due(engine.context)
    due = charging.lease_due(engine.context, 100)
    with impatient(engine) as context:
        [payment] = claiming.claim(context, dict.fromkeys(due))
        news = [settling.News(UUID(payment.request_id), Succeeded())]
        with locked(engine, subscription), pytest.raises(OperationalError, match="lock timeout"):
            settling.settle(context, news, Source.OPERATOR)
    engine.advance(DAY)

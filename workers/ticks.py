"""Ticks that beat sends: query what is due, lease it, and enqueue batches of ids.

A failed tick is logged and recorded for `billing doctor`; the next tick runs the same query.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

from celery import Task
from sqlalchemy import Connection

from billing.clock import real_now
from billing.logs import Logger
from billing.services.collecting import charging, opening_batches, reconciling
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.operating import counting_ahead, held_rows, metrics, upkeep
from billing.services.subscriptions import canceling, pausing
from billing.services.wallets import erasing, linking
from billing.services.webhooks import fanout, sending, upcoming
from billing.store.queries import charges, engine, invoices, refunds, wallets, webhooks
from workers.app import app, context
from workers.charges import ask, attend_wallet, collect, send_refund
from workers.settings import settings
from workers.webhooks import deliver

log = Logger(__name__)

P = ParamSpec("P")

BATCHES_WAITING = 16
"""How many batches may wait to be collected; other due rows stay in the database. A running worker
keeps claiming due invoices without a message; these batches are for idle workers."""
QUESTIONS_WAITING = BATCHES_WAITING + 8
"""The same, including status queries: many due renewals leave room for them."""
SINGLES_A_TICK = 500
NOTICES_A_TICK = 5_000
OPENING_SECONDS = 1
"""The longest time that a refund requested in the meantime waits for this process."""


def ticking(function: Callable[P, bool | None]) -> Callable[P, None]:
    """Record when a tick starts and whether it succeeded, for `billing doctor`.

    A run that returns False skipped its work: the last success and the last error stay.
    """
    tick = function.__name__

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with context().database.transaction() as connection:
            engine.beat(connection, tick, real_now())
        try:
            is_skipped = function(*args, **kwargs) is False
        except Exception as error:
            with suppress(Exception), context().database.transaction() as connection:
                engine.tick_failed(connection, tick, real_now(), held_rows.one_line(error))
            raise
        if is_skipped:
            return
        with context().database.transaction() as connection:
            engine.tick_succeeded(connection, tick, real_now())

    return run


def _batches(ids: Sequence[UUID]) -> list[list[str]]:
    size = settings.batch_size
    texts = [str(item) for item in ids]
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def _waiting(queue: str) -> int:
    with app.connection_for_write() as connection:
        return int(connection.default_channel.client.llen(queue))


def _fill(
    most: int,
    lease: Callable[[Context, int], list[UUID]],
    task: Task,
    end_leases: Callable[[Connection, Sequence[UUID]], None],
) -> None:
    """Enqueue due rows up to the limit of waiting batches; only one tick does so at a time."""
    with context().database.transaction() as connection:
        # A tick that ended instead of waiting would leave newly due rows to the next tick.
        engine.be_alone(connection)
        room = most - _waiting("charges")
        if room > 0:
            leased = lease(context(), room * settings.batch_size)
            _send(_batches(leased), task, lambda left: _end(end_leases, left))


def _send(messages: Sequence[Any], task: Task, give_back: Callable[[list[Any]], None]) -> None:
    """Enqueue messages; leases of messages that could not be sent end immediately."""
    sent = 0
    try:
        for message in messages:
            task.delay(message)
            sent += 1
    except Exception:
        with suppress(Exception):
            give_back(list(messages[sent:]))
        raise


def _end(end_leases: Callable[[Connection, Sequence[UUID]], None], batches: list[Any]) -> None:
    with context().database.transaction() as connection:
        end_leases(connection, [UUID(item) for batch in batches for item in batch])


@app.task(name="ticks.end_subscriptions")  # type: ignore[untyped-decorator]
@ticking
def end_subscriptions() -> None:
    """Cancel, pause and resume subscriptions whose date has come."""
    canceling.cancel_due(context())
    pausing.pause_due(context())
    pausing.resume_due(context())


@app.task(name="ticks.open_periods")  # type: ignore[untyped-decorator]
@ticking
def open_periods(*rest: str) -> None:
    """Open every period that has begun, and enqueue the invoices for charging.

    The first batch, and then each second of work, is followed by a new message for the remaining
    work, behind those already queued, because refunds and admin tasks run in the same process.
    """
    if rest:
        opened = opening_batches.open_for(context(), OPENING_SECONDS, _read(rest))
    else:
        opened = opening_batches.open_first(context())
    if opened.rest is not None:
        due_at, subscription_id = opened.rest.behind
        leased_until = opened.rest.leased_until.isoformat()
        open_periods.delay(due_at.isoformat(), str(subscription_id), leased_until)
    if opened.invoices:
        sweep_charges()


def _read(rest: Sequence[str]) -> opening_batches.Rest:
    due_at, subscription_id, leased_until = rest
    place = (datetime.fromisoformat(due_at), UUID(subscription_id))
    return opening_batches.Rest(place, datetime.fromisoformat(leased_until))


@app.task(name="ticks.sweep_charges")  # type: ignore[untyped-decorator]
@ticking
def sweep_charges() -> None:
    """Enqueue invoices that are due, unless enough batches are waiting already."""
    _fill(BATCHES_WAITING, charging.lease_due, collect, invoices.end_leases)


@app.task(name="ticks.reconcile")  # type: ignore[untyped-decorator]
@ticking
def reconcile() -> None:
    """Enqueue unresolved charges whose status query is due."""
    _fill(QUESTIONS_WAITING, reconciling.lease_due, ask, charges.end_leases)


@app.task(name="ticks.sweep_refunds")  # type: ignore[untyped-decorator]
@ticking
def sweep_refunds() -> None:
    """Enqueue refunds that are due to be sent."""
    due = [str(refund_id) for refund_id in refunding.lease_due(context(), SINGLES_A_TICK)]
    _send(due, send_refund, lambda left: _end(refunds.end_leases, [left]))


@app.task(name="ticks.attend_wallets")  # type: ignore[untyped-decorator]
@ticking
def attend_wallets() -> None:
    """Expire tokens, record expiry notices, enqueue due link polls and unlinks, and erase."""
    linking.expire_due(context(), SINGLES_A_TICK)
    linking.give_notice(context(), SINGLES_A_TICK)
    due = [str(wallet_id) for wallet_id in linking.lease_due(context(), SINGLES_A_TICK)]
    _send(due, attend_wallet, lambda left: _end(wallets.end_leases, [left]))
    erasing.complete_due(context(), SINGLES_A_TICK)


@app.task(name="ticks.announce_charges")  # type: ignore[untyped-decorator]
@ticking
def announce_charges() -> None:
    """Announce the charges of plans with a notice."""
    upcoming.announce_due(context(), NOTICES_A_TICK)


@app.task(name="ticks.deliver_webhooks")  # type: ignore[untyped-decorator]
@ticking
def deliver_webhooks() -> None:
    """Count new events, make their deliveries, and enqueue the endpoints that have due ones."""
    metrics.count_unless_locked(context(), metrics.BATCHES_A_TICK)
    with context().database.transaction() as connection:
        if not webhooks.has_any(connection):
            return
    fanout.fan_out(context())
    fanout.tidy_up(context())
    due = [str(endpoint_id) for endpoint_id in sending.lease_due(context(), SINGLES_A_TICK)]
    _send(due, deliver, lambda left: sending.end_leases(context(), [UUID(item) for item in left]))


@app.task(name="ticks.count_ahead")  # type: ignore[untyped-decorator]
@ticking
def count_ahead() -> bool:
    """Add up the next charges by day and plan, when the last count is old enough."""
    return counting_ahead.count_when_due(context())


@app.task(name="ticks.audit")  # type: ignore[untyped-decorator]
@ticking
def audit() -> None:
    """Check every invariant, the keys and the certificate; an alarm is logged for each finding."""
    upkeep.hourly(context())

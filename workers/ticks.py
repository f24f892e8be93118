"""What beat calls: ask the database what is due, lease it, and enqueue batches of ids.

A tick that fails is logged and forgotten; the next one asks the same question.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from celery import Task

from billing.clock import real_now
from billing.services import (
    auditing,
    charging,
    ending,
    linking,
    opening,
    pausing,
    reconciling,
    refunding,
)
from billing.services.context import Context
from billing.store.queries import engine
from workers.app import app, context
from workers.charges import ask, attend_wallet, collect, send_refund
from workers.settings import settings

log = structlog.get_logger(__name__)

BATCHES_WAITING = 16
"""At most this many batches wait to be collected; the rest stays due, in the database. A worker
that has begun goes on by itself, so that these are for those that have nothing to do."""
QUESTIONS_WAITING = BATCHES_WAITING + 8
"""The same with those that ask: a flood of renewals leaves them room."""
SINGLES_A_TICK = 500
OPENING_SECONDS = 1
"""A refund that is asked for meanwhile waits for the end of such a turn."""


def _beat(tick: str) -> None:
    with context().database.transaction() as connection:
        engine.beat(connection, tick, real_now())


def _batches(ids: Sequence[UUID]) -> list[list[str]]:
    size = settings.batch_size
    texts = [str(item) for item in ids]
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def _waiting(queue: str) -> int:
    with app.connection_for_write() as connection:
        return int(connection.default_channel.client.llen(queue))


def _fill(most: int, lease: Callable[[Context, int], list[UUID]], task: Task) -> None:
    """Enqueue what is due until so many batches wait; one tick at a time, or both would."""
    with context().database.transaction() as connection:
        # Who went away instead of waiting would leave what has just become due to the next tick.
        engine.be_alone(connection)
        room = most - _waiting("charges")
        if room > 0:
            for batch in _batches(lease(context(), room * settings.batch_size)):
                task.delay(batch)


@app.task(name="ticks.end_subscriptions")  # type: ignore[untyped-decorator]
def end_subscriptions() -> None:
    """Cancel, pause and resume subscriptions whose date has come."""
    _beat("end_subscriptions")
    ending.cancel_due(context())
    pausing.pause_due(context())
    pausing.resume_due(context())


@app.task(name="ticks.open_periods")  # type: ignore[untyped-decorator]
def open_periods(*rest: str) -> None:
    """Open every period that has begun, and charge at once what that made due.

    What is left after a second goes on in a message of its own, behind those that wait:
    refunds and admin tasks are done by the same process.
    """
    _beat("open_periods")
    tell = None if rest else sweep_charges
    opened, left = opening.open_for(context(), OPENING_SECONDS, _read(rest), tell)
    if left is not None:
        due_at, subscription_id = left.behind
        open_periods.delay(due_at.isoformat(), str(subscription_id), left.leased_until.isoformat())
    if opened:
        sweep_charges()


def _read(rest: Sequence[str]) -> opening.Rest | None:
    if not rest:
        return None
    due_at, subscription_id, leased_until = rest
    place = (datetime.fromisoformat(due_at), UUID(subscription_id))
    return opening.Rest(place, datetime.fromisoformat(leased_until))


@app.task(name="ticks.sweep_charges")  # type: ignore[untyped-decorator]
def sweep_charges() -> None:
    """Enqueue invoices that are due to be charged, unless enough of them wait already."""
    _beat("sweep_charges")
    _fill(BATCHES_WAITING, charging.lease_due, collect)


@app.task(name="ticks.reconcile")  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Enqueue unresolved charges that are due to be asked about."""
    _beat("reconcile")
    _fill(QUESTIONS_WAITING, reconciling.lease_due, ask)


@app.task(name="ticks.sweep_refunds")  # type: ignore[untyped-decorator]
def sweep_refunds() -> None:
    """Enqueue refunds that are due to be sent."""
    _beat("sweep_refunds")
    for refund_id in refunding.lease_due(context(), SINGLES_A_TICK):
        send_refund.delay(str(refund_id))


@app.task(name="ticks.attend_wallets")  # type: ignore[untyped-decorator]
def attend_wallets() -> None:
    """Expire tokens, tell of those that soon do, and enqueue links and unbinds that are due."""
    _beat("attend_wallets")
    linking.expire_due(context(), SINGLES_A_TICK)
    linking.give_notice(context(), SINGLES_A_TICK)
    for wallet_id in linking.lease_due(context(), SINGLES_A_TICK):
        attend_wallet.delay(str(wallet_id))


@app.task(name="ticks.audit")  # type: ignore[untyped-decorator]
def audit() -> None:
    """Check every invariant, and log loudly what does not hold."""
    _beat("audit")
    for finding in auditing.audit(context()):
        log.error("audit.failed", invariant=finding.name, detail=finding.detail)

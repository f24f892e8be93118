"""Pausing: no period opens for a while; what is owed already stays owed.

A pause begins now or at the end of the running period, and ends by a person's word or on a date.
The anchor does not move, unless going on is to begin a new period at once.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import subscription
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import SCHEDULER, Actor, event
from billing.domain.periods import zone
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from billing.services import isolating, moving
from billing.services.context import Context, Request, once
from billing.store.queries import events, invoices, subscriptions
from billing.store.queries.holding import Kind
from schedules.walltime import local_anchor

BATCH = 200
NOW, PERIOD_END, ANCHOR = "now", "period-end", "anchor"


def pause(
    context: Context,
    subscription_id: UUID,
    by: Actor,
    *,
    at: str = NOW,
    until: datetime | None = None,
    request: Request | None = None,
) -> dict[str, Any]:
    """Pause now or at the end of the running period; `until` is when it goes on by itself.

    Raises NotKnown, IllegalMove (not one that bills) or InvalidValue (a date in the wrong order).
    """
    if at not in {NOW, PERIOD_END}:
        raise InvalidValue(f"--at must be now or period-end, not {at!r}")

    def act(connection: Connection, now: datetime) -> dict[str, Any]:
        row = _locked(connection, subscription_id)
        status = SubscriptionStatus(row["status"])
        subscription.advance(status, SubscriptionMove.PAUSE)
        begins = row["next_due_at"] if at == PERIOD_END else now
        if begins is None:
            raise IllegalMove("its last period has been billed; there is nothing to pause")
        if until is not None and until <= max(begins, now):
            raise InvalidValue(f"it cannot go on at {until.isoformat()}, before the pause begins")
        if begins <= now:
            moving.move(connection, subscription_id, SubscriptionMove.PAUSE, now, by)
            subscriptions.change(connection, subscription_id, resume_at=until)
            return {"id": str(subscription_id), "status": SubscriptionStatus.PAUSED.value}
        subscriptions.change(connection, subscription_id, pause_at=begins, resume_at=until)
        _tell(connection, row, "subscription.pause_scheduled", now, by, pause_at=begins.isoformat())
        return {"id": str(subscription_id), "status": status.value, "pause_at": begins.isoformat()}

    return once(context, request, act)


def resume(
    context: Context,
    subscription_id: UUID,
    by: Actor,
    *,
    start: str = ANCHOR,
    request: Request | None = None,
) -> dict[str, Any]:
    """Go on with the next anchored period, or with a new one that begins now.

    A pause that has only been scheduled is withdrawn. Raises NotKnown, or IllegalMove when there
    is nothing to go on with.
    """
    if start not in {ANCHOR, NOW}:
        raise InvalidValue(f"--from must be anchor or now, not {start!r}")

    def act(connection: Connection, now: datetime) -> dict[str, Any]:
        row = _locked(connection, subscription_id)
        if row["pause_at"] is not None and row["status"] != SubscriptionStatus.PAUSED:
            subscriptions.change(connection, subscription_id, pause_at=None, resume_at=None)
            _tell(connection, row, "subscription.pause_withdrawn", now, by)
            return {"id": str(subscription_id), "status": row["status"]}
        return {"id": str(subscription_id), "status": _go_on(connection, row, now, by, start)}

    return once(context, request, act)


def pause_due(context: Context) -> int:
    """Begin every pause whose date has come, and return how many."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        due = subscriptions.due_to_pause(connection, now, BATCH)

    def pause_one(subscription_id: UUID) -> None:
        with context.database.transaction() as connection:
            row = _locked(connection, subscription_id)
            if row["pause_at"] is None or row["pause_at"] > now:
                return
            status = SubscriptionStatus(row["status"])
            if SubscriptionMove.PAUSE in subscription.TRANSITIONS[status]:
                moving.move(connection, subscription_id, SubscriptionMove.PAUSE, now)
            else:
                subscriptions.change(connection, subscription_id, pause_at=None, resume_at=None)

    isolating.each(context, Kind.SUBSCRIPTION, due, pause_one)
    return len(due)


def resume_due(context: Context) -> int:
    """Let every paused subscription go on whose date has come, and return how many."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        due = subscriptions.due_to_resume(connection, now, BATCH)

    def resume_one(subscription_id: UUID) -> None:
        with context.database.transaction() as connection:
            row = _locked(connection, subscription_id)
            paused = row["status"] == SubscriptionStatus.PAUSED
            if paused and row["resume_at"] is not None and row["resume_at"] <= now:
                _go_on(connection, row, now, SCHEDULER, ANCHOR)

    isolating.each(context, Kind.SUBSCRIPTION, due, resume_one)
    return len(due)


def _locked(connection: Connection, subscription_id: UUID) -> Mapping[Any, Any]:
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        raise NotKnown(f"no subscription has the id {subscription_id}")
    return row


def _go_on(
    connection: Connection, row: Mapping[Any, Any], now: datetime, by: Actor, start: str
) -> str:
    moving.move(connection, row["id"], SubscriptionMove.RESUME, now, by)
    fresh = _locked(connection, row["id"])
    if start == NOW and fresh["next_due_at"] is not None:
        _begin_now(connection, fresh, now)
    owed = invoices.open_of(connection, row["id"])
    if any(invoice["first_failed_at"] is not None for invoice in owed):
        moving.move(connection, row["id"], SubscriptionMove.FALL_BEHIND, now, by)
    elif fresh["next_due_at"] is None and not owed:
        moving.move(connection, row["id"], SubscriptionMove.COMPLETE, now, by)
    return str(_locked(connection, row["id"])["status"])


def _begin_now(connection: Connection, row: Mapping[Any, Any], now: datetime) -> None:
    """The next period begins at this instant, which becomes the anchor of those to come."""
    if row["cron"] is not None:
        raise InvalidValue("a plan with a cron expression has its own dates; use --from anchor")
    running = invoices.current_of(connection, row["id"], now)
    if running is not None and running["period_start"] >= now.replace(microsecond=0):
        return  # it has just begun: a second one at the same instant would bill it twice
    index = row["next_period_index"]
    invoices.cut_short(connection, row["id"], now)
    subscriptions.change(
        connection,
        row["id"],
        anchor_local=local_anchor(now, zone(row["timezone"])),
        anchor_index=index,
        next_period_index=index,
        next_due_at=now.replace(microsecond=0),
    )


def _tell(
    connection: Connection, row: Mapping[Any, Any], kind: str, now: datetime, by: Actor, **data: Any
) -> None:
    told = event(
        kind, at=now, by=by, customer_id=row["customer_id"], subscription_id=row["id"], **data
    )
    events.record(connection, [told])

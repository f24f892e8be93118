"""Intents: the only place that writes what is planned for a subscription.

The caller holds the subscription's lock. The table in `billing.domain.intents` decides about each
intent; this module writes the result, with its events.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import Connection

from billing.domain import intents
from billing.domain.errors import IllegalMove
from billing.domain.events import SCHEDULER, Actor, NewEvent, event
from billing.domain.instants import spoken
from billing.domain.intents import Action, Meeting, Place
from billing.domain.payloads import Json
from billing.domain.periods import (
    change_is_late,
    changed_end,
    following_place,
    next_period,
    same_schedule,
)
from billing.domain.subscription import RefundPolicy, SubscriptionStatus
from billing.domain.terms import Carried
from billing.store.queries import catalog, events, subscriptions
from billing.store.queries.catalog import Plan
from billing.store.queries.subscription_rows import Subscription

_RETURNS = intents.PAIRING - {Action.CHANGE_PLANNED, Action.CANCEL_PLANNED}
"""These actions move pending intents; a new intent is compared with the others once it exists."""


def meet(
    connection: Connection,
    row: Subscription,
    action: Action,
    now: datetime,
    by: Actor = SCHEDULER,
    *,
    at: datetime | None = None,
    starts: Place | None = None,
    carried: Callable[[], Carried | None] | None = None,
    but: Iterable[intents.Intent] = (),
) -> None:
    """Apply the table of intents to an action, and write what happens to each intent.

    `starts` is where the next period begins after the action. `but` names intents for which the
    caller records the event itself. Raises IllegalMove where the tables refuse.
    """
    planned = intents.pending(row)
    if not planned:
        return
    ends = _ends(connection, row, action, starts) if starts is not None else None
    meeting = intents.meet(row, action, at=at, starts=starts, ends=ends, carried=carried)
    quiet = {f"subscription.{intents.NOUNS[intent]}_dropped" for intent in but}
    _write(connection, row, meeting, now, by, quiet)
    if action in _RETURNS:
        _pair(connection, row._replace(**meeting.columns), action, now, by)


def _ends(connection: Connection, row: Subscription, action: Action, starts: Place) -> Place:
    """Return the end of the period that begins at `starts`, by the calendar in force then."""
    change_at = None if intents.is_moot(row) else row.change_at
    moved = intents.TABLE[action][intents.Intent.CHANGE].verdict is intents.Verdict.MOVE
    if change_at is not None and (moved or change_at <= starts.at):
        return changed_end(row, _next_plan(connection, row), starts)
    return following_place(row, starts)


def _next_plan(connection: Connection, row: Subscription) -> Plan:
    assert row.next_plan_code is not None  # noqa: S101 - a CHECK holds it beside the date
    plan = catalog.plan(connection, row.next_plan_code)
    assert plan is not None  # noqa: S101 - plans are never deleted
    return plan


def _pair(
    connection: Connection, row: Subscription, action: Action, now: datetime, by: Actor
) -> None:
    """Decide about a cancellation planned beside a change; `row` is as after the action."""
    if row.change_at is None or row.cancel_at is None or intents.is_moot(row):
        return
    plan = _next_plan(connection, row)
    if same_schedule(row, plan):
        return
    due = row.next_due_at
    coming = next_period(row, now) if due is None else Place(row.next_period_index, due)
    planned = Place(row.change_period or coming.period, row.change_at)
    start = max(planned, coming, key=lambda each: each.at)
    meeting = intents.beside(row, action, (start, changed_end(row, plan, start)))
    _write(connection, row, meeting, now, by, set())


def _write(
    connection: Connection,
    row: Subscription,
    meeting: Meeting,
    now: datetime,
    by: Actor,
    quiet: set[str],
) -> None:
    if meeting.columns:
        subscriptions.change(connection, row.id, **meeting.columns)
    tell(connection, row, now, by, [fact for fact in meeting.facts if fact[0] not in quiet])


def tell(
    connection: Connection,
    row: Subscription,
    now: datetime,
    by: Actor,
    facts: Iterable[NewEvent],
) -> None:
    """Record events about a subscription."""
    events.record(
        connection,
        [
            event(
                kind, at=now, by=by, customer_id=row.customer_id, subscription_id=row.id,
                data=data,
            )
            for kind, data in facts
        ],
    )  # fmt: skip


def check_nothing_is_late(row: Subscription, now: datetime) -> None:
    """Refuse while an intent is overdue: it is applied first, as of its own date.

    A held subscription must be released first. Raises IllegalMove.
    """
    then, hint = "which is being done; try again in a moment", "or see: billing attention"
    if row.held_at is not None:
        then, hint = "and is held", f"first: billing release subscription {row.id}"
    paused = row.status is SubscriptionStatus.PAUSED
    planned = (
        (row.cancel_at, "cancel"),
        (row.pause_at, "pause"),
        (row.resume_at if paused else None, "resume"),
        (row.change_at if change_is_late(row, now) else None, "change"),
    )
    for at, what in planned:
        if at is None or at > now:
            continue
        said = f"subscription {row.id} is to {what} as of {spoken(at)}, {then}"
        raise IllegalMove(said, hint=hint)


def plan_cancel(
    connection: Connection,
    row: Subscription,
    place: tuple[int | None, datetime],
    policy: RefundPolicy,
    now: datetime,
    by: Actor,
    *,
    unlink: bool,
) -> None:
    """Plan a cancellation for a period's end or for a date."""
    period, at = place
    meet(connection, row, Action.CANCEL_PLANNED, now, by, at=at)
    subscriptions.change(
        connection, row.id, cancel_at=at, cancel_period=period, cancel_refund=policy,
        cancel_unlink=unlink, reason=by.reason,
    )  # fmt: skip
    after = row._replace(cancel_at=at, cancel_period=period)
    _pair(connection, after, Action.CANCEL_PLANNED, now, by)
    data = {"cancel_at": at.isoformat()}
    tell(connection, row, now, by, [("subscription.cancel_scheduled", data)])


def withdraw_cancel(connection: Connection, row: Subscription, now: datetime, by: Actor) -> None:
    """Withdraw a planned cancellation."""
    but = (intents.Intent.CANCEL,)
    meet(connection, row, Action.CANCEL_WITHDRAWN, now, by, but=but)
    subscriptions.change(connection, row.id, reason=None)
    tell(connection, row, now, by, [("subscription.cancel_withdrawn", {})])


def plan_pause(
    connection: Connection,
    row: Subscription,
    place: tuple[int | None, datetime],
    until: datetime | None,
    now: datetime,
    by: Actor,
) -> None:
    """Plan a pause, and optionally the date of its end. Raises IllegalMove."""
    period, at = place
    meet(connection, row, Action.PAUSE_PLANNED, now, by, at=at)
    subscriptions.change(
        connection, row.id, pause_at=at, pause_period=period, resume_at=until
    )  # fmt: skip
    data = {"pause_at": at.isoformat()}
    if until is not None:
        data["resume_at"] = until.isoformat()
    tell(connection, row, now, by, [("subscription.pause_scheduled", data)])


def withdraw_pause(connection: Connection, row: Subscription, now: datetime, by: Actor) -> None:
    """Withdraw a planned pause."""
    but = (intents.Intent.PAUSE, intents.Intent.RESUME)
    meet(connection, row, Action.PAUSE_WITHDRAWN, now, by, but=but)
    tell(connection, row, now, by, [("subscription.pause_withdrawn", {})])


def plan_resume(connection: Connection, row: Subscription, until: datetime | None) -> None:
    """Set the date on which a pause that has just begun ends."""
    if until is not None:
        subscriptions.change(connection, row.id, resume_at=until)


def plan_change(
    connection: Connection,
    row: Subscription,
    place: Place,
    wanted: Carried,
    now: datetime,
    by: Actor,
) -> None:
    """Plan a change; `wanted` has the terms. Raises IllegalMove."""
    meet(connection, row, Action.CHANGE_PLANNED, now, by, at=place.at)
    subscriptions.change(
        connection, row.id, change_at=place.at, change_period=place.period,
        next_plan_code=wanted.plan_code, next_quantity=wanted.quantity,
        next_amount=wanted.amount,
    )  # fmt: skip
    after = row._replace(
        change_at=place.at, change_period=place.period, next_plan_code=wanted.plan_code
    )
    _pair(connection, after, Action.CHANGE_PLANNED, now, by)
    data = {"change_at": place.at.isoformat(), **terms_data(wanted)}
    tell(connection, row, now, by, [("subscription.change_planned", data)])


def terms_data(terms: Carried) -> Json:
    """Return the terms of a change as events have them."""
    return {"plan": terms.plan_code, "quantity": terms.quantity, "amount": terms.amount}


def withdraw_change(connection: Connection, row: Subscription, now: datetime, by: Actor) -> None:
    """Withdraw a planned change."""
    meet(connection, row, Action.CHANGE_WITHDRAWN, now, by, but=(intents.Intent.CHANGE,))
    tell(connection, row, now, by, [("subscription.change_withdrawn", {})])

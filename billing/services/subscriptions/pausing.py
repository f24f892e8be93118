"""Pausing: open no period for a time; open invoices stay owed.

A pause begins now or at the end of the current period, and ends by a command or on a date.
The anchor does not move, unless resuming begins a new period at once; then the unused days
of the current one become credit. A pause in a trial keeps the remaining trial days.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import machine, subscription
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import SCHEDULER, Actor
from billing.domain.instants import spoken
from billing.domain.intents import Action
from billing.domain.invoice import InvoiceStatus
from billing.domain.payloads import Json
from billing.domain.periods import next_period
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from billing.services.context import Context, Request, once
from billing.services.operating import held_rows
from billing.services.subscriptions import intents, proration, transitions
from billing.store.queries import invoices, subscriptions
from billing.store.queries.holding import Kind
from billing.store.queries.subscription_rows import Subscription

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
) -> Json:
    """Pause now or at the end of the current period; `until` is when it resumes automatically.

    Raises NotKnown, IllegalMove (not in a state that bills) or InvalidValue (dates in the wrong
    order).
    """
    if at not in {NOW, PERIOD_END}:
        raise InvalidValue(f"at must be now or period-end, not {at!r}", field="at")

    def act(connection: Connection, now: datetime) -> Json:
        row = _locked(connection, subscription_id)
        now = invoices.not_before_period(connection, subscription_id, now)
        status = row.status
        _check(row, SubscriptionMove.PAUSE)
        intents.check_nothing_is_late(row, now)
        place = _begins(row, at, now)
        begins = place[1]
        if until is not None and until <= max(begins, now):
            raise InvalidValue(
                f"it cannot resume at {spoken(until)}, before the pause begins", field="resume_at"
            )
        # A period that has begun and is not opened yet is opened first, because it is owed.
        if begins <= now and not (row.next_due_at is not None and row.next_due_at < now):
            transitions.move(connection, subscription_id, SubscriptionMove.PAUSE, now, by)
            intents.plan_resume(connection, row, until)
            return {"id": str(subscription_id), "status": SubscriptionStatus.PAUSED.value}
        intents.plan_pause(connection, row, place, until, now, by)
        return {"id": str(subscription_id), "status": status.value, "pause_at": begins.isoformat()}

    return once(context, request, act)


def _begins(row: Subscription, at: str, now: datetime) -> tuple[int | None, datetime]:
    """Return when a pause begins, and with which period if it waits for one."""
    if at == NOW:
        return None, now
    if row.next_due_at is None:
        raise IllegalMove("its last period has been billed; there is nothing to pause")
    return next_period(row, now)


def resume(
    context: Context,
    subscription_id: UUID,
    by: Actor,
    *,
    start: str = ANCHOR,
    request: Request | None = None,
) -> Json:
    """Resume with the next anchored period, or with a new one that begins now.

    A planned pause is withdrawn. Raises NotKnown, or IllegalMove when there
    is nothing to resume.
    """
    if start not in {ANCHOR, NOW}:
        raise InvalidValue(
            f"start must be anchor or now, not {start!r}", field="start", hint="use --from"
        )

    def act(connection: Connection, now: datetime) -> Json:
        row = _locked(connection, subscription_id)
        now = invoices.not_before_period(connection, subscription_id, now)
        intents.check_nothing_is_late(row, now)
        if row.pause_at is not None and row.status is not SubscriptionStatus.PAUSED:
            intents.withdraw_pause(connection, row, now, by)
            return {"id": str(subscription_id), "status": row.status}
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
            may = SubscriptionMove.PAUSE in subscription.TRANSITIONS[row.status]
            if not may or row.pause_at is None or row.pause_at > now:
                return
            begun = row.pause_at
            transitions.move(
                connection, subscription_id, SubscriptionMove.PAUSE, now,
                action=Action.PAUSE_DUE, at=begun,
            )  # fmt: skip

    held_rows.each(context, Kind.SUBSCRIPTION, due, pause_one)
    return len(due)


def resume_due(context: Context) -> int:
    """Resume every paused subscription whose date has come, and return how many."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        due = subscriptions.due_to_resume(connection, now, BATCH)

    def resume_one(subscription_id: UUID) -> None:
        with context.database.transaction() as connection:
            row = _locked(connection, subscription_id)
            paused = row.status is SubscriptionStatus.PAUSED
            if paused and row.resume_at is not None and row.resume_at <= now:
                _go_on(connection, row, now, SCHEDULER, ANCHOR, as_of=row.resume_at)

    held_rows.each(context, Kind.SUBSCRIPTION, due, resume_one)
    return len(due)


def _locked(connection: Connection, subscription_id: UUID) -> Subscription:
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        raise NotKnown(f"no subscription has the id {subscription_id}")
    return row


def _check(row: Subscription, move: SubscriptionMove) -> None:
    """Raise IllegalMove when the status does not allow a pause, or a resume."""
    what, status = f"subscription {row.id}", SubscriptionStatus(row.status)
    machine.check(subscription.TRANSITIONS, what, status, move)


def _go_on(
    connection: Connection,
    row: Subscription,
    now: datetime,
    by: Actor,
    start: str,
    *,
    as_of: datetime | None = None,
) -> str:
    """Resume now, or as of the planned date."""
    trial = row.trial_left_seconds is not None
    _check(row, SubscriptionMove.RESUME)
    from_now = start == NOW and not trial and _may_begin_now(connection, row, now)
    action = Action.RESUME_DUE if as_of is not None else Action.RESUME
    if from_now:
        action = Action.RESUME_FROM_NOW
        proration.cut(connection, row, now, by, "resumed with a new period")
    transitions.move(
        connection, row.id,
        SubscriptionMove.RESUME_TRIAL if trial else SubscriptionMove.RESUME,
        now, by, action=action, at=as_of, from_now=from_now,
    )  # fmt: skip
    owed = invoices.open_of(connection, row.id)
    fresh = _locked(connection, row.id)
    if any(invoice.first_failed_at is not None for invoice in owed):
        transitions.move(connection, row.id, SubscriptionMove.FALL_BEHIND, now, by)
    elif fresh.next_due_at is None and not owed:
        transitions.move(connection, row.id, SubscriptionMove.COMPLETE, now, by, at=as_of)
    return _locked(connection, row.id).status


def _may_begin_now(connection: Connection, row: Subscription, now: datetime) -> bool:
    """Whether a new period may begin now; not right after one has begun.

    Raises InvalidValue (a cron plan has fixed dates) or IllegalMove (the current period is not
    paid, or was paid to another system).
    """
    if row.cron is not None:
        raise InvalidValue(
            "a plan with a cron expression has its own dates; resume on the original schedule",
            field="start", hint="--from anchor",
        )  # fmt: skip
    running = invoices.current_of(connection, row.id, now)
    if running is None:
        paid_until = row.start_at if row.first_paid_at is not None else None
        if paid_until is not None and paid_until > now:
            # Imported: no invoice of ours paid for the unused days.
            raise IllegalMove(
                f"the period that runs until {spoken(paid_until)} was paid before the import,"
                " and its days cannot be credited; resume on the original schedule",
                hint="--from anchor",
            )
        return True
    if running.period_start >= now.replace(microsecond=0):
        return False  # a second period at this instant would charge twice
    of_it = invoices.of_period(connection, row.id, running.period_index)
    if any(each.invoice.status is InvoiceStatus.OPEN for each in of_it):
        raise IllegalMove(
            f"the period that runs until {spoken(running.period_end)} is not paid yet; pay"
            " or void its invoice first, or resume on the original schedule",
            hint="--from anchor",
        )
    return True

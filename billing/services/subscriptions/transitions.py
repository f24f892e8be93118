"""Transitions: apply a subscription's step, and close its invoices and wallets.

The caller holds the subscription's lock.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import pricing, segments, subscription
from billing.domain.dunning import Cap
from billing.domain.events import SCHEDULER, Actor, NewEvent, event
from billing.domain.intents import Action
from billing.domain.invoice import InvoiceStatus
from billing.domain.payloads import Json
from billing.domain.periods import Return, begun_from_now, dates_of, resumed
from billing.domain.subscription import (
    Skipped,
    SubscriptionMove,
    SubscriptionStatus,
)
from billing.domain.terms import is_last_cycle
from billing.services.collecting import opening, unsent_checks
from billing.services.subscriptions import intents
from billing.store.queries import balances, events, invoices, subscriptions, wallets
from billing.store.queries.invoice_rows import Invoice
from billing.store.queries.subscription_rows import Changes, Standing, Subscription


def lose_wallet(connection: Connection, wallet_id: UUID, now: datetime, reason: str) -> None:
    """Close a wallet that can no longer be charged; the customer has to link again."""
    for wallet in wallets.expire(connection, [wallet_id], now, reason):
        fact = event(
            "wallet.link_needed", at=now, customer_id=wallet.customer_id,
            wallet=str(wallet.id), why=reason,
        )  # fmt: skip
        events.record(connection, [fact])


def move(
    connection: Connection,
    subscription_id: UUID,
    step: SubscriptionMove,
    now: datetime,
    by: Actor = SCHEDULER,
    *,
    action: Action | None = None,
    at: datetime | None = None,
    from_now: bool = False,
) -> None:
    """Move a subscription, whose lock the caller holds, and its schedule with it.

    `at` is the instant as of which it moves, if not now; `action` is looked up in the table of
    intents, if the step alone does not determine it. With `from_now`, the next period begins at
    that instant, which becomes the anchor.
    """
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        return
    at = at or now
    before = row.status
    after = subscription.advance(before, step)
    new, values, starts = row.standing._replace(status=after), Changes(), None
    if after in subscription.ENDED:
        new, values = _ended(connection, row, new, at, now, by)
    elif after not in subscription.OPENING:
        new = _stopped(connection, row, new, at, now, by)
    elif before not in subscription.OPENING:
        returned = begun_from_now(row, at) if from_now else resumed(row, at)
        starts = returned.place
        new, values = _going_on(connection, row, new, returned, now, by)
    met = _as_it_will_stand(row, new, values)
    intents.meet(connection, met, action or _MET[step], now, by, at=at, starts=starts)
    subscriptions.move(connection, [new])
    if values:
        subscriptions.change(connection, subscription_id, **values)
    if after in subscription.ENDED and row.cancel_unlink:
        _unlink_if_last(connection, row.customer_id, now)
    as_of = {} if at == now else {"effective_at": at.isoformat()}
    data: Json = {"before": before, "after": after, **as_of}
    intents.tell(connection, row, now, by, [(f"subscription.{_PAST[step]}", data)])
    over = step is SubscriptionMove.RECOVER and new.next_due_at is None
    if over and not invoices.open_of(connection, subscription_id):
        move(connection, subscription_id, SubscriptionMove.COMPLETE, now, by)


def _ended(
    connection: Connection, row: Subscription, new: Standing, at: datetime, now: datetime, by: Actor
) -> tuple[Standing, Changes]:
    """Return the columns that an end as of `at` writes."""
    index = _left_unopened(connection, row, at, now, by, Skipped.CANCELED)
    new = new._replace(
        ended_at=at, next_due_at=None, trial_left_seconds=None, next_period_index=index
    )
    values = Changes()
    if row.held_at is not None:
        values = {"held_at": None, "held_why": None}
    if _never_billed(connection, row, now, by):
        values["extras"] = []
    return new, values


def _stopped(
    connection: Connection, row: Subscription, new: Standing, at: datetime, now: datetime, by: Actor
) -> Standing:
    """Return the status and columns of a subscription that opens no period from `at` on."""
    new = new._replace(next_due_at=None)
    if row.status is SubscriptionStatus.TRIALING:
        assert row.next_due_at is not None  # noqa: S101 - a trial ends with its first period
        left = row.next_due_at - at
        return new._replace(trial_left_seconds=max(int(left.total_seconds()), 0))
    index = _left_unopened(connection, row, at, now, by, Skipped.HELD)
    return new._replace(next_period_index=index)


def _as_it_will_stand(row: Subscription, new: Standing, values: Changes) -> Subscription:
    """Return a subscription as it is after a step, for the check of its planned intents."""
    return row._replace(
        status=new.status,
        next_period_index=new.next_period_index,
        next_due_at=new.next_due_at,
        trial_left_seconds=new.trial_left_seconds,
        ended_at=new.ended_at,
        anchor_local=values.get("anchor_local", row.anchor_local),
        anchor_index=values.get("anchor_index", row.anchor_index),
    )


def _left_unopened(
    connection: Connection,
    row: Subscription,
    at: datetime,
    now: datetime,
    by: Actor,
    why: Skipped,
) -> int:
    """Record the periods that began before `at` and were not opened; they are not owed.

    Return the index of the first period after them.
    """
    due, first = row.next_due_at, row.next_period_index
    if due is None or due >= at:
        return first
    row = opening.as_changed(connection, row, at)
    dates = dates_of(row)
    last = dates.index_at(at)
    last += row.anchor_index - (dates.due(last) == at)
    last = last if row.cycles is None else min(last, row.cycles - 1)
    if last < first:
        return first
    _skip(connection, row, (first, last), why, now, by)
    return last + 1


def _never_billed(connection: Connection, row: Subscription, now: datetime, by: Actor) -> bool:
    """Record extra lines that are dropped because no further invoice comes, if there are any."""
    why = "no further invoice comes"
    facts: list[NewEvent] = [
        ("subscription.extra_dropped", {"why": why, **extra._asdict()})
        for extra in pricing.extras(row.extras)
    ]
    intents.tell(connection, row, now, by, facts)
    return bool(facts)


def _going_on(
    connection: Connection, row: Subscription, new: Standing, returned: Return, now: datetime,
    by: Actor,
) -> tuple[Standing, Changes]:  # fmt: skip
    """Return the columns that a resume writes; record the reason of the skipped periods."""
    first = row.next_period_index
    if returned.next_index > first:
        unpaid = row.status is SubscriptionStatus.UNPAID
        why = Skipped.UNPAID if unpaid else Skipped.PAUSED
        _skip(connection, row, (first, returned.next_index - 1), why, now, by)
    new = new._replace(
        next_period_index=returned.next_index,
        next_due_at=None if returned.place is None else returned.place.at,
        trial_left_seconds=None,
    )
    if returned.anchor_local is None:
        return new, Changes()
    return new, {"anchor_local": returned.anchor_local, "anchor_index": returned.next_index}


def _skip(
    connection: Connection,
    row: Subscription,
    periods: tuple[int, int],
    why: Skipped,
    now: datetime,
    by: Actor,
) -> None:
    first, last = periods
    data = {"first": first, "last": last, "why": why}
    intents.tell(connection, row, now, by, [("period.skipped", data)])


def _unlink_if_last(connection: Connection, customer_id: str, now: datetime) -> None:
    """Unlink the wallet if that was requested for a later cancellation."""
    others = subscriptions.live_of(connection, customer_id)
    if not others and wallets.request_unlink(connection, customer_id, now):
        asked = event("wallet.unlink_requested", at=now, customer_id=customer_id)
        events.record(connection, [asked])


_PAST = {
    SubscriptionMove.ACTIVATE: "activated",
    SubscriptionMove.START_TRIAL: "trial_started",
    SubscriptionMove.FALL_BEHIND: "fell_behind",
    SubscriptionMove.RECOVER: "recovered",
    SubscriptionMove.PAUSE: "paused",
    SubscriptionMove.RESUME: "resumed",
    SubscriptionMove.RESUME_TRIAL: "resumed",
    SubscriptionMove.MARK_UNPAID: "marked_unpaid",
    SubscriptionMove.CANCEL: "canceled",
    SubscriptionMove.COMPLETE: "completed",
}
_MET = {
    SubscriptionMove.ACTIVATE: Action.END_TRIAL,
    SubscriptionMove.START_TRIAL: Action.END_TRIAL,
    SubscriptionMove.FALL_BEHIND: Action.FALL_BEHIND,
    SubscriptionMove.RECOVER: Action.RECOVER,
    SubscriptionMove.PAUSE: Action.PAUSE_NOW,
    SubscriptionMove.RESUME: Action.RESUME,
    SubscriptionMove.RESUME_TRIAL: Action.RESUME,
    SubscriptionMove.MARK_UNPAID: Action.GIVE_UP_UNPAID,
    SubscriptionMove.CANCEL: Action.CANCEL_NOW,
    SubscriptionMove.COMPLETE: Action.COMPLETE,
}


def _fall_back(connection: Connection, rows: Sequence[Invoice]) -> None:
    """Restore the current period's price from before invoices that are void now."""
    for row in sorted(rows, key=lambda row: (row.period_index, -row.change_index)):
        owner = subscriptions.lock_one(connection, row.subscription_id)
        newest = invoices.is_newest(connection, row)
        if owner is not None and newest and owner.period_amount is not None:
            price = segments.price_before(row, owner.period_amount)
            subscriptions.change(connection, owner.id, period_amount=price)


def owes_no_more(connection: Connection, row: Subscription, by: Actor, now: datetime) -> None:
    """Move a subscription whose last open invoice was closed without payment."""
    status = row.status
    if status not in {SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE}:
        return
    if is_last_cycle(row.cycles, row.next_period_index):
        move(connection, row.id, SubscriptionMove.COMPLETE, now, by)
    elif status is SubscriptionStatus.PAST_DUE:
        move(connection, row.id, SubscriptionMove.RECOVER, now, by)


def close_all(
    connection: Connection,
    rows: Sequence[Invoice],
    status: InvoiceStatus,
    reason: str,
    by: Actor,
    now: datetime,
    cap: Cap | None = None,
) -> None:
    """Close invoices that will not be paid; `cap` is the dunning cap that was reached, if any.

    Credit that a void invoice used is returned. A charge that may
    have been sent is queried.
    """
    ids = [row.id for row in rows]
    invoices.close(connection, ids, status, now, reason)
    unsent_checks.ask_about(connection, ids, now)
    if status is InvoiceStatus.VOID:
        if any(row.credited for row in rows):
            balances.put_back(connection, ids)
        _fall_back(connection, rows)
    data: Json = {"cap": cap} if cap else {}
    kind = "invoice.voided" if status is InvoiceStatus.VOID else "invoice.uncollectible"
    events.record(
        connection,
        [
            event(
                kind, at=now, by=by, customer_id=row.customer_id,
                subscription_id=row.subscription_id, invoice_id=row.id,
                amount=row.amount, why=reason, data=data,
            )
            for row in rows
        ],
    )  # fmt: skip

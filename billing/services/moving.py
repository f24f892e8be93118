"""Moving: what a subscription's step brings with it, and the end of invoices and wallets.

The caller holds the subscription's lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import subscription
from billing.domain.dunning import Cap
from billing.domain.events import SCHEDULER, Actor, event
from billing.domain.invoice import InvoiceStatus
from billing.domain.periods import NO_CHANGE, next_start
from billing.domain.subscription import OnExhausted, SubscriptionMove, SubscriptionStatus
from billing.store.queries import balances, events, invoices, subscriptions, wallets


def lose_wallet(connection: Connection, wallet_id: UUID, now: datetime, reason: str) -> None:
    """A wallet that can no longer be charged: expired, and the customer has to link anew."""
    for wallet in wallets.expire(connection, [wallet_id], now, reason):
        fact = event(
            "wallet.link_needed", at=now, customer_id=wallet["customer_id"],
            wallet=str(wallet["id"]), why=reason,
        )  # fmt: skip
        events.record(connection, [fact])


def move(
    connection: Connection,
    subscription_id: UUID,
    step: SubscriptionMove,
    now: datetime,
    by: Actor = SCHEDULER,
) -> None:
    """Move a subscription, whose lock the caller holds, and its schedule with it."""
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        return
    before = SubscriptionStatus(row["status"])
    after = subscription.advance(before, step)
    values: dict[str, Any] = {"status": after}
    facts: dict[str, Any] = {"before": before, "after": after}
    if after in subscription.ENDED:
        values |= {"ended_at": now, "next_due_at": None, "pause_at": None, "resume_at": None}
        values |= NO_CHANGE
    elif after not in subscription.OPENING:
        values |= {"next_due_at": None, "pause_at": None}
    elif before not in subscription.OPENING:
        values |= _schedule_again(connection, row, now, by)
    subscriptions.change(connection, subscription_id, **values)
    if after in subscription.ENDED and row["cancel_unbind"]:
        _unbind_if_last(connection, row["customer_id"], now)
    told = event(
        f"subscription.{_TOLD[step]}", at=now, by=by, customer_id=row["customer_id"],
        subscription_id=subscription_id, **facts,
    )  # fmt: skip
    events.record(connection, [told])
    over = step is SubscriptionMove.RECOVER and values.get("next_due_at", now) is None
    if over and not invoices.open_of(connection, subscription_id):
        move(connection, subscription_id, SubscriptionMove.COMPLETE, now, by)


def _schedule_again(
    connection: Connection, row: Mapping[Any, Any], now: datetime, by: Actor
) -> dict[str, Any]:
    """Go on with the next anchored period; those that went by are skipped, on record."""
    index, start = next_start(row, row["anchor_local"], now)
    index += row["anchor_index"]
    cycles, skipped = row["cycles"], row["next_period_index"]
    if cycles is not None and index >= cycles:
        index, due = max(cycles, skipped), None
    else:
        index, due = max(index, skipped), start
    if index > skipped:
        about = {"customer_id": row["customer_id"], "subscription_id": row["id"]}
        told = event("period.skipped", at=now, by=by, **about, first=skipped, last=index - 1)
        events.record(connection, [told])
    return {"next_period_index": index, "next_due_at": due, "resume_at": None}


def _unbind_if_last(connection: Connection, customer_id: str, now: datetime) -> None:
    """What was to be unbound at a later end is unbound at an earlier one, too."""
    others = subscriptions.live_of(connection, customer_id)
    if not others and wallets.want_unbind(connection, customer_id, now):
        asked = event("wallet.unbind_requested", at=now, customer_id=customer_id)
        events.record(connection, [asked])


_TOLD = {
    SubscriptionMove.ACTIVATE: "activated",
    SubscriptionMove.START_TRIAL: "trial_started",
    SubscriptionMove.FALL_BEHIND: "fell_behind",
    SubscriptionMove.RECOVER: "recovered",
    SubscriptionMove.PAUSE: "paused",
    SubscriptionMove.RESUME: "resumed",
    SubscriptionMove.MARK_UNPAID: "marked_unpaid",
    SubscriptionMove.CANCEL: "canceled",
    SubscriptionMove.COMPLETE: "completed",
}
_FINAL_MOVES = {
    OnExhausted.CANCEL: SubscriptionMove.CANCEL,
    OnExhausted.UNPAID: SubscriptionMove.MARK_UNPAID,
    OnExhausted.PAUSE: SubscriptionMove.PAUSE,
}


_GAVE_UP = {
    Cap.RETRIES: "no retry is left",
    Cap.DECLINES: "the most declines were met",
    Cap.ATTEMPTS: "the most attempts were made",
    Cap.DAYS: "the most days have gone by",
}


def give_up(
    connection: Connection,
    subscription_id: UUID,
    now: datetime,
    cap: Cap | None,
    why: str = "it will never be paid",
) -> None:
    """End dunning: every open invoice is uncollectible, and the plan's final action follows.

    `cap` is what dunning met; without one, `why` says what else ended it. An invoice that a
    person had tried once more is given up alone: the final action was taken the first time.
    """
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        return
    given_up = invoices.open_of(connection, subscription_id)
    reason = f"dunning gave up: {_GAVE_UP[cap] if cap else why}"
    # Only the oldest is ever charged, so that it is the one that failed.
    if given_up and given_up[0]["reopened_at"] is not None:
        why = "given up again: a person's try was not paid"
        close_all(connection, given_up[:1], InvoiceStatus.UNCOLLECTIBLE, why, SCHEDULER, now)
        invoices.release_oldest(connection, [subscription_id], now)
        return
    close_all(connection, given_up, InvoiceStatus.UNCOLLECTIBLE, reason, SCHEDULER, now, cap)
    step = _FINAL_MOVES[OnExhausted(row["on_exhausted"])]
    if row["cycles"] is not None and row["next_period_index"] >= row["cycles"]:
        step = SubscriptionMove.COMPLETE
    if step in subscription.TRANSITIONS[SubscriptionStatus(row["status"])]:
        move(connection, subscription_id, step, now)


def close_all(
    connection: Connection,
    rows: Sequence[Mapping[Any, Any]],
    status: InvoiceStatus,
    reason: str,
    by: Actor,
    now: datetime,
    cap: Cap | None = None,
) -> None:
    """Close invoices that are not going to be paid; `cap` is what dunning met, if it did.

    What a void one took of the customer's balance goes back there.
    """
    ids = [row["id"] for row in rows]
    invoices.close(connection, ids, status, now, reason)
    if status is InvoiceStatus.VOID and any(row["credited"] for row in rows):
        balances.put_back(connection, ids)
    told: dict[str, Any] = {"cap": cap} if cap else {}
    kind = "invoice.voided" if status is InvoiceStatus.VOID else "invoice.given_up"
    events.record(
        connection,
        [
            event(
                kind, at=now, by=by, customer_id=row["customer_id"],
                subscription_id=row["subscription_id"], invoice_id=row["id"],
                amount=row["amount"], why=reason, **told,
            )
            for row in rows
        ],
    )  # fmt: skip

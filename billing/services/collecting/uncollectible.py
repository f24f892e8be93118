"""Uncollectible: end dunning when an invoice was not paid.

The open invoices become uncollectible, and the plan's final action is taken. The paid days of the
current period are not lost because another invoice is unpaid: they become the customer's credit.
The caller holds the subscription's lock.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import subscription
from billing.domain.dunning import Cap
from billing.domain.events import SCHEDULER, Actor
from billing.domain.intents import Action
from billing.domain.invoice import InvoiceStatus
from billing.domain.periods import zone_of
from billing.domain.subscription import OnExhausted, SubscriptionMove
from billing.domain.terms import is_last_cycle
from billing.services.collecting import opening
from billing.services.money import days_after_cancellation
from billing.services.subscriptions import proration, transitions
from billing.store.queries import invoices, subscriptions
from billing.store.queries.invoice_rows import GivenUp, Invoice
from billing.store.queries.subscription_rows import Subscription

_GIVEN_UP = {
    SubscriptionMove.CANCEL: Action.GIVE_UP_CANCEL,
    SubscriptionMove.MARK_UNPAID: Action.GIVE_UP_UNPAID,
    SubscriptionMove.PAUSE: Action.GIVE_UP_PAUSE,
    SubscriptionMove.COMPLETE: Action.COMPLETE,
}
_FINAL_MOVES = {
    OnExhausted.CANCEL: SubscriptionMove.CANCEL,
    OnExhausted.UNPAID: SubscriptionMove.MARK_UNPAID,
    OnExhausted.PAUSE: SubscriptionMove.PAUSE,
}


_GAVE_UP = {
    Cap.RETRIES: "no retry is left",
    Cap.DECLINES: "the maximum number of declines was reached",
    Cap.ATTEMPTS: "the maximum number of attempts was reached",
    Cap.DAYS: "the maximum number of days has elapsed",
}


def give_up(
    connection: Connection,
    subscription_id: UUID,
    now: datetime,
    cap: Cap | None,
    why: str = "no payment is possible",
) -> None:
    """Mark every open invoice uncollectible, and apply the plan's final action.

    `cap` is the dunning cap that was reached; without one, `why` says what ended it. Only the
    invoice is closed if an operator had reopened it: the final action was taken the first time.
    """
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        return
    now = invoices.not_before_period(connection, subscription_id, now)
    given_up = invoices.open_of(connection, subscription_id)
    reason = f"dunning ended: {_GAVE_UP[cap] if cap else why}"
    # Only the oldest invoice is ever charged, so it is the one that was declined.
    if given_up and given_up[0].reopened_at is not None:
        _give_up_again(connection, row, given_up, now)
        return
    if row.next_due_at is not None and row.next_due_at <= now:
        # Periods that began before this moment are owed, and become uncollectible, too.
        opening.open_begun(connection, subscription_id, now)
        row = subscriptions.lock_one(connection, subscription_id) or row
        given_up = invoices.open_of(connection, subscription_id)
    transitions.close_all(
        connection, given_up, InvoiceStatus.UNCOLLECTIBLE, reason, SCHEDULER, now, cap
    )
    step = _FINAL_MOVES[row.on_exhausted]
    if is_last_cycle(row.cycles, row.next_period_index):
        step = SubscriptionMove.COMPLETE
    if step not in subscription.TRANSITIONS[row.status]:
        return
    at = now
    if step in {SubscriptionMove.PAUSE, SubscriptionMove.MARK_UNPAID}:
        # An overdue end or pause takes effect first: no day was served after it.
        at = min(each for each in (now, row.pause_at, row.cancel_at) if each is not None)
    if step is not SubscriptionMove.COMPLETE:
        current = invoices.current_of(connection, subscription_id, at)
        if current is not None and current.status == InvoiceStatus.PAID:
            proration.give_unused(connection, row, at, now, SCHEDULER, reason)
    if step is SubscriptionMove.CANCEL:
        covered = [_given_up(each, now) for each in given_up]
        place = zone_of(row)
        days_after_cancellation.return_credits(
            connection, place, covered, now, reason, SCHEDULER, now
        )
    by = Actor(SCHEDULER.name, _not_paid(given_up, now, _GAVE_UP[cap] if cap else why))
    transitions.move(connection, subscription_id, step, now, by, action=_GIVEN_UP[step], at=at)


def _not_paid(given_up: Sequence[Invoice], now: datetime, why: str) -> str:
    """Return why the final action is taken: for how long the oldest invoice was not paid."""
    if not given_up:
        return why
    since = given_up[0].first_failed_at or given_up[0].period_start
    days = (now - since).days
    if not days:
        return f"not paid within a day: {why}"
    return f"not paid for {days} {'day' if days == 1 else 'days'}: {why}"


def _given_up(invoice: Invoice, now: datetime) -> GivenUp:
    """Return an invoice that has just been marked uncollectible."""
    return GivenUp(
        invoice.id, invoice.subscription_id, invoice.customer_id, invoice.credited,
        invoice.period_start, invoice.period_end, now,
    )  # fmt: skip


def _give_up_again(
    connection: Connection,
    row: Subscription,
    owed: Sequence[Invoice],
    now: datetime,
) -> None:
    """Mark a retried invoice uncollectible again; reactivate a subscription that owes no other."""
    why = "the manual retry was not paid"
    transitions.close_all(connection, owed[:1], InvoiceStatus.UNCOLLECTIBLE, why, SCHEDULER, now)
    invoices.release_oldest(connection, [row.id], now)
    if len(owed) == 1:
        transitions.owes_no_more(connection, row, SCHEDULER, now)

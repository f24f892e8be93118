"""Next invoice: when it opens, for what can still be added to it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import periods, subscription
from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.subscription import SubscriptionStatus
from billing.domain.terms import is_last_cycle
from billing.store.queries import subscriptions
from billing.store.queries.subscription_rows import Subscription


def opens_at(row: Subscription, now: datetime) -> datetime | None:
    """Return when the next invoice opens at the earliest; None if that depends on a wallet.

    Raises IllegalMove when the last period of its term has been billed.
    """
    if row.status is SubscriptionStatus.PENDING or row.anchor_local is None:
        return None
    at = row.next_due_at
    if row.status in subscription.OPENING:
        is_over = at is None
    else:
        place = periods.next_period(row, max(now, row.resume_at or now))
        at, is_over = place.at, is_last_cycle(row.cycles, place.period)
    if is_over:
        raise IllegalMove(
            f"no further invoice will come for this subscription: its term of {row.cycles}"
            " periods has been billed; charge it by a new one",
            hint=f"billing subscribe {row.customer_id} PLAN",
        )
    return at


def locked(connection: Connection, subscription_id: UUID) -> Subscription:
    """Lock a subscription that has not ended. Raises NotKnown or IllegalMove."""
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        raise NotKnown(f"no subscription has the id {subscription_id}")
    if row.status in subscription.ENDED:
        raise IllegalMove(f"subscription {subscription_id} is {row.status}")
    return row

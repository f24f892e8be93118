"""Starting: begin a pending subscription once its customer has a wallet.

The caller holds the subscription's lock. This module does not know how a wallet is linked.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.domain import subscription
from billing.domain.events import SCHEDULER, Actor, event
from billing.domain.periods import begin, wished_start
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from billing.store.queries import events, subscriptions
from billing.store.queries.subscription_rows import Subscription


def start(
    connection: Connection,
    row: Subscription,
    now: datetime,
    by: Actor = SCHEDULER,
    *,
    waited: bool = False,
) -> None:
    """Start a pending subscription whose customer has just linked a wallet.

    The time in which it `waited` for the wallet was not served and is not billed, unless an
    operator backdated it: it begins now, or at a future start.
    """
    late = row.start_at if waited and row.start_at is not None and row.start_at < now else None
    if late is not None and not subscriptions.is_backdated(connection, row.id):
        beginning = begin(row, now)
        left_out = event(
            "subscription.start_moved", at=now, by=by, customer_id=row.customer_id,
            subscription_id=row.id, begins_at=now.isoformat(),
            why="no wallet was linked before", start_at=late.isoformat(),
        )  # fmt: skip
        events.record(connection, [left_out])
    else:
        beginning = begin(row, wished_start(row) or now)
    step = (
        SubscriptionMove.START_TRIAL
        if beginning.status is SubscriptionStatus.TRIALING
        else SubscriptionMove.ACTIVATE
    )
    status = subscription.advance(row.status, step)
    begun = row.standing._replace(status=status, next_due_at=beginning.next_due_at)
    subscriptions.move(connection, [begun])
    subscriptions.change(connection, row.id, anchor_local=beginning.anchor_local)
    recorded = event(
        "subscription.activated" if step is SubscriptionMove.ACTIVATE
        else "subscription.trial_started",
        at=now, by=by, customer_id=row.customer_id, subscription_id=row.id,
        due_at=beginning.next_due_at.isoformat(),
    )  # fmt: skip
    events.record(connection, [recorded])

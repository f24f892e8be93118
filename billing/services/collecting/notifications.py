"""Notifications: a message of the gateway makes a status query due; it settles nothing.

What a notification says is only a reason to ask the gateway, so that a late, repeated, reordered
or wrong notification can do no harm.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from billing.domain.events import GATEWAY, event
from billing.domain.notifications import Notification, Reaction, react
from billing.logs import Logger
from billing.services.context import Context
from billing.store.queries import events, notifications
from billing.store.queries.notifications import NotifiedCharge
from billing.store.session import brief_locks

log = Logger(__name__)

READS_MAX = 3
"""How often a charge is read that another process changes at the same time."""


class Effect(StrEnum):
    """What a notification changed."""

    QUERIED = "queried"  # a status query is due
    RECORDED = "recorded"  # an event tells what it said
    UNCHANGED = "unchanged"
    UNKNOWN_CHARGE = "unknown_charge"


def receive(context: Context, notification: Notification) -> Effect:
    """Make the status query of the named charge due, if that is useful.

    An unresolved charge is queried at once, or 60 s after it was sent. A settled charge is queried
    only if the notification contradicts its outcome. Each charge is queried at most once in 60 s
    because of notifications. Waits at most a second for a lock; a database that cannot be reached
    raises DBAPIError, and then the gateway should repeat the notification.
    """
    now = context.clock.now()
    with brief_locks(), context.database.transaction() as connection:
        for _ in range(READS_MAX):
            charge = notifications.named(connection, notification.request_id, notification.number)
            if charge is None:
                log.info("notification.ignored", number=notification.number)
                return Effect.UNKNOWN_CHARGE
            reaction = react(charge.recorded, notification, now, context.limits)
            if reaction is None:
                return Effect.UNCHANGED
            if _written(connection, charge, reaction):
                _record(connection, charge, notification, reaction, now)
                return Effect.QUERIED if reaction.queries else Effect.RECORDED
    # Other processes work on the charge at this moment: they set its next query.
    return Effect.UNCHANGED


def _written(connection: Connection, charge: NotifiedCharge, reaction: Reaction) -> bool:
    write = notifications.query_at if reaction.queries else notifications.note
    return write(connection, charge, reaction.at)


def _record(
    connection: Connection,
    charge: NotifiedCharge,
    notification: Notification,
    reaction: Reaction,
    now: datetime,
) -> None:
    data: dict[str, object] = {"said": notification.said, "recorded": charge.status}
    if reaction.queries:
        data["asked_again_at"] = reaction.at.isoformat()
    if reaction.contradicts:
        data["why"] = f"a notification says {notification.said}, recorded is {charge.status}"
    recorded = event(
        "charge.notified",
        at=now,
        by=GATEWAY,
        customer_id=charge.customer_id,
        subscription_id=charge.subscription_id,
        invoice_id=charge.invoice_id,
        charge_id=charge.id,
        data=data,
    )
    events.record(connection, [recorded])

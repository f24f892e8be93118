"""Approval ends: requests whose time is over, and the events of every request."""

from datetime import datetime

from sqlalchemy import Connection

from billing.domain import approvals
from billing.domain.approvals import ApprovalMove
from billing.domain.events import SCHEDULER, Actor, Event, event
from billing.services.context import Context
from billing.store.queries import approvals as rows
from billing.store.queries import events
from billing.store.queries.approvals import Approval

EXPIRE_MAX = 1_000


def expire(context: Context) -> int:
    """End the requests whose time is over, and return how many there were."""
    with context.database.transaction() as connection:
        return expire_in(connection, context.clock.now())


def expire_in(connection: Connection, now: datetime) -> int:
    """Do it in a transaction; a request that another session decides is left to it."""
    ended = rows.lock_ended(connection, now, EXPIRE_MAX)
    for row in ended:
        status = approvals.advance(row.status, ApprovalMove.EXPIRE)
        rows.decide(connection, row.id, status, now, None, None)
    events.record(connection, [about("expired", row, now, SCHEDULER) for row in ended])
    return len(ended)


def about(what: str, row: Approval, now: datetime, by: Actor, **more: object) -> Event:
    """Return the event of a request, with its action and its rupiah."""
    facts: dict[str, object] = {
        "approval": str(row.id), "action": row.kind.value, "amount": row.amount,
        "rows": row.rows_count,
    }  # fmt: skip
    return event(
        f"approval.{what}", at=now, by=by, customer_id=row.customer_id,
        subscription_id=row.subscription_id, data=facts | more,
    )  # fmt: skip

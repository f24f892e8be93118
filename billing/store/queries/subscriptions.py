"""Statements about subscriptions: lock them, write them, find due ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Unpack
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED
from billing.domain.invoice import InvoiceStatus
from billing.domain.subscription import OPENING, SubscriptionStatus
from billing.store.expressions import listed
from billing.store.queries.subscription_rows import (
    Changes,
    DueSubscription,
    End,
    LiveSubscription,
    NewSubscription,
    Standing,
    Subscription,
)
from billing.store.rows import as_array, as_json
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


def add(connection: Connection, new: NewSubscription) -> None:
    """Insert a subscription."""
    values = {**new._asdict(), "status": SubscriptionStatus.PENDING.value}
    places = ", ".join(_place(name) for name in values)
    statement = text(f"INSERT INTO subscriptions ({', '.join(values)}) VALUES ({places})")  # noqa: S608 - names of ours
    connection.execute(statement, values | {"extras": as_json(new.extras)})


def is_created(connection: Connection, subscription_id: UUID) -> bool:
    """Whether there is a subscription with this id."""
    statement = text("SELECT EXISTS (SELECT 1 FROM subscriptions WHERE id = :id)")
    return bool(connection.execute(statement, {"id": subscription_id}).scalar_one())


def is_backdated(connection: Connection, subscription_id: UUID) -> bool:
    """Whether the subscription was created with an explicitly backdated start."""
    statement = text(
        "SELECT EXISTS (SELECT 1 FROM events WHERE subscription_id = :id"
        " AND kind = 'subscription.created' AND data->>'backdated_to' IS NOT NULL)"
    )
    return bool(connection.execute(statement, {"id": subscription_id}).scalar_one())


def lock(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Lock subscriptions in the order of their ids, waiting for other sessions."""
    statement = text("SELECT id FROM subscriptions WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
    return list(connection.execute(statement, {"ids": list(ids)}).scalars().all())


_OF_PLAN = {
    **{name: f"p.{name}" for name in ("every", "cron", "timezone", "cycles", "catch_up")},
    "trial": "p.trial", "on_exhausted": "p.on_exhausted", "plan_amount": "p.amount",
}  # fmt: skip
_LOCKS = "SELECT id FROM subscriptions WHERE {} ORDER BY id FOR UPDATE"
"""Locked first and read then: a lock that waited for a change of plan finds the new plan. A lock in
the statement of the join would look for the new row beside the old plan, and find none."""
_READS = (
    "SELECT {} FROM subscriptions s JOIN plans p ON p.code = s.plan_code WHERE {} ORDER BY s.id"
)
_BY_ID, _OF_CUSTOMER = "id = :id", "customer_id = :customer AND ended_at IS NULL"
_SHOWN = columns(Subscription, "s", **_OF_PLAN)
_LOCK_ONE, _LOCK_ALL = text(_LOCKS.format(_BY_ID)), text(_LOCKS.format(_OF_CUSTOMER))
_ONE = text(_READS.format(_SHOWN, f"s.{_BY_ID}"))
_ALL = text(_READS.format(_SHOWN, "s.customer_id = :customer AND s.ended_at IS NULL"))
_END = text(_READS.format(columns(End, "s", timezone="p.timezone"), f"s.{_BY_ID}"))


def lock_one(connection: Connection, subscription_id: UUID) -> Subscription | None:
    """Lock one subscription and read it with its plan's columns."""
    given = {"id": subscription_id}
    connection.execute(_LOCK_ONE, given)
    return at_most_one(Subscription, connection.execute(_ONE, given))


def lock_end(connection: Connection, subscription_id: UUID) -> End | None:
    """Lock one subscription and return when it ended."""
    given = {"id": subscription_id}
    connection.execute(_LOCK_ONE, given)
    return at_most_one(End, connection.execute(_END, given))


def lock_with_siblings(connection: Connection, subscription_id: UUID) -> None:
    """Lock a subscription's customer, then all its live subscriptions in order."""
    parameters = {"id": subscription_id}
    connection.execute(
        text(
            "SELECT id FROM customers WHERE id ="
            " (SELECT customer_id FROM subscriptions WHERE id = :id) FOR NO KEY UPDATE"
        ),
        parameters,
    )
    connection.execute(
        text(
            "SELECT id FROM subscriptions WHERE ended_at IS NULL AND customer_id ="
            " (SELECT customer_id FROM subscriptions WHERE id = :id) ORDER BY id FOR UPDATE"
        ),
        parameters,
    )


def lock_of_customer(connection: Connection, customer_id: str) -> list[Subscription]:
    """Lock every live subscription of a customer."""
    given = {"customer": customer_id}
    connection.execute(_LOCK_ALL, given)
    return every(Subscription, connection.execute(_ALL, given))


_NOTICE_FOR = """
    coalesce(notice_for, (SELECT CASE WHEN notice IS NOT NULL THEN next_period_index END
        FROM plans WHERE code = :plan_code))
"""


def change(connection: Connection, subscription_id: UUID, **values: Unpack[Changes]) -> None:
    """Write some columns of one subscription, whose lock the caller holds.

    On a plan with a notice, its charges are announced from the present period on.
    """
    places = [f"{name} = {_place(name)}" for name in values]
    if "plan_code" in values:
        places.append(f"notice_for = {_NOTICE_FOR}")
    statement = text(f"UPDATE subscriptions SET {', '.join(places)} WHERE id = :id")  # noqa: S608 - names of ours
    given: dict[str, object] = {**values, "id": subscription_id}
    extras = values.get("extras")
    if extras is not None:
        given["extras"] = as_json(extras)
    connection.execute(statement, given)


def _place(name: str) -> str:
    return f"CAST(:{name} AS jsonb)" if name == "extras" else f":{name}"


_MOVED = text("""
    UPDATE subscriptions s SET next_period_index = n.next_period_index,
        next_due_at = n.next_due_at, status = n.status, ended_at = n.ended_at,
        period_amount = n.period_amount, trial_left_seconds = n.trial_left_seconds
    FROM json_to_recordset(CAST(:rows AS json)) AS n(key uuid, next_period_index int,
        next_due_at timestamptz, status text, ended_at timestamptz, period_amount bigint,
        trial_left_seconds bigint)
    WHERE s.id = ANY(CAST(:keys AS uuid[])) AND s.id = n.key
""")


def move(connection: Connection, rows: Sequence[Standing]) -> None:
    """Write the status of subscriptions, with its columns; nothing else writes a later status.

    The caller holds their locks, and `billing.domain.subscription` decided each status.
    """
    if rows:
        parameters = {
            "rows": as_json([row._asdict() for row in rows]),
            "keys": as_array(row.key for row in rows),
        }
        connection.execute(_MOVED, parameters)


MAY_OPEN = f"""
    {listed("s.status", OPENING)} AND s.held_at IS NULL
    AND (s.cancel_at IS NULL OR s.next_due_at < s.cancel_at)
    AND (s.pause_at IS NULL OR s.next_due_at < s.pause_at)
"""
"""A period that begins at or after the subscription's planned end or pause does not open."""
_TO_OPEN = f"s.next_due_at <= :now AND {MAY_OPEN}"


def due_to_open(
    connection: Connection, now: datetime, behind: tuple[datetime, UUID], limit: int
) -> list[tuple[datetime, UUID]]:
    """List due instants and ids of subscriptions whose next period may open, oldest first.

    Only those after `behind`, in that order.
    """
    statement = text(
        f"SELECT s.next_due_at, s.id FROM subscriptions s WHERE {_TO_OPEN}"  # noqa: S608 - a constant of ours
        " AND (s.next_due_at, s.id) > (:due_at, :id) ORDER BY s.next_due_at, s.id LIMIT :limit"
    )
    parameters = {"now": now, "due_at": behind[0], "id": behind[1], "limit": limit}
    return [(row[0], row[1]) for row in connection.execute(statement, parameters).all()]


_DUE = {
    **{name: f"p.{name}" for name in ("every", "cron", "timezone", "cycles", "catch_up")},
    "coupon_percent": "k.percent", "coupon_rupiah": "k.rupiah",
    "extras": "nullif(s.extras, '[]')",
}  # fmt: skip


def lock_due_to_open(
    connection: Connection, ids: Sequence[UUID], now: datetime
) -> list[DueSubscription]:
    """Lock those that are still due and unlocked; read them with plan and coupon.

    IS TRUE prevents a scan of the index of due dates for these ids. Extra lines are None when there
    are none: an empty list costs as much time as the rest of the row.
    """
    statement = text(f"""
        SELECT {columns(DueSubscription, "s", **_DUE)}
        FROM subscriptions s JOIN plans p ON p.code = s.plan_code
        LEFT JOIN coupons k ON k.code = s.coupon_code
        WHERE s.id = ANY(CAST(:ids AS uuid[])) AND ({_TO_OPEN}) IS TRUE
        ORDER BY s.next_due_at, s.id FOR UPDATE OF s SKIP LOCKED
    """)  # noqa: S608 - a constant of ours
    parameters = {"ids": as_array(ids), "now": now}
    return every(DueSubscription, connection.execute(statement, parameters))


def owing(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Find which of these locked subscriptions have an open invoice or unresolved charge."""
    statement = text(
        "SELECT subscription_id FROM invoices"  # noqa: S608 - a constant of ours
        f" WHERE subscription_id = ANY(CAST(:ids AS uuid[])) AND status = '{InvoiceStatus.OPEN}'"
        " UNION SELECT subscription_id FROM charges"
        f" WHERE subscription_id = ANY(CAST(:ids AS uuid[])) AND {listed('status', UNRESOLVED)}"
    )
    return set(connection.execute(statement, {"ids": as_array(ids)}).scalars().all())


MAY_END = f"""
    s.cancel_at IS NOT NULL AND s.ended_at IS NULL AND s.held_at IS NULL
    AND NOT ({listed("s.status", OPENING)}
             AND s.next_due_at IS NOT NULL AND s.next_due_at < s.cancel_at)
    AND (s.pause_at IS NULL OR s.pause_at >= s.cancel_at)
    AND (s.resume_at IS NULL OR s.status <> 'paused' OR s.resume_at >= s.cancel_at)
    AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = s.id
             AND {listed("c.status", UNRESOLVED)} AND c.parked_at IS NULL OFFSET 0)
    AND NOT EXISTS (SELECT 1 FROM invoices i WHERE i.subscription_id = s.id
             AND i.status = 'open' AND i.next_attempt_at IS NOT NULL
             AND i.blocked_on IS NULL AND i.reason IS NULL
             AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.invoice_id = i.id) OFFSET 0)
"""  # noqa: S608 - constants of ours
"""A planned end waits until the periods that began before it are opened, attempted once and not
unknown any more: neither an outage nor stopped charging makes owed periods free. A pause and a
resume with an earlier date come first. OFFSET 0 makes PostgreSQL look up invoices and charges for
each subscription; a join read all open invoices for every end."""


def may_end(connection: Connection, subscription_id: UUID) -> bool:
    """Whether nothing else must happen before one subscription's planned end."""
    statement = text(
        f"SELECT EXISTS (SELECT 1 FROM subscriptions s WHERE s.id = :id AND {MAY_END})"  # noqa: S608 - a constant of ours
    )
    return bool(connection.execute(statement, {"id": subscription_id}).scalar_one())


def due_to_cancel(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find subscriptions whose planned end is due, and that may end."""
    statement = text(
        f"SELECT s.id FROM subscriptions s WHERE s.cancel_at <= :now AND {MAY_END}"  # noqa: S608 - a constant of ours
        " ORDER BY s.cancel_at LIMIT :limit"
    )
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars().all())


MAY_PAUSE = """
    s.pause_at IS NOT NULL AND s.ended_at IS NULL AND s.held_at IS NULL
    AND NOT (s.next_due_at IS NOT NULL AND s.next_due_at < s.pause_at)
    AND (s.cancel_at IS NULL OR s.pause_at < s.cancel_at)
"""
"""A pause begins once every period before it is opened; an end that is not later comes first."""

MAY_RESUME = """
    s.resume_at IS NOT NULL AND s.status = 'paused' AND s.held_at IS NULL
    AND (s.cancel_at IS NULL OR s.resume_at < s.cancel_at)
"""
"""A subscription resumes unless it ends first."""


def due_to_pause(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find subscriptions whose pause is due."""
    statement = text(
        f"SELECT s.id FROM subscriptions s WHERE s.pause_at <= :now AND {MAY_PAUSE}"  # noqa: S608 - a constant of ours
        " ORDER BY s.pause_at LIMIT :limit"
    )
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars().all())


def due_to_resume(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find paused subscriptions whose resume date has come."""
    statement = text(
        f"SELECT s.id FROM subscriptions s WHERE s.resume_at <= :now AND {MAY_RESUME}"  # noqa: S608 - a constant of ours
        " ORDER BY s.resume_at LIMIT :limit"
    )
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars().all())


def live_of(connection: Connection, customer_id: str) -> int:
    """Count a customer's live subscriptions."""
    statement = text(
        "SELECT count(*) FROM subscriptions WHERE customer_id = :customer AND ended_at IS NULL"
    )
    return int(connection.execute(statement, {"customer": customer_id}).scalar_one())


def live_to_plan(
    connection: Connection, customer_id: str, plan_code: str
) -> list[LiveSubscription]:
    """Read a customer's live subscriptions that have, or will change to, a plan.

    The result stays true while the customer is locked: a new subscription needs that lock.
    """
    statement = text(
        "SELECT id, status FROM subscriptions WHERE customer_id = :customer AND ended_at IS NULL"
        " AND :plan IN (plan_code, next_plan_code) ORDER BY created_at, id"
    )
    found = connection.execute(statement, {"customer": customer_id, "plan": plan_code})
    return every(LiveSubscription, found)

"""Statements about what comes next, for people to read: what stands in an open invoice's way.

"Now" is the test clock where one was set, and else the database's own.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.waiting import Brakes, Standing
from billing.store.statements import text

_NOW = "coalesce((SELECT clock_at FROM engine), clock_timestamp())"


def standings(
    connection: Connection, invoice_ids: Sequence[UUID]
) -> dict[UUID, tuple[Standing, Brakes]]:
    """What stands in the way of those of some invoices that are open, and of all of them."""
    statement = text(f"""
        SELECT i.id, coalesce(i.next_attempt_at <= {_NOW}, false) AS due,
               coalesce(i.leased_until > clock_timestamp(), false) AS leased,
               i.blocked_on, i.shortfall, i.reason,
               EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
                   AND o.status = 'open' AND (o.period_index, o.change_index)
                       < (i.period_index, i.change_index)) AS older_open,
               EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = i.subscription_id
                   AND c.status IN ('in_flight', 'pending', 'unknown')) AS unresolved,
               coalesce(i.held_why, (SELECT max(c.held_why) FROM charges c
                   WHERE c.subscription_id = i.subscription_id
                   AND c.status IN ('in_flight', 'pending', 'unknown'))) AS held_why,
               e.stopped_at IS NOT NULL AS stopped, e.stopped_reason,
               coalesce(e.resting_until > clock_timestamp(), false) AS resting
        FROM invoices i CROSS JOIN engine e WHERE i.id = ANY(:ids) AND i.status = 'open'
    """)  # noqa: S608 - a constant of ours
    of_engine = len(Brakes._fields)
    rows = connection.execute(statement, {"ids": list(invoice_ids)})
    return {row[0]: (Standing(*row[1:-of_engine]), Brakes(*row[-of_engine:])) for row in rows}


class Outlook(NamedTuple):
    """What is behind and ahead of a subscription, beside its own columns."""

    events: int
    oldest_debt: UUID | None
    due_to_open: bool
    due_to_end: bool


def outlook(connection: Connection, subscription_id: UUID) -> Outlook:
    """How many events a subscription has, and what it owes or is late with.

    The oldest debt is an open invoice, or else one that was given up; a period that has begun is
    due to open unless an end or a pause comes first.
    """
    statement = text(f"""
        SELECT (SELECT count(*) FROM events WHERE subscription_id = s.id) AS events,
               (SELECT id FROM invoices WHERE subscription_id = s.id
                    AND status IN ('open', 'uncollectible')
                ORDER BY status <> 'open', period_index, change_index LIMIT 1) AS oldest_debt,
               coalesce(next_due_at <= {_NOW} AND (cancel_at IS NULL OR next_due_at < cancel_at)
                   AND (pause_at IS NULL OR next_due_at < pause_at), false) AS due_to_open,
               coalesce(cancel_at <= {_NOW} AND ended_at IS NULL, false) AS due_to_end
        FROM subscriptions s WHERE id = :id
    """)  # noqa: S608 - a constant of ours
    return Outlook(*connection.execute(statement, {"id": subscription_id}).one())

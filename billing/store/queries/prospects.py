"""Statements about next steps: what an open invoice, a charge or a refund waits for.

"Now" is the test clock if it is set, and the database's clock otherwise.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED
from billing.domain.waiting import Brakes, Standing
from billing.domain.wallet import LIVE
from billing.store.expressions import listed
from billing.store.statements import text

CONFIRMING = """(c.status IN ('pending', 'unknown') AND c.parked_at IS NULL
    AND (c.failed_seen_at IS NOT NULL OR c.status = 'unknown' AND c.fault IS NOT NULL))"""
"""A charge for which a first final answer is recorded that a status query must confirm."""
_NOW = "coalesce((SELECT clock_at FROM engine), clock_timestamp())"


def standings(
    connection: Connection, invoice_ids: Sequence[UUID]
) -> dict[UUID, tuple[Standing, Brakes]]:
    """Read what the open ones of these invoices wait for, and what blocks all of them."""
    statement = text(f"""
        SELECT i.id, coalesce(i.next_attempt_at <= {_NOW}, false) AS due,
               coalesce(i.leased_until > clock_timestamp(), false) AS leased,
               i.blocked_on, i.shortfall, i.reason,
               EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
                   AND o.status = 'open' AND (o.period_index, o.change_index)
                       < (i.period_index, i.change_index)) AS older_open,
               EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = i.subscription_id
                   AND {listed("c.status", UNRESOLVED)}) AS unresolved,
               coalesce(i.held_why, (SELECT max(c.held_why) FROM charges c
                   WHERE c.subscription_id = i.subscription_id
                   AND {listed("c.status", UNRESOLVED)})) AS held_why,
               EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = i.subscription_id
                   AND {CONFIRMING}) AS confirming,
               e.stopped_at IS NOT NULL AS stopped, e.stopped_reason,
               coalesce(e.resting_until > clock_timestamp(), false) AS resting
        FROM invoices i CROSS JOIN engine e WHERE i.id = ANY(:ids) AND i.status = 'open'
    """)  # noqa: S608 - a constant of ours
    of_engine = len(Brakes._fields)
    rows = connection.execute(statement, {"ids": list(invoice_ids)})
    return {row[0]: (Standing(*row[1:-of_engine]), Brakes(*row[-of_engine:])) for row in rows}


def brakes(connection: Connection) -> Brakes:
    """Read what stops the charging of all invoices."""
    statement = text(
        "SELECT stopped_at IS NOT NULL, stopped_reason,"
        " coalesce(resting_until > clock_timestamp(), false) FROM engine"
    )
    return Brakes._make(connection.execute(statement).one())


class Outlook(NamedTuple):
    """A subscription's history and next steps, in addition to its own columns."""

    events: int
    invoices: int
    oldest_debt: UUID | None
    due_to_open: bool
    due_to_end: bool
    late: bool
    """Whether something that was planned is overdue."""
    live_wallet: str | None
    """The status of the customer's live wallet."""


def outlook(connection: Connection, subscription_id: UUID) -> Outlook:
    """Count a subscription's events and invoices, and read what it owes and what is late.

    `oldest_debt` is an open invoice, or an uncollectible one if none is open; a period that has
    begun is due to open unless a cancellation or a pause comes first.
    """
    statement = text(f"""
        SELECT (SELECT count(*) FROM events WHERE subscription_id = s.id) AS events,
               (SELECT count(*) FROM invoices WHERE subscription_id = s.id) AS invoices,
               (SELECT id FROM invoices WHERE subscription_id = s.id
                    AND status IN ('open', 'uncollectible')
                ORDER BY status <> 'open', period_index, change_index LIMIT 1) AS oldest_debt,
               coalesce(next_due_at <= {_NOW} AND (cancel_at IS NULL OR next_due_at < cancel_at)
                   AND (pause_at IS NULL OR next_due_at < pause_at), false) AS due_to_open,
               coalesce(cancel_at <= {_NOW} AND ended_at IS NULL, false) AS due_to_end,
               coalesce(least(cancel_at, pause_at, change_at,
                   CASE WHEN status = 'paused' THEN resume_at END) <= {_NOW}, false) AS late,
               (SELECT w.status FROM wallets w WHERE w.customer_id = s.customer_id
                   AND {listed("w.status", LIVE)}) AS live_wallet
        FROM subscriptions s WHERE id = :id
    """)  # noqa: S608 - a constant of ours
    return Outlook(*connection.execute(statement, {"id": subscription_id}).one())


class Chargeable(NamedTuple):
    """The facts that decide whether an operator's retry of an invoice is accepted."""

    invoice: UUID
    first: UUID | None
    """The invoice of its subscription that must be paid first; possibly this one."""
    unresolved: bool
    wallet: str | None
    """The status of the customer's live wallet."""
    wallet_good: bool

    @property
    def is_accepted(self) -> bool:
        """Whether a retry is accepted now."""
        return self.first == self.invoice and not self.unresolved and self.wallet_good


def chargeable(connection: Connection, invoice_ids: Sequence[UUID]) -> dict[UUID, Chargeable]:
    """Read the facts that decide whether retries of these invoices are accepted.

    An older open invoice comes first; among uncollectible ones the oldest comes first.
    """
    statement = text(f"""
        SELECT i.id, coalesce(
                   (SELECT o.id FROM invoices o WHERE o.subscription_id = i.subscription_id
                        AND o.status = 'open' AND (o.period_index, o.change_index)
                            < (i.period_index, i.change_index)
                    ORDER BY o.period_index, o.change_index LIMIT 1),
                   CASE i.status WHEN 'open' THEN i.id ELSE
                   (SELECT o.id FROM invoices o WHERE o.subscription_id = i.subscription_id
                        AND o.status = 'uncollectible'
                    ORDER BY o.period_index, o.change_index LIMIT 1) END),
               EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = i.subscription_id
                   AND {listed("c.status", UNRESOLVED)}),
               w.status, coalesce(w.status = 'active' AND w.expires_at > {_NOW}, false)
        FROM invoices i LEFT JOIN wallets w ON w.customer_id = i.customer_id
            AND {listed("w.status", LIVE)}
        WHERE i.id = ANY(:ids) AND i.status IN ('open', 'uncollectible')
    """)  # noqa: S608 - a constant of ours
    rows = connection.execute(statement, {"ids": list(invoice_ids)})
    return {row[0]: Chargeable(*row) for row in rows}


class Undecided(NamedTuple):
    """The facts that decide whether an operator may resolve a charge or a refund."""

    status: str
    sent_at: datetime | None
    parked_at: datetime | None
    kept: int
    """Rupiah of the charge that are not refunded or credited."""
    now: datetime

    def decidable(self, horizon: timedelta | None) -> bool | datetime:
        """Whether an operator may resolve it, or from when."""
        if self.parked_at is not None:
            return self.status != "in_flight"
        if self.status not in {"pending", "unknown"} or self.sent_at is None or horizon is None:
            return False
        at = self.sent_at + horizon
        return at if self.now < at else True

    @property
    def waits(self) -> bool:
        """Whether a refund waits for an operator, and its charge has money for it."""
        if self.status == "unreturned":
            return self.kept > 0
        return self.parked_at is not None


def charges(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Undecided]:
    """Read the facts that decide whether these charges may be resolved."""
    return _undecided(connection, "charges c", "c", ids)


def refunds(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Undecided]:
    """Read the same facts of refunds; `kept` is that of the refunded charge."""
    return _undecided(connection, "refunds r JOIN charges c ON c.id = r.charge_id", "r", ids)


def _undecided(
    connection: Connection, source: str, row: str, ids: Sequence[UUID]
) -> dict[UUID, Undecided]:
    statement = text(
        f"SELECT {row}.id, {row}.status, {row}.sent_at, {row}.parked_at, coalesce(c.kept, 0),"  # noqa: S608 - constants of ours
        f" {_NOW} FROM {source} WHERE {row}.id = ANY(:ids)"
    )
    rows = connection.execute(statement, {"ids": list(ids)})
    return {each[0]: Undecided(*each[1:]) for each in rows}

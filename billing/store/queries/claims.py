"""Statements of the claim: find what may be charged, and insert the charges to send."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, case, update

from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.dunning import RetryTerms
from billing.domain.events import SCHEDULER
from billing.domain.invoice import Blocked
from billing.domain.subscription import SubscriptionStatus
from billing.store.expressions import listed
from billing.store.rows import as_array, as_json
from billing.store.selecting import columns, every
from billing.store.statements import text


class ActiveWallet(NamedTuple):
    """A customer's active wallet."""

    id: UUID
    token_sealed: bytes
    expires_at: datetime


class LastCharge(NamedTuple):
    """The newest charge of an invoice."""

    id: UUID
    attempt: int
    gateway_number: str
    status: ChargeStatus
    unused: bool  # the gateway never received it: the same charge may be sent again


class Candidate(NamedTuple):
    """An open invoice that may be charged now, with everything that a charge needs."""

    invoice_id: UUID
    subscription_id: UUID
    customer_id: str
    plan_code: str  # the plan that the invoice was opened for
    period_index: int
    change_index: int
    amount: int  # without the credit that pays a part of the invoice
    next_trigger: Trigger
    first_failed_at: datetime | None
    blocked_on: Blocked | None
    steps_short: int
    step_deadline_at: datetime | None
    planned_at: datetime | None
    subscription_status: SubscriptionStatus
    first_paid_at: datetime | None
    plan_name: str
    use_points: bool
    retries: str
    retries_for: dict[str, str] | None
    declines_max: int | None
    attempts_max: int | None
    days_max: int | None
    timezone: str
    name: str
    phone: str
    email: str
    wallet_id: UUID | None
    token_sealed: bytes | None
    expires_at: datetime | None
    last_attempt: int | None
    last_charge_id: UUID | None
    last_number: str | None
    last_status: ChargeStatus | None
    unused: bool

    @property
    def wallet(self) -> ActiveWallet | None:
        """The customer's active wallet, whose token may have expired."""
        if self.wallet_id is None:
            return None
        # An active wallet has both.
        assert self.token_sealed is not None  # noqa: S101
        assert self.expires_at is not None  # noqa: S101
        return ActiveWallet(self.wallet_id, self.token_sealed, self.expires_at)

    @property
    def last(self) -> LastCharge | None:
        """The invoice's newest charge."""
        if self.last_charge_id is None:
            return None
        # Columns of one row, none of which may be null.
        assert self.last_attempt is not None  # noqa: S101
        assert self.last_number is not None  # noqa: S101
        assert self.last_status is not None  # noqa: S101
        return LastCharge(
            self.last_charge_id, self.last_attempt, self.last_number, self.last_status, self.unused
        )

    @property
    def retry_terms(self) -> RetryTerms:
        """The plan's dunning columns."""
        return RetryTerms(
            self.retries, self.retries_for, self.declines_max, self.attempts_max, self.days_max
        )


class NewCharge(NamedTuple):
    """The columns of a charge that its claim writes."""

    id: UUID
    invoice_id: UUID
    subscription_id: UUID
    customer_id: str
    plan_code: str
    wallet_id: UUID
    attempt: int
    gateway_number: str
    trigger: Trigger
    first_payment: bool
    amount: int
    status: ChargeStatus
    body_sealed: bytes
    created_at: datetime
    sent_at: datetime
    next_check_at: datetime


_CANDIDATES = columns(
    Candidate,
    "i",
    invoice_id="i.id",
    amount="i.amount - i.credited",
    subscription_status="s.status",
    first_paid_at="s.first_paid_at",
    plan_name="CASE WHEN i.plan_code = s.plan_code THEN p.name"
    " ELSE (SELECT n.name FROM plans n WHERE n.code = i.plan_code) END",
    use_points="p.use_points",
    retries="p.retries",
    retries_for="nullif(p.retries_for, '{}')",
    declines_max="p.declines_max",
    attempts_max="p.attempts_max",
    days_max="p.days_max",
    timezone="p.timezone",
    name="c.name",
    phone="c.phone",
    email="c.email",
    wallet_id="w.id",
    token_sealed="w.token_sealed",
    expires_at="w.expires_at",
    last_attempt="last.attempt",
    last_charge_id="last.id",
    last_number="last.gateway_number",
    last_status="last.status",
    unused="coalesce(last.status = 'unsent'"
    " OR last.status = 'declined' AND last.never_received, false)",
)


def lock_subscriptions_of(connection: Connection, invoice_ids: Sequence[UUID]) -> list[UUID]:
    """Lock the subscriptions of invoices, skipping locked ones."""
    statement = text(
        "SELECT id FROM subscriptions WHERE id IN"
        " (SELECT subscription_id FROM invoices WHERE id = ANY(CAST(:ids AS uuid[])))"
        " ORDER BY id FOR UPDATE SKIP LOCKED"
    )
    return list(connection.execute(statement, {"ids": as_array(invoice_ids)}).scalars().all())


def candidates(
    connection: Connection,
    invoice_ids: Sequence[UUID],
    now: datetime,
    *,
    locked: Sequence[UUID] | None = None,
) -> list[Candidate]:
    """Read invoices that may be charged now, with everything that a charge needs.

    Each invoice is open and due, the oldest open one of its subscription, and the subscription has
    no unresolved charge. With `locked`, only invoices of these subscriptions are read; their locks
    keep the result true until the commit.

    On the first of a month PostgreSQL's statistics are from the day before, when few invoices were
    open. MATERIALIZED and OFFSET 0 prevent a scan of all open invoices for each candidate: every
    table is read by key.
    """
    statement = text(f"""
        WITH i AS MATERIALIZED (
            SELECT * FROM invoices WHERE id = ANY(CAST(:ids AS uuid[])))
        SELECT {_CANDIDATES}
        FROM i
        JOIN subscriptions s ON s.id = i.subscription_id
        JOIN plans p ON p.code = s.plan_code
        JOIN customers c ON c.id = i.customer_id
        LEFT JOIN wallets w ON w.customer_id = i.customer_id AND w.status = 'active'
        LEFT JOIN LATERAL (SELECT ch.id, ch.attempt, ch.gateway_number, ch.status,
                ch.never_received FROM charges ch
            WHERE ch.invoice_id = i.id ORDER BY ch.attempt DESC LIMIT 1) AS last ON true
        WHERE i.status = 'open' AND i.next_attempt_at <= :now AND i.held_at IS NULL
          AND (:any OR i.subscription_id = ANY(CAST(:locked AS uuid[])))
          AND NOT EXISTS (SELECT 1 FROM charges u WHERE u.subscription_id = i.subscription_id
              AND {listed("u.status", UNRESOLVED)} OFFSET 0)
          AND NOT EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
              AND o.status = 'open'
              AND (o.period_index, o.change_index) < (i.period_index, i.change_index) OFFSET 0)
        ORDER BY i.next_attempt_at, i.id
    """)  # noqa: S608 - constants of ours
    parameters = {
        "ids": as_array(invoice_ids),
        "now": now,
        "any": locked is None,
        "locked": as_array(locked or []),
    }
    return every(Candidate, connection.execute(statement, parameters))


def charged_before(connection: Connection, invoice_ids: Sequence[UUID]) -> list[UUID]:
    """Find which of these invoices have a charge of any status."""
    statement = text(
        "SELECT i.key FROM unnest(CAST(:ids AS uuid[])) AS i (key)"
        " WHERE EXISTS (SELECT 1 FROM charges c WHERE c.invoice_id = i.key)"
    )
    return list(connection.execute(statement, {"ids": as_array(invoice_ids)}).scalars().all())


def counts_since(
    connection: Connection, customer_ids: Sequence[str], since: datetime
) -> dict[str, int]:
    """Count the charges of each customer since an instant."""
    statement = text(
        "SELECT customer_id, count(*) FROM charges WHERE customer_id = ANY(:ids)"
        " AND created_at > :since GROUP BY 1"
    )
    rows = connection.execute(statement, {"ids": list(customer_ids), "since": since})
    return {row[0]: row[1] for row in rows}


_CLAIM = text(f"""
    WITH new AS (
        INSERT INTO charges ({columns(NewCharge)})
        SELECT {columns(NewCharge)}
        FROM json_to_recordset(CAST(:rows AS json)) AS n(id uuid, invoice_id uuid,
            subscription_id uuid, customer_id text, plan_code text, wallet_id uuid,
            attempt smallint, gateway_number text, trigger text, first_payment boolean,
            amount bigint, status text, body_sealed bytea, created_at timestamptz,
            sent_at timestamptz, next_check_at timestamptz)
        ON CONFLICT DO NOTHING
        RETURNING id, invoice_id, subscription_id, customer_id, attempt, amount, first_payment,
            trigger
    ), mine AS (
        SELECT * FROM new UNION ALL
        SELECT id, invoice_id, subscription_id, customer_id, attempt, amount, first_payment, trigger
        FROM charges WHERE id = ANY(CAST(:again AS uuid[]))
    ), off_schedule AS (
        UPDATE invoices i SET next_attempt_at = NULL, leased_until = NULL, blocked_on = NULL,
            shortfall = NULL, reason = NULL, next_trigger = 'scheduled',
            -- A manual retry precedes the planned dunning step, which is then resumed.
            step_deadline_at = CASE WHEN i.next_trigger <> 'scheduled'
                THEN i.step_deadline_at END,
            planned_at = CASE WHEN i.next_trigger <> 'scheduled' THEN i.planned_at END
        FROM mine WHERE i.id = ANY(CAST(:invoices AS uuid[])) AND i.id = mine.invoice_id
    ), recorded AS (
        INSERT INTO events (at, kind, actor, customer_id, subscription_id, invoice_id, charge_id,
            data)
        SELECT :now, 'charge.claimed', :actor, customer_id, subscription_id, invoice_id, id,
            jsonb_build_object('attempt', attempt, 'amount', amount,
                'first_payment', first_payment, 'trigger', trigger)
        FROM mine
    ), counted AS (
        INSERT INTO hours (hour, shard, amount)
        SELECT :hour, :shard, sum(amount) FROM mine HAVING count(*) > 0
        ON CONFLICT (hour, shard) DO UPDATE SET amount = hours.amount + excluded.amount
        RETURNING amount
    )
    SELECT id, (SELECT amount FROM counted) + (SELECT coalesce(sum(amount), 0) FROM hours
        WHERE hour = :hour AND shard <> :shard) AS of_the_hour FROM mine
""")  # noqa: S608 - a constant of ours


def claim(
    connection: Connection,
    fresh: Sequence[NewCharge],
    again: Sequence[NewCharge],
    now: datetime,
    *,
    hour: datetime,
    shard: int,
) -> tuple[set[UUID], int]:
    """Insert charges as `in_flight`; return their ids, and the hour's total in rupiah.

    A row of `fresh` that violates `charges_one_unresolved`, or whose attempt exists, is left out:
    another transaction made that charge. Rows of `again` exist, and the gateway never received
    them. The invoice of each charge has no date until the charge is settled. The total of an hour
    is kept in several rows, one of which belongs to this process, so that no process waits for
    another.
    """
    parameters = {
        "rows": as_json([charge._asdict() for charge in fresh]),
        "again": as_array(_claim_again(connection, again)),
        "invoices": as_array(charge.invoice_id for charge in (*fresh, *again)),
        "now": now,
        "actor": SCHEDULER.name,
        "hour": hour,
        "shard": shard,
    }
    found = connection.execute(_CLAIM, parameters).all()
    return {row[0] for row in found}, int(found[0][1]) if found else 0


def _claim_again(connection: Connection, charges: Sequence[NewCharge]) -> set[UUID]:
    """Move charges that the gateway never received to `in_flight` again, and return their ids.

    The charges keep their attempt, number and Request-Id.
    """
    from billing.store.tables import CHARGES

    again = set()
    for charge in charges:
        kept = {
            "id", "invoice_id", "subscription_id", "customer_id", "plan_code", "attempt",
            "created_at",
        }  # fmt: skip
        values = {name: value for name, value in charge._asdict().items() if name not in kept}
        statement = (
            update(CHARGES)
            .where(CHARGES.c.id == charge.id, CHARGES.c.status.in_(("unsent", "declined")))
            .values(
                **values,
                sends=CHARGES.c.sends + case((CHARGES.c.status == "unsent", 0), else_=1),
                **dict.fromkeys(("fault", "code", "message", "waiting", "settled_at"), None),
                **dict.fromkeys(("failed_seen_at", "parked_at", "leased_until"), None),
                status_queries=0,
                never_received=False,
            )
            .returning(CHARGES.c.id)
        )
        again |= set(connection.execute(statement).scalars().all())
    return again

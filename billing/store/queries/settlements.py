"""Statements of settling: read what a decision about a charge needs, and write its outcome."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.dunning import RetryTerms
from billing.domain.events import Actor
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import Fault, Waiting
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.store.queries.breaker import COUNT
from billing.store.rows import as_array, as_json
from billing.store.selecting import columns, every
from billing.store.statements import text


class ChargeState(NamedTuple):
    """A charge whose subscription is locked, with what the decision about a success needs."""

    id: UUID
    invoice_id: UUID
    subscription_id: UUID
    customer_id: str
    status: ChargeStatus
    sent_at: datetime
    amount: int
    invoice_status: InvoiceStatus
    subscription_status: SubscriptionStatus
    first_paid_at: datetime | None
    next_period_index: int
    cycles: int | None
    timezone: str
    parked_at: datetime | None
    resolved_at: datetime | None  # when an operator resolved it, unless that was contradicted
    notified: bool  # a notification has made a status query of it due, unless contradicted
    troubled: bool  # the gateway has refused requests lately
    other_open: bool  # the subscription has another open invoice


class Circumstances(NamedTuple):
    """The facts that any other decision about a charge needs in addition."""

    id: UUID
    gateway_number: str
    wallet_id: UUID
    trigger: Trigger
    sends: int
    status_queries: int
    failed_seen_at: datetime | None
    waiting: Waiting | None
    fault: Fault | None
    code: str | None
    message: str | None
    unsent_by_answer: bool
    first_failed_at: datetime | None
    steps_short: int
    planned_at: datetime | None
    step_deadline_at: datetime | None
    reopened: bool
    retries: str
    retries_for: dict[str, str] | None
    declines_max: int | None
    attempts_max: int | None
    days_max: int | None
    wallet_status: WalletStatus
    expires_at: datetime | None
    charging: bool
    tripped: bool
    relinked: bool  # the customer has linked another wallet since

    @property
    def retry_terms(self) -> RetryTerms:
        """The plan's dunning columns."""
        return RetryTerms(
            self.retries, self.retries_for, self.declines_max, self.attempts_max, self.days_max
        )


class OutcomeColumns(TypedDict):
    """The columns of a charge that settling writes; `key` is its id."""

    key: UUID
    status: ChargeStatus
    surplus: bool
    fault: Fault | None
    code: str | None
    message: str | None
    waiting: Waiting | None
    next_check_at: datetime | None
    failed_seen_at: datetime | None
    parked_at: datetime | None
    settled_at: datetime | None
    sent_at: datetime
    asked: int
    resent: int
    unsent: int
    by_answer: bool
    final: bool
    succeeded: bool


_STATE = columns(
    ChargeState,
    "ch",
    invoice_status="i.status",
    subscription_status="s.status",
    first_paid_at="s.first_paid_at",
    next_period_index="s.next_period_index",
    cycles="p.cycles",
    timezone="p.timezone",
    resolved_at="CASE WHEN ch.contradicted_at IS NULL THEN ch.resolved_at END",
    notified="ch.notified_at IS NOT NULL AND ch.contradicted_at IS NULL",
    troubled="(SELECT troubles > 0 FROM engine)",
    other_open="EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = ch.subscription_id"
    " AND o.status = 'open' AND o.id <> ch.invoice_id)",
)
_CIRCUMSTANCES = columns(
    Circumstances,
    "ch",
    first_failed_at="i.first_failed_at",
    steps_short="i.steps_short",
    planned_at="i.planned_at",
    step_deadline_at="i.step_deadline_at",
    reopened="i.reopened_at IS NOT NULL",
    retries="p.retries",
    retries_for="p.retries_for",
    declines_max="p.declines_max",
    attempts_max="p.attempts_max",
    days_max="p.days_max",
    wallet_status="w.status",
    expires_at="w.expires_at",
    charging="(SELECT stopped_at IS NULL FROM engine)",
    tripped="(SELECT tripped_at IS NOT NULL FROM engine)",
    relinked="EXISTS (SELECT 1 FROM wallets a WHERE a.customer_id = ch.customer_id"
    " AND a.status = 'active' AND a.id <> ch.wallet_id)",
)


def lock_for_settling(connection: Connection, charge_ids: Sequence[UUID]) -> list[ChargeState]:
    """Lock the subscriptions of charges, and read what a plain success needs."""
    ids = {"ids": as_array(charge_ids)}
    connection.execute(
        text(
            "SELECT id FROM subscriptions WHERE id IN"
            " (SELECT subscription_id FROM charges WHERE id = ANY(CAST(:ids AS uuid[])))"
            " ORDER BY id FOR UPDATE"
        ),
        ids,
    )
    # A second statement, so that it sees what was committed while the first one waited.
    statement = text(f"""
        SELECT {_STATE}
        FROM charges ch
        JOIN invoices i ON i.id = ch.invoice_id
        JOIN subscriptions s ON s.id = ch.subscription_id
        JOIN plans p ON p.code = s.plan_code
        WHERE ch.id = ANY(CAST(:ids AS uuid[])) ORDER BY ch.created_at, ch.id
    """)  # noqa: S608 - a constant of ours
    return every(ChargeState, connection.execute(statement, ids))


def circumstances(connection: Connection, charge_ids: Sequence[UUID]) -> dict[UUID, Circumstances]:
    """Read what other decisions need in addition, by charge."""
    statement = text(f"""
        SELECT {_CIRCUMSTANCES}
        FROM charges ch
        JOIN invoices i ON i.id = ch.invoice_id
        JOIN subscriptions s ON s.id = ch.subscription_id
        JOIN plans p ON p.code = s.plan_code
        JOIN wallets w ON w.id = ch.wallet_id
        WHERE ch.id = ANY(CAST(:ids AS uuid[]))
    """)  # noqa: S608 - a constant of ours
    rows = every(Circumstances, connection.execute(statement, {"ids": as_array(charge_ids)}))
    return {row.id: row for row in rows}


_SETTLED = text(f"""
    WITH outcomes AS (
        UPDATE charges c SET status = n.status, surplus = n.surplus,
            next_check_at = n.next_check_at, failed_seen_at = n.failed_seen_at,
            parked_at = n.parked_at, settled_at = n.settled_at, sent_at = n.sent_at,
            leased_until = NULL, held_at = NULL, held_why = NULL,
            fault = CASE WHEN NOT n.succeeded THEN coalesce(n.fault, c.fault) END,
            code = CASE WHEN NOT n.succeeded THEN coalesce(n.code, c.code) END,
            message = CASE WHEN NOT n.succeeded THEN coalesce(n.message, c.message) END,
            waiting = CASE WHEN NOT n.succeeded THEN coalesce(n.waiting, c.waiting) END,
            status_queries = c.status_queries + n.asked,
            unsent_attempts = c.unsent_attempts + n.unsent,
            unsent_by_answer = c.unsent_by_answer OR n.by_answer,
            sends = c.sends + n.resent,
            kept = CASE WHEN n.succeeded THEN c.amount ELSE 0 END,
            never_received = c.never_received AND n.status = 'declined',
            body_sealed = CASE WHEN NOT n.final THEN c.body_sealed END
        FROM json_to_recordset(CAST(:rows AS json)) AS n(key uuid, status text, surplus boolean,
            fault text, code text, message text, waiting text, next_check_at timestamptz,
            failed_seen_at timestamptz, parked_at timestamptz, settled_at timestamptz,
            sent_at timestamptz, asked int, resent int, unsent int,
            by_answer boolean, final boolean, succeeded boolean)
        WHERE c.id = ANY(CAST(:keys AS uuid[])) AND c.id = n.key
        RETURNING c.id, c.customer_id, c.subscription_id, c.invoice_id, c.amount
    ), recorded AS (
        INSERT INTO events (at, kind, actor, reason, customer_id, subscription_id, invoice_id,
            charge_id, data)
        SELECT :now, fact.kind, :actor, :reason, o.customer_id, o.subscription_id, o.invoice_id,
            o.id, fact.data
        FROM outcomes o CROSS JOIN LATERAL (VALUES
            ('charge.succeeded', jsonb_build_object('source', CAST(:source AS text))),
            ('invoice.paid', jsonb_build_object('amount', o.amount))) AS fact (kind, data)
        WHERE o.id = ANY(CAST(:plain AS uuid[]))
    ), paid AS (
        UPDATE invoices SET status = 'paid', paid_at = :now, closed_at = :now,
            next_attempt_at = NULL, blocked_on = NULL, shortfall = NULL, step_deadline_at = NULL,
            planned_at = NULL, leased_until = NULL, reason = NULL, held_at = NULL, held_why = NULL
        WHERE id = ANY(CAST(:invoices AS uuid[]))
    ), counted AS ({COUNT})
    UPDATE subscriptions SET first_paid_at = :now
    WHERE id = ANY(CAST(:first AS uuid[])) AND first_paid_at IS NULL
""")  # noqa: S608 - a constant of ours


def body_of(connection: Connection, charge_id: UUID) -> bytes:
    """Read the encrypted body of an unresolved charge, to resend it."""
    statement = text("SELECT body_sealed FROM charges WHERE id = :id")
    return bytes(connection.execute(statement, {"id": charge_id}).scalar_one())


def write_outcomes(
    connection: Connection,
    rows: dict[UUID, OutcomeColumns],
    now: datetime,
    *,
    paid: Sequence[UUID],
    first: Sequence[UUID],
    plain: Sequence[UUID],
    source: str,
    by: Actor,
    shard: int = 0,
    answered: int = 0,
) -> None:
    """Write the outcomes of charges, by their ids.

    Close the invoices in `paid`, record the first payment of the subscriptions in `first`, and
    record the events of the charges in `plain`, which succeeded and paid their invoices. Nearly all
    charges are plain. Add the number of live answers to a `shard`, unless they are counted
    separately.
    """
    if rows:
        parameters = {
            "rows": as_json(list(rows.values())),
            "keys": as_array(rows),
            "now": now,
            "invoices": as_array(paid),
            "first": as_array(first),
            "plain": as_array(plain),
            "source": source,
            "actor": by.name,
            "reason": by.reason,
            "shard": shard,
            "answered": answered,
            "suspicious": 0,
        }
        connection.execute(_SETTLED, parameters)


def mark_never_received(connection: Connection, charge_ids: Sequence[UUID]) -> None:
    """Mark declined charges that the gateway never received: they may be resent."""
    statement = text(
        "UPDATE charges SET never_received = true WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
    connection.execute(statement, {"ids": as_array(charge_ids)})


def mark_resolved(
    connection: Connection, charge_ids: Sequence[UUID], at: datetime, ask_at: datetime
) -> None:
    """Mark charges that an operator resolved, and set their next status query."""
    statement = text(
        "UPDATE charges SET resolved_at = :at, next_check_at = :ask_at, status_queries = 0"
        " WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
    parameters = {"ids": as_array(charge_ids), "at": at, "ask_at": ask_at}
    connection.execute(statement, parameters)


def note_recheck(
    connection: Connection,
    charge_id: UUID,
    ask_at: datetime | None,
    contradicted_at: datetime | None,
) -> None:
    """Record that a resolved charge was queried again, and whether the gateway denies it."""
    statement = text(
        "UPDATE charges SET next_check_at = :ask_at, leased_until = NULL,"
        " status_queries = status_queries + 1, contradicted_at = :contradicted_at WHERE id = :id"
    )
    parameters = {"id": charge_id, "ask_at": ask_at, "contradicted_at": contradicted_at}
    connection.execute(statement, parameters)

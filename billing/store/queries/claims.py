"""Statements of the claim: find what may be charged, and insert the charges to send."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, case, update

from billing.domain.events import SCHEDULER
from billing.store.rows import as_array, as_json
from billing.store.statements import text
from billing.store.tables import CHARGES


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
) -> list[RowMapping]:
    """Read invoices that may be charged now, with everything that a charge needs.

    Open and due, the oldest open one of its subscription, and no charge of the subscription
    unresolved. With `locked`, only invoices of these subscriptions, whose locks make the
    answer stay true until the commit.

    On the first of a month PostgreSQL's statistics are of the day before, when hardly an invoice
    was open. MATERIALIZED and OFFSET 0 keep it from scanning all that are open, for each of them:
    every table is looked into by key.
    """
    statement = text("""
        WITH i AS MATERIALIZED (
            SELECT * FROM invoices WHERE id = ANY(CAST(:ids AS uuid[])))
        SELECT i.id AS invoice_id, i.subscription_id, i.customer_id, i.period_index,
               i.change_index, i.amount - i.credited AS amount, i.next_trigger,
               i.first_failed_at, i.blocked_on, i.steps_short, i.step_deadline_at, i.planned_at,
               s.status AS subscription_status, s.first_paid_at,
               p.name AS plan_name, p.use_points, p.retries,
               nullif(p.retries_for, '{}') AS retries_for, p.declines_max,
               p.attempts_max, p.days_max, p.timezone, p.on_exhausted,
               c.name, c.phone, c.email, w.id AS wallet_id, w.token_sealed, w.expires_at,
               last.ordinal AS last_ordinal, last.id AS last_charge_id,
               last.gateway_number AS last_number, last.status AS last_status,
               coalesce(last.status = 'unsent'
                   OR last.status = 'declined' AND last.never_received, false) AS unused
        FROM i
        JOIN subscriptions s ON s.id = i.subscription_id
        JOIN plans p ON p.code = s.plan_code
        JOIN customers c ON c.id = i.customer_id
        LEFT JOIN wallets w ON w.customer_id = i.customer_id AND w.status = 'active'
        LEFT JOIN LATERAL (SELECT ch.id, ch.ordinal, ch.gateway_number, ch.status,
                ch.never_received FROM charges ch
            WHERE ch.invoice_id = i.id ORDER BY ch.ordinal DESC LIMIT 1) AS last ON true
        WHERE i.status = 'open' AND i.next_attempt_at <= :now AND i.held_at IS NULL
          AND (:any OR i.subscription_id = ANY(CAST(:locked AS uuid[])))
          AND NOT EXISTS (SELECT 1 FROM charges u WHERE u.subscription_id = i.subscription_id
              AND u.status IN ('in_flight', 'pending', 'unknown') OFFSET 0)
          AND NOT EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
              AND o.status = 'open'
              AND (o.period_index, o.change_index) < (i.period_index, i.change_index) OFFSET 0)
        ORDER BY i.next_attempt_at, i.id
    """)
    parameters = {
        "ids": as_array(invoice_ids),
        "now": now,
        "any": locked is None,
        "locked": as_array(locked or []),
    }
    return list(connection.execute(statement, parameters).mappings().all())


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


_CLAIM = text("""
    WITH new AS (
        INSERT INTO charges (id, invoice_id, subscription_id, customer_id, wallet_id, ordinal,
            gateway_number, trigger, first_payment, amount, status, body_sealed, created_at,
            sent_at, next_check_at)
        SELECT id, invoice_id, subscription_id, customer_id, wallet_id, ordinal, gateway_number,
            trigger, first_payment, amount, status, body_sealed, created_at, sent_at, next_check_at
        FROM json_to_recordset(CAST(:rows AS json)) AS n(id uuid, invoice_id uuid,
            subscription_id uuid, customer_id text, wallet_id uuid, ordinal smallint,
            gateway_number text, trigger text, first_payment boolean, amount bigint, status text,
            body_sealed bytea, created_at timestamptz, sent_at timestamptz,
            next_check_at timestamptz)
        ON CONFLICT DO NOTHING
        RETURNING id, invoice_id, subscription_id, customer_id, ordinal, amount, first_payment,
            trigger
    ), mine AS (
        SELECT * FROM new UNION ALL
        SELECT id, invoice_id, subscription_id, customer_id, ordinal, amount, first_payment, trigger
        FROM charges WHERE id = ANY(CAST(:again AS uuid[]))
    ), off_schedule AS (
        UPDATE invoices i SET next_attempt_at = NULL, leased_until = NULL, blocked_on = NULL,
            shortfall = NULL, reason = NULL, next_trigger = 'scheduled',
            -- A person's try goes before what the ladder has planned, which then goes on.
            step_deadline_at = CASE WHEN i.next_trigger <> 'scheduled'
                THEN i.step_deadline_at END,
            planned_at = CASE WHEN i.next_trigger <> 'scheduled' THEN i.planned_at END
        FROM mine WHERE i.id = ANY(CAST(:invoices AS uuid[])) AND i.id = mine.invoice_id
    ), told AS (
        INSERT INTO events (at, kind, actor, customer_id, subscription_id, invoice_id, charge_id,
            data)
        SELECT :now, 'charge.claimed', :actor, customer_id, subscription_id, invoice_id, id,
            jsonb_build_object('ordinal', ordinal, 'amount', amount,
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
""")


def claim(
    connection: Connection,
    fresh: Sequence[dict[str, Any]],
    again: Sequence[dict[str, Any]],
    now: datetime,
    *,
    hour: datetime,
    shard: int,
) -> tuple[set[UUID], int]:
    """Insert charges as `in_flight`; return their ids, and the hour's total in rupiah.

    A fresh row that meets `charges_one_unresolved` or an ordinal that exists is left out:
    somebody else's charge stands there. Those of `again` exist, and the gateway never had them.
    With each, its invoice is taken off the schedule: it has no date until the charge is settled.
    An hour is counted in several rows, of which this process has one, so that nobody waits.
    """
    parameters = {
        "rows": as_json(fresh),
        "again": as_array(_claim_again(connection, again)),
        "invoices": as_array(row["invoice_id"] for rows in (fresh, again) for row in rows),
        "now": now,
        "actor": SCHEDULER.name,
        "hour": hour,
        "shard": shard,
    }
    found = connection.execute(_CLAIM, parameters).all()
    return {row[0] for row in found}, int(found[0][1]) if found else 0


def _claim_again(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Move charges that the gateway never received to `in_flight` again, and return their ids.

    They keep their ordinal, number and Request-Id; `rows` has the columns of a claim.
    """
    again = set()
    for row in rows:
        kept = {"id", "invoice_id", "subscription_id", "customer_id", "ordinal", "created_at"}
        values = {name: value for name, value in row.items() if name not in kept}
        statement = (
            update(CHARGES)
            .where(CHARGES.c.id == row["id"], CHARGES.c.status.in_(("unsent", "declined")))
            .values(
                **values,
                sends=CHARGES.c.sends + case((CHARGES.c.status == "unsent", 0), else_=1),
                **dict.fromkeys(("fault", "code", "message", "waiting", "settled_at"), None),
                **dict.fromkeys(("failed_seen_at", "parked_at", "leased_until"), None),
                asks=0,
                never_received=False,
            )
            .returning(CHARGES.c.id)
        )
        again |= set(connection.execute(statement).scalars().all())
    return again

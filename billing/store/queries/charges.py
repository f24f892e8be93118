"""Statements about charges: candidates, the claim, settling, asking."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, case, update

from billing.store.rows import as_array, as_json
from billing.store.statements import text
from billing.store.tables import CHARGES


def lock_subscriptions_of(connection: Connection, invoice_ids: Sequence[UUID]) -> list[UUID]:
    """Lock the subscriptions of invoices, passing over those that somebody else holds."""
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
    """Invoices that may be charged now, with all that a charge needs.

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
               p.name AS plan_name, p.use_points, p.retries, p.retries_for, p.declines_max,
               p.attempts_max, p.days_max, p.timezone, p.on_exhausted,
               c.name, c.phone, c.email, w.id AS wallet_id, w.token_sealed, w.expires_at,
               last.ordinal AS last_ordinal, last.id AS last_charge_id,
               last.gateway_number AS last_number, last.status AS last_status,
               coalesce(last.status = 'unsent'
                   OR last.status = 'declined' AND last.code = 'not_found', false) AS unused
        FROM i
        JOIN subscriptions s ON s.id = i.subscription_id
        JOIN plans p ON p.code = s.plan_code
        JOIN customers c ON c.id = i.customer_id
        LEFT JOIN wallets w ON w.customer_id = i.customer_id AND w.status = 'active'
        LEFT JOIN LATERAL (SELECT ch.id, ch.ordinal, ch.gateway_number, ch.status,
                ch.code FROM charges ch
            WHERE ch.invoice_id = i.id ORDER BY ch.ordinal DESC LIMIT 1) AS last ON true
        WHERE i.status = 'open' AND i.next_attempt_at <= :now
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
    """Which of these invoices have a charge, whatever became of it."""
    statement = text(
        "SELECT i.key FROM unnest(CAST(:ids AS uuid[])) AS i (key)"
        " WHERE EXISTS (SELECT 1 FROM charges c WHERE c.invoice_id = i.key)"
    )
    return list(connection.execute(statement, {"ids": as_array(invoice_ids)}).scalars().all())


_CLAIM = text("""
    INSERT INTO charges (id, invoice_id, subscription_id, customer_id, wallet_id, ordinal,
        gateway_number, trigger, first_payment, amount, status, body_sealed, created_at, sent_at,
        next_check_at)
    SELECT id, invoice_id, subscription_id, customer_id, wallet_id, ordinal, gateway_number,
        trigger, first_payment, amount, status, body_sealed, created_at, sent_at, next_check_at
    FROM json_populate_recordset(CAST(NULL AS charges), CAST(:rows AS json))
    ON CONFLICT DO NOTHING RETURNING id
""")


def claim(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Insert charges `in_flight`, and return the ids of those that are new.

    A row that meets `charges_one_unresolved` or an ordinal that exists is left out: somebody
    else's charge stands there.
    """
    if not rows:
        return set()
    return set(connection.execute(_CLAIM, {"rows": as_json(rows)}).scalars().all())


def claim_again(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Put charges that the gateway never had on the wire again, and return their ids.

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
            )
            .returning(CHARGES.c.id)
        )
        again |= set(connection.execute(statement).scalars().all())
    return again


def take_off_schedule(connection: Connection, invoice_ids: Sequence[UUID]) -> None:
    """An invoice with a charge on the wire has no date until the charge is settled."""
    if invoice_ids:
        connection.execute(
            text(
                "UPDATE invoices SET next_attempt_at = NULL, leased_until = NULL,"
                " blocked_on = NULL, shortfall = NULL, next_trigger = 'scheduled',"
                # A person's try goes before what the ladder has planned, which then goes on.
                " step_deadline_at = CASE WHEN next_trigger <> 'scheduled'"
                " THEN step_deadline_at END,"
                " planned_at = CASE WHEN next_trigger <> 'scheduled' THEN planned_at END"
                " WHERE id = ANY(CAST(:ids AS uuid[]))"
            ),
            {"ids": as_array(invoice_ids)},
        )


def lock_for_settling(connection: Connection, charge_ids: Sequence[UUID]) -> list[RowMapping]:
    """Lock the subscriptions of charges and return what a decision about them needs."""
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
    statement = text("""
        SELECT ch.id, ch.invoice_id, ch.subscription_id, ch.customer_id, ch.wallet_id,
               ch.status, ch.trigger, ch.sends, ch.asks, ch.sent_at, ch.failed_seen_at,
               ch.waiting, ch.amount, ch.gateway_number, ch.ordinal,
               i.status AS invoice_status, i.first_failed_at, i.steps_short,
               i.planned_at, i.step_deadline_at,
               s.status AS subscription_status, s.next_due_at, s.cancel_at, s.first_paid_at,
               p.timezone, p.retries, p.retries_for, p.declines_max, p.attempts_max, p.days_max,
               p.on_exhausted, p.cycles, s.next_period_index,
               w.status AS wallet_status, w.expires_at,
               (SELECT stopped_at IS NULL FROM engine) AS charging,
               (SELECT troubles > 0 FROM engine) AS troubled,
               EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = ch.subscription_id
                   AND o.status = 'open' AND o.id <> ch.invoice_id) AS other_open,
               EXISTS (SELECT 1 FROM wallets a WHERE a.customer_id = ch.customer_id
                   AND a.status = 'active' AND a.id <> ch.wallet_id) AS relinked
        FROM charges ch
        JOIN invoices i ON i.id = ch.invoice_id
        JOIN subscriptions s ON s.id = ch.subscription_id
        JOIN plans p ON p.code = s.plan_code
        JOIN wallets w ON w.id = ch.wallet_id
        WHERE ch.id = ANY(CAST(:ids AS uuid[])) ORDER BY ch.created_at, ch.id
    """)
    return list(connection.execute(statement, ids).mappings().all())


def history(connection: Connection, invoice_ids: Sequence[UUID]) -> dict[UUID, RowMapping]:
    """What became of the earlier charges of invoices, counted."""
    statement = text("""
        SELECT invoice_id,
               count(*) FILTER (WHERE status = 'declined' AND trigger = 'scheduled'
                   AND fault NOT IN ('wallet', 'technical')) AS scheduled_declines,
               count(*) FILTER (WHERE status = 'declined' AND trigger = 'scheduled'
                   AND fault = 'technical')
                   AS technical_declines,
               count(*) FILTER (WHERE status = 'declined' AND fault <> 'wallet') AS attempts,
               (array_agg(fault ORDER BY ordinal DESC) FILTER (WHERE status = 'declined'
                   AND trigger = 'scheduled' AND fault <> 'wallet'))[1] AS last_fault,
               coalesce(sum(turned_away), 0)::int AS unsent
        FROM charges WHERE invoice_id = ANY(CAST(:ids AS uuid[])) GROUP BY invoice_id
    """)
    rows = connection.execute(statement, {"ids": as_array(invoice_ids)}).mappings()
    return {row["invoice_id"]: row for row in rows}


_OUTCOMES = text("""
    UPDATE charges c SET status = n.status, surplus = n.surplus, next_check_at = n.next_check_at,
        failed_seen_at = n.failed_seen_at, parked_at = n.parked_at, settled_at = n.settled_at,
        sent_at = n.sent_at, leased_until = NULL,
        fault = CASE WHEN NOT n.succeeded THEN coalesce(n.fault, c.fault) END,
        code = CASE WHEN NOT n.succeeded THEN coalesce(n.code, c.code) END,
        message = CASE WHEN NOT n.succeeded THEN coalesce(n.message, c.message) END,
        waiting = CASE WHEN NOT n.succeeded THEN coalesce(n.waiting, c.waiting) END,
        asks = c.asks + n.asked, turned_away = c.turned_away + n.unsent,
        sends = c.sends + n.resent,
        body_sealed = CASE WHEN NOT n.final THEN c.body_sealed END
    FROM json_to_recordset(CAST(:rows AS json)) AS n(key uuid, status text, surplus boolean,
        fault text, code text, message text, waiting text, next_check_at timestamptz,
        failed_seen_at timestamptz, parked_at timestamptz, settled_at timestamptz,
        sent_at timestamptz, asked int, resent int, unsent int, final boolean, succeeded boolean)
    WHERE c.id = ANY(CAST(:keys AS uuid[])) AND c.id = n.key
""")


def body_of(connection: Connection, charge_id: UUID) -> bytes:
    """The sealed body of a charge that is unresolved: what to send again."""
    statement = text("SELECT body_sealed FROM charges WHERE id = :id")
    return bytes(connection.execute(statement, {"id": charge_id}).scalar_one())


def write_outcomes(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write what decisions say about charges; each row has `key` and the columns above."""
    if rows:
        parameters = {"rows": as_json(rows), "keys": as_array(row["key"] for row in rows)}
        connection.execute(_OUTCOMES, parameters)


def lease_to_ask(
    connection: Connection, now: datetime, *, lease_seconds: int, limit: int
) -> list[UUID]:
    """Lease unresolved charges whose status query is due."""
    statement = text("""
        UPDATE charges SET leased_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (ARRAY(
            SELECT id FROM charges
            WHERE next_check_at <= :now
              AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY next_check_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING id
    """)
    parameters = {"now": now, "lease": lease_seconds, "limit": limit}
    return list(connection.execute(statement, parameters).scalars().all())


def to_ask(connection: Connection, ids: Sequence[UUID], now: datetime) -> list[RowMapping]:
    """The charges among `ids` whose status query is still due."""
    statement = text(
        "SELECT id, gateway_number, amount FROM charges"
        " WHERE id = ANY(:ids) AND next_check_at <= :now ORDER BY next_check_at, id"
    )
    return list(connection.execute(statement, {"ids": list(ids), "now": now}).mappings().all())


def one(connection: Connection, charge_id: UUID) -> RowMapping | None:
    """One charge."""
    statement = text("SELECT * FROM charges WHERE id = :id")
    return connection.execute(statement, {"id": charge_id}).mappings().one_or_none()


def unresolved_of(connection: Connection, subscription_id: UUID) -> int:
    """How many charges of a subscription are unresolved: one, or none."""
    statement = text(
        "SELECT count(*) FROM charges WHERE subscription_id = :id"
        " AND status IN ('in_flight', 'pending', 'unknown')"
    )
    return int(connection.execute(statement, {"id": subscription_id}).scalar_one())


def paying(connection: Connection, invoice_id: UUID) -> RowMapping | None:
    """The charge that paid an invoice."""
    statement = text(
        "SELECT * FROM charges WHERE invoice_id = :id AND status = 'succeeded' AND NOT surplus"
    )
    return connection.execute(statement, {"id": invoice_id}).mappings().one_or_none()


def counts_since(
    connection: Connection, customer_ids: Sequence[str], since: datetime
) -> dict[str, int]:
    """How many charges were made of each customer since an instant."""
    statement = text(
        "SELECT customer_id, count(*) FROM charges WHERE customer_id = ANY(:ids)"
        " AND created_at > :since GROUP BY 1"
    )
    rows = connection.execute(statement, {"ids": list(customer_ids), "since": since})
    return {row[0]: row[1] for row in rows}


def refundable(connection: Connection, invoice_id: UUID) -> RowMapping | None:
    """The charge of an invoice to give money back from: a surplus one that has some, or the paying.

    A surplus payment gives itself back; what is left of one is there because that was declined.
    """
    statement = text(
        "SELECT * FROM charges WHERE invoice_id = :id AND status = 'succeeded'"
        " ORDER BY (surplus AND amount_refunding < amount) DESC, surplus LIMIT 1"
    )
    return connection.execute(statement, {"id": invoice_id}).mappings().one_or_none()


def page_of_window(
    connection: Connection, since: datetime, until: datetime, after: UUID, limit: int
) -> list[RowMapping]:
    """Charges made from `since` to before `until`, by id, after the last one of the page before."""
    statement = text(
        "SELECT id, gateway_number, amount, status FROM charges"
        " WHERE created_at >= :since AND created_at < :until AND id > :after"
        " ORDER BY id LIMIT :limit"
    )
    parameters = {"since": since, "until": until, "after": after, "limit": limit}
    return list(connection.execute(statement, parameters).mappings().all())

"""Statements about charges: settle, query status, and read what decisions need."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from billing.domain.events import Actor
from billing.store.queries.breaker import COUNT
from billing.store.rows import as_array, as_json
from billing.store.selecting import at_most_one, columns
from billing.store.statements import text


class Money(NamedTuple):
    """A charge and the split of its money; the parts are zero unless it succeeded."""

    id: UUID
    invoice_id: UUID
    subscription_id: UUID
    customer_id: str
    surplus: bool
    kept: int
    credited: int


_MONEY = f"SELECT {columns(Money)} FROM charges"  # noqa: S608 - a constant of ours


def lock_for_settling(connection: Connection, charge_ids: Sequence[UUID]) -> list[RowMapping]:
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
    statement = text("""
        SELECT ch.id, ch.invoice_id, ch.subscription_id, ch.customer_id, ch.status, ch.sent_at,
               ch.amount, i.status AS invoice_status, s.status AS subscription_status,
               s.first_paid_at, s.next_period_index, p.cycles, p.timezone, ch.parked_at,
               CASE WHEN ch.contradicted_at IS NULL THEN ch.resolved_at END AS resolved_at,
               (SELECT troubles > 0 FROM engine) AS troubled,
               EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = ch.subscription_id
                   AND o.status = 'open' AND o.id <> ch.invoice_id) AS other_open
        FROM charges ch
        JOIN invoices i ON i.id = ch.invoice_id
        JOIN subscriptions s ON s.id = ch.subscription_id
        JOIN plans p ON p.code = s.plan_code
        WHERE ch.id = ANY(CAST(:ids AS uuid[])) ORDER BY ch.created_at, ch.id
    """)
    return list(connection.execute(statement, ids).mappings().all())


def circumstances(connection: Connection, charge_ids: Sequence[UUID]) -> dict[UUID, RowMapping]:
    """Read what other decisions need in addition, by charge."""
    statement = text("""
        SELECT ch.id, ch.gateway_number, ch.wallet_id, ch.trigger, ch.sends, ch.asks,
               ch.failed_seen_at, ch.waiting, ch.fault, ch.code, ch.message, ch.unsent_by_answer,
               i.first_failed_at, i.steps_short, i.planned_at, i.step_deadline_at,
               i.reopened_at IS NOT NULL AS reopened,
               p.retries, p.retries_for, p.declines_max, p.attempts_max, p.days_max,
               w.status AS wallet_status, w.expires_at,
               (SELECT stopped_at IS NULL FROM engine) AS charging,
               (SELECT tripped_at IS NOT NULL FROM engine) AS tripped,
               EXISTS (SELECT 1 FROM wallets a WHERE a.customer_id = ch.customer_id
                   AND a.status = 'active' AND a.id <> ch.wallet_id) AS relinked
        FROM charges ch
        JOIN invoices i ON i.id = ch.invoice_id
        JOIN subscriptions s ON s.id = ch.subscription_id
        JOIN plans p ON p.code = s.plan_code
        JOIN wallets w ON w.id = ch.wallet_id
        WHERE ch.id = ANY(CAST(:ids AS uuid[]))
    """)
    rows = connection.execute(statement, {"ids": as_array(charge_ids)}).mappings()
    return {row["id"]: row for row in rows}


def history(connection: Connection, invoice_ids: Sequence[UUID]) -> dict[UUID, RowMapping]:
    """Count the outcomes of the earlier charges of invoices."""
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
            asks = c.asks + n.asked, turned_away = c.turned_away + n.unsent,
            unsent_by_answer = c.unsent_by_answer OR n.by_answer,
            sends = c.sends + n.resent,
            kept = CASE WHEN n.succeeded THEN c.amount ELSE 0 END,
            body_sealed = CASE WHEN NOT n.final THEN c.body_sealed END
        FROM json_to_recordset(CAST(:rows AS json)) AS n(key uuid, status text, surplus boolean,
            fault text, code text, message text, waiting text, next_check_at timestamptz,
            failed_seen_at timestamptz, parked_at timestamptz, settled_at timestamptz,
            sent_at timestamptz, asked int, resent int, unsent int,
            by_answer boolean, final boolean, succeeded boolean)
        WHERE c.id = ANY(CAST(:keys AS uuid[])) AND c.id = n.key
        RETURNING c.id, c.customer_id, c.subscription_id, c.invoice_id, c.amount
    ), told AS (
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
    rows: Sequence[dict[str, Any]],
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
    """Write the outcomes of charges; each row has `key` and the columns above.

    Close the invoices that are `paid`, remember the `first` payment of subscriptions, and record
    of the `plain` charges, which are nearly all, that they succeeded and paid their invoices.
    Count in a `shard` how many live answers came, unless they are counted apart.
    """
    if rows:
        parameters = {
            "rows": as_json(rows),
            "keys": as_array(row["key"] for row in rows),
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


def doubt(
    connection: Connection,
    invoice_ids: Sequence[UUID],
    status: str,
    now: datetime,
    later: datetime,
) -> list[RowMapping]:
    """Move charges that only an answer called unsent to `status`, if their invoice is closed.

    Only one charge of a subscription may be unresolved: another one has its turn `later`. One
    whose invoice is open again has no turn: the gateway is asked before it is sent. Returns what
    was moved.
    """
    statement = text("""
        WITH doubtful AS (
            SELECT c.id, i.status = 'open' AS is_open, i.status <> 'open'
                AND row_number() OVER (PARTITION BY c.subscription_id
                    ORDER BY i.status = 'open', c.sent_at, c.id) = 1
                AND NOT EXISTS (SELECT 1 FROM charges u
                    WHERE u.subscription_id = c.subscription_id
                    AND u.status IN ('in_flight', 'pending', 'unknown')) AS has_turn
            FROM charges c JOIN invoices i ON i.id = c.invoice_id
            WHERE c.invoice_id = ANY(CAST(:ids AS uuid[]))
              AND c.status = 'unsent' AND c.unsent_by_answer
        ), changed AS (
            UPDATE charges c SET leased_until = NULL,
                status = CASE WHEN d.has_turn THEN :status ELSE c.status END,
                settled_at = CASE WHEN NOT d.has_turn THEN c.settled_at END,
                next_check_at = CASE WHEN d.has_turn THEN CAST(:now AS timestamptz)
                    WHEN NOT d.is_open THEN CAST(:later AS timestamptz) END
            FROM doubtful d WHERE c.id = d.id
            RETURNING c.id, c.customer_id, c.subscription_id, c.invoice_id, c.message, d.has_turn
        )
        SELECT * FROM changed WHERE has_turn
    """)
    parameters = {"ids": as_array(invoice_ids), "status": status, "now": now, "later": later}
    return list(connection.execute(statement, parameters).mappings().all())


def mark_resolved(
    connection: Connection, charge_ids: Sequence[UUID], at: datetime, ask_at: datetime
) -> None:
    """Mark charges that an operator resolved, and set their next status query."""
    statement = text(
        "UPDATE charges SET resolved_at = :at, next_check_at = :ask_at, asks = 0"
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
        "UPDATE charges SET next_check_at = :ask_at, leased_until = NULL, asks = asks + 1,"
        " contradicted_at = :contradicted_at WHERE id = :id"
    )
    parameters = {"id": charge_id, "ask_at": ask_at, "contradicted_at": contradicted_at}
    connection.execute(statement, parameters)


def see_to(connection: Connection, charge_id: UUID) -> None:
    """Mark a contradicted charge as handled by an operator."""
    statement = text("UPDATE charges SET contradicted_at = NULL WHERE id = :id")
    connection.execute(statement, {"id": charge_id})


def contradicted(connection: Connection) -> list[RowMapping]:
    """Read charges resolved as succeeded whose money did not move, as the gateway says."""
    statement = text(
        "SELECT id, gateway_number, customer_id, subscription_id, invoice_id, amount, resolved_at,"
        " contradicted_at FROM charges WHERE contradicted_at IS NOT NULL ORDER BY contradicted_at"
    )
    return list(connection.execute(statement).mappings().all())


def lease_to_ask(
    connection: Connection, now: datetime, *, lease_seconds: int, limit: int
) -> list[UUID]:
    """Lease unresolved charges whose status query is due."""
    statement = text("""
        UPDATE charges SET leased_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (ARRAY(
            SELECT id FROM charges
            WHERE next_check_at <= :now AND held_at IS NULL
              AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY next_check_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING id
    """)
    parameters = {"now": now, "lease": lease_seconds, "limit": limit}
    return list(connection.execute(statement, parameters).scalars().all())


def to_ask(connection: Connection, ids: Sequence[UUID], now: datetime) -> list[RowMapping]:
    """Read the charges among `ids` whose status query is still due."""
    statement = text(
        "SELECT id, gateway_number, amount, status, invoice_id, subscription_id FROM charges"
        " WHERE id = ANY(:ids) AND next_check_at <= :now AND held_at IS NULL"
        " ORDER BY next_check_at, id"
    )
    return list(connection.execute(statement, {"ids": list(ids), "now": now}).mappings().all())


def end_leases(connection: Connection, charge_ids: Sequence[UUID]) -> None:
    """End the leases of charges that are not worked on."""
    connection.execute(
        text(
            "UPDATE charges SET leased_until = NULL"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND leased_until IS NOT NULL"
        ),
        {"ids": as_array(charge_ids)},
    )


def one(connection: Connection, charge_id: UUID) -> RowMapping | None:
    """Read one charge."""
    statement = text("SELECT * FROM charges WHERE id = :id")
    return connection.execute(statement, {"id": charge_id}).mappings().one_or_none()


def money_of(connection: Connection, charge_id: UUID) -> Money | None:
    """Read the split of one charge's money."""
    statement = text(f"{_MONEY} WHERE id = :id")
    return at_most_one(Money, connection.execute(statement, {"id": charge_id}))


def unresolved_of(connection: Connection, subscription_id: UUID) -> int:
    """Count the unresolved charges of a subscription: zero or one."""
    statement = text(
        "SELECT count(*) FROM charges WHERE subscription_id = :id"
        " AND status IN ('in_flight', 'pending', 'unknown')"
    )
    return int(connection.execute(statement, {"id": subscription_id}).scalar_one())


def paying(connection: Connection, invoice_id: UUID) -> Money | None:
    """Read the charge that paid an invoice."""
    statement = text(f"{_MONEY} WHERE invoice_id = :id AND status = 'succeeded' AND NOT surplus")
    return at_most_one(Money, connection.execute(statement, {"id": invoice_id}))


def refundable(connection: Connection, invoice_id: UUID) -> Money | None:
    """Read the charge to refund an invoice from: a surplus one with money left, or the paying one.

    A surplus payment is refunded automatically; money is left of it only if that was declined.
    """
    statement = text(
        f"{_MONEY} WHERE invoice_id = :id AND status = 'succeeded'"
        " ORDER BY (surplus AND kept > 0) DESC, surplus LIMIT 1"
    )
    return at_most_one(Money, connection.execute(statement, {"id": invoice_id}))


def page_of_window(
    connection: Connection, since: datetime, until: datetime, after: UUID, limit: int
) -> list[RowMapping]:
    """Read charges made from `since` to before `until`, by id, after the previous page."""
    statement = text(
        "SELECT id, gateway_number, amount, status, refunded FROM charges"
        " WHERE created_at >= :since AND created_at < :until AND id > :after"
        " ORDER BY id LIMIT :limit"
    )
    parameters = {"since": since, "until": until, "after": after, "limit": limit}
    return list(connection.execute(statement, parameters).mappings().all())

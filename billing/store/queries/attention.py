"""Attention: find every row that needs an operator, or is late, in one statement.

Each row has a kind, an id, the customer, a start, an amount, a cause and details. The statement
uses small indexes and scans no table. It decides nothing: `billing.services.attention` chooses the
command for a row.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED
from billing.domain.refund import ATTEMPTS_MAX, RETURNED, UNSETTLED
from billing.domain.webhooks import DISABLED_BY_OPERATOR
from billing.store.expressions import listed
from billing.store.queries.open_approvals import IS_CURRENT
from billing.store.queries.refunds import BREACHES, CONTRADICTED
from billing.store.queries.subscriptions import MAY_END, MAY_OPEN, MAY_PAUSE, MAY_RESUME
from billing.store.statements import text


class Item(NamedTuple):
    """A row that needs an operator, or, when `alarm` is false, is listed for information."""

    kind: str
    id: str
    customer: str | None
    invoice: str | None
    """The invoice of a refund; the refund's commands need it."""
    since_at: datetime
    amount: int | None
    cause: str
    why: str | None
    alarm: bool
    moves_at: datetime | None = None
    """When it will be processed automatically, if it will."""


class Wanted(NamedTuple):
    """A part of the list; a field that is None does not limit it."""

    kind: str | None = None
    cause: str | None = None
    alarm: bool | None = None
    customer: str | None = None
    ids: tuple[str, ...] | None = None


EVERYTHING = Wanted()


class Ages(NamedTuple):
    """Instants before which rows are too old. `late` is two ticks ago."""

    late: datetime
    quarter_hour: datetime
    hour: datetime
    day: datetime
    now: datetime


class Count(NamedTuple):
    """The number of rows of one kind and cause, and the age of the oldest."""

    kind: str
    cause: str
    alarm: bool
    rows: int
    since_at: datetime


_UNRESOLVED = listed("status", UNRESOLVED)
_UNSETTLED = listed("status", UNSETTLED)

_HELD = f"""
    SELECT 'subscription' AS kind, CAST(id AS text) AS id, customer_id AS customer,
           CAST(NULL AS text) AS invoice, held_at AS since_at, amount, 'held' AS cause,
           held_why AS why, true AS alarm
    FROM subscriptions WHERE held_at IS NOT NULL
    UNION ALL SELECT 'invoice', CAST(id AS text), customer_id, NULL, held_at, amount - credited,
           'held', held_why, true
    FROM invoices WHERE status = 'open' AND held_at IS NOT NULL
    UNION ALL SELECT 'charge', CAST(id AS text), customer_id, NULL, held_at, amount, 'held',
           held_why, true
    FROM charges WHERE {_UNRESOLVED} AND held_at IS NOT NULL
    UNION ALL SELECT 'refund', CAST(id AS text), customer_id, CAST(invoice_id AS text), held_at,
           amount, 'held', held_why, true
    FROM refunds WHERE status <> 'succeeded' AND held_at IS NOT NULL
    UNION ALL SELECT 'wallet', CAST(id AS text), customer_id, NULL, held_at, NULL, 'held',
           held_why, true
    FROM wallets WHERE held_at IS NOT NULL
"""  # noqa: S608 - constants of ours

_OTHER_AMOUNT = "coalesce(message, '') = 'other_amount' AND status_queries > 0"
_CHARGES = f"""
    SELECT 'charge', CAST(id AS text), customer_id, NULL, coalesce(parked_at, created_at), amount,
           CASE WHEN {_OTHER_AMOUNT} THEN 'other amount'
                WHEN parked_at IS NOT NULL THEN 'parked' ELSE status END,
           CASE WHEN {_OTHER_AMOUNT}
                THEN 'the gateway has another amount under its number ' || gateway_number
                ELSE coalesce(message, waiting) END,
           {_OTHER_AMOUNT} OR parked_at IS NOT NULL
               OR status = 'unknown' AND created_at < :hour
               OR status = 'pending' AND created_at < :day
               OR status = 'in_flight' AND sent_at < :quarter_hour
    FROM charges WHERE {_UNRESOLVED} AND held_at IS NULL
        AND (parked_at IS NOT NULL OR status <> 'in_flight' OR sent_at < :quarter_hour)
    UNION ALL SELECT 'charge', CAST(e.charge_id AS text), e.customer_id, NULL, e.at,
           (SELECT amount FROM charges c WHERE c.id = e.charge_id), 'contradicted', e.data->>'why',
           true
    FROM events e WHERE e.kind = 'charge.contradicted' AND NOT EXISTS (
        SELECT 1 FROM events seen WHERE seen.subscription_id = e.subscription_id
            AND seen.charge_id = e.charge_id AND seen.id > e.id
            AND seen.kind IN ('charge.released', 'charge.confirmed'))
"""  # noqa: S608 - constants of ours

_ENDS = listed("r.status", RETURNED) + " OR r.status IN ('declined', 'waived')"
# A refund in a status that this statement does not know needs an operator.
_REFUNDS = f"""
    SELECT 'refund', CAST(r.id AS text), r.customer_id, CAST(r.invoice_id AS text),
           coalesce(r.parked_at, r.settled_at, r.created_at), r.amount,
           CASE WHEN r.parked_at IS NOT NULL THEN 'parked' ELSE r.status END,
           coalesce(r.message, r.code), r.parked_at IS NOT NULL OR r.created_at < :hour
               OR NOT {_UNSETTLED.replace("status", "r.status")}
    FROM refunds r WHERE r.held_at IS NULL AND NOT ({_ENDS})
        AND NOT (r.status IN ('requested', 'in_flight') AND r.parked_at IS NULL
                 AND r.created_at >= :hour)
    UNION ALL SELECT 'refund', CAST(r.id AS text), r.customer_id, CAST(r.invoice_id AS text), e.at,
           r.amount, 'contradicted', 'the gateway says ' || (e.data->>'gateway'), true
    {CONTRADICTED}
    UNION ALL SELECT 'charge', CAST(c.id AS text), c.customer_id, NULL, e.at, c.amount, 'breach',
           'more was given back than it took', true
    {BREACHES}
"""  # noqa: S608 - constants of ours

_WALLETS = """
    SELECT 'wallet', CAST(id AS text), customer_id, NULL, created_at, NULL, 'link open', NULL,
           false
    FROM wallets WHERE next_attempt_at IS NOT NULL AND status = 'pending' AND created_at < :day
        AND held_at IS NULL
    UNION ALL SELECT 'wallet', CAST(id AS text), customer_id, NULL, unlink_requested_at, NULL,
           CASE WHEN attempts >= :attempts_max OR unlink_requested_at < :day THEN 'unlink stuck'
                ELSE 'unlinking' END,
           'tried ' || attempts || ' times', attempts >= :attempts_max OR unlink_requested_at < :day
    FROM wallets WHERE next_attempt_at IS NOT NULL AND unlink_requested_at IS NOT NULL
        AND held_at IS NULL
"""

_INVOICES = f"""
    SELECT 'invoice', CAST(id AS text), customer_id, NULL, closed_at, amount - credited,
           'uncollectible', reason, false
    FROM invoices WHERE status = 'uncollectible'
    UNION ALL SELECT 'invoice', CAST(id AS text), customer_id, NULL,
           CASE WHEN is_undated THEN created_at ELSE coalesce(first_failed_at, created_at) END,
           amount - credited,
           CASE WHEN is_undated THEN 'no date'
                WHEN reason IS NULL THEN 'waits for ' || blocked_on
                WHEN starts_with(reason, 'postponed') THEN 'postponed' ELSE 'unsendable' END,
           CASE WHEN is_undated THEN NULL WHEN reason IS NOT NULL THEN reason
                ELSE 'short by Rp ' || to_char(shortfall, 'FM9,999,999,999,999') END,
           is_undated OR reason IS NOT NULL
    FROM (SELECT id, customer_id, created_at, first_failed_at, amount, credited, reason, blocked_on,
              shortfall, next_attempt_at IS NULL AND reason IS NULL
              AND created_at < :quarter_hour
              AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = i.subscription_id
                  AND c.{_UNRESOLVED} OFFSET 0)
              AND NOT EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
                  AND o.status = 'open' AND (o.period_index, o.change_index)
                      < (i.period_index, i.change_index) OFFSET 0) AS is_undated
          FROM invoices i WHERE status = 'open' AND held_at IS NULL AND (reason IS NOT NULL
              OR blocked_on IS NOT NULL OR next_attempt_at IS NULL) OFFSET 0) AS stands
    WHERE is_undated OR reason IS NOT NULL OR blocked_on IS NOT NULL
    UNION ALL SELECT 'subscription', CAST(id AS text), customer_id, NULL,
           coalesce((SELECT max(at) FROM events e WHERE e.subscription_id = s.id
               AND e.kind = 'subscription.marked_unpaid'), created_at), amount, 'unpaid', reason,
           false
    FROM subscriptions s WHERE status = 'unpaid'
    UNION ALL SELECT 'engine', 'charging', NULL, NULL, stopped_at,
           (SELECT CAST(sum(amount - credited) AS bigint) FROM invoices
            WHERE next_attempt_at < :late AND held_at IS NULL), 'stopped', stopped_reason, true
    FROM engine WHERE stopped_at IS NOT NULL
"""  # noqa: S608 - constants of ours

_LATE = f"""
    SELECT 'subscription', CAST(s.id AS text), s.customer_id, NULL, s.next_due_at, s.amount,
           'late', 'its period has begun and is not open', true
    FROM subscriptions s WHERE s.next_due_at < :late AND {MAY_OPEN}
    UNION ALL SELECT 'subscription', CAST(s.id AS text), s.customer_id, NULL, s.cancel_at, NULL,
           'late', 'its end has come', true
    FROM subscriptions s WHERE s.cancel_at < :late AND {MAY_END}
    UNION ALL SELECT 'subscription', CAST(s.id AS text), s.customer_id, NULL, s.pause_at, NULL,
           'late', 'its pause has come', true
    FROM subscriptions s WHERE s.pause_at < :late AND {MAY_PAUSE}
    UNION ALL SELECT 'subscription', CAST(s.id AS text), s.customer_id, NULL, s.resume_at, NULL,
           'late', 'the end of its pause has come', true
    FROM subscriptions s WHERE s.resume_at < :late AND {MAY_RESUME}
    UNION ALL SELECT 'invoice', CAST(id AS text), customer_id, NULL, next_attempt_at,
           amount - credited, 'late', 'it is due to be charged', true
    FROM invoices WHERE next_attempt_at < :late AND held_at IS NULL
        AND (SELECT stopped_at IS NULL FROM engine)
    UNION ALL SELECT 'charge', CAST(id AS text), customer_id, NULL, next_check_at, amount, 'late',
           'its status query is late', true
    FROM charges WHERE next_check_at < :late AND held_at IS NULL
    UNION ALL SELECT 'refund', CAST(id AS text), customer_id, CAST(invoice_id AS text),
           next_attempt_at, amount, 'late', 'it is due to be sent', true
    FROM refunds WHERE next_attempt_at < :late AND held_at IS NULL
    UNION ALL SELECT 'wallet', CAST(id AS text), customer_id, NULL, next_attempt_at, NULL, 'late',
           'its link or unlink is due', true
    FROM wallets WHERE next_attempt_at < :late AND held_at IS NULL
    UNION ALL SELECT 'wallet', CAST(id AS text), customer_id, NULL, expires_at, NULL, 'late',
           'the year of its token has ended', true
    FROM wallets WHERE expires_at < :late AND status = 'active' AND held_at IS NULL
"""  # noqa: S608 - constants of ours

# An endpoint fails and is disabled in real time. After an hour its events are late, and it is a
# matter of days until it is disabled.
_WEBHOOKS = f"""
    SELECT 'webhook', CAST(id AS text), NULL, NULL, disabled_at, NULL, 'disabled',
           url || ': ' || disabled_cause, true
    FROM webhook_endpoints WHERE disabled_at IS NOT NULL AND deleted_at IS NULL
        AND disabled_cause <> '{DISABLED_BY_OPERATOR}'
    UNION ALL SELECT 'webhook', CAST(id AS text), NULL, NULL, failing_since, NULL, 'failing',
           url || ': no attempt has succeeded since then',
           failing_since < now() - interval '1 hour'
    FROM webhook_endpoints WHERE failing_since IS NOT NULL AND disabled_at IS NULL
    UNION ALL SELECT 'webhook', CAST(endpoint_id AS text), NULL, NULL, since_at, NULL,
           'deliveries failed', e.url || ': ' || deliveries || ' in 90 days', false
    FROM (SELECT endpoint_id, min(created_at) AS since_at, count(*) AS deliveries
          FROM webhook_deliveries WHERE status = 'failed' GROUP BY endpoint_id) AS failed
    JOIN webhook_endpoints e ON e.id = failed.endpoint_id AND e.deleted_at IS NULL
"""  # noqa: S608 - constants of ours

_APPROVALS = f"""
    SELECT 'approval', CAST(a.id AS text), a.customer_id, NULL, a.asked_at, nullif(a.amount, 0),
           'waits for approval', 'asked by ' || p.name || ': ' || a.reason, false
    FROM approvals a JOIN people p ON p.id = a.asked_by
    WHERE a.status = 'open' AND a.ends_at > :now AND {IS_CURRENT}
    UNION ALL SELECT 'approval', CAST(a.id AS text), NULL, NULL, a.decided_at, nullif(a.amount, 0),
           'not finished', 'approved by ' || p.name || ', who can continue it', true
    FROM approvals a JOIN people p ON p.id = a.decided_by
    WHERE a.kind = 'bulk' AND a.status = 'approved' AND a.ends_at > :now
        AND a.decided_at < :quarter_hour
        AND NOT EXISTS (SELECT 1 FROM commands WHERE key = 'api:console/' || a.key)
"""  # noqa: S608 - constants of ours

_PARTS = (_HELD, _CHARGES, _REFUNDS, _WALLETS, _INVOICES, _LATE, _WEBHOOKS, _APPROVALS)
_ALL = f"""
    SELECT DISTINCT ON (kind, id) kind, id, customer, invoice, since_at, amount, cause, why, alarm
    FROM ({" UNION ALL ".join(_PARTS)}) AS found
    ORDER BY kind, id, alarm DESC, cause = 'late', since_at
"""  # noqa: S608 - constants of ours
"""A row with several causes shows the most serious one; being late is the least serious."""


# Only a row that is neither held nor late has a future date.
_MOVES_AT = """
    CASE WHEN cause IN ('held', 'late') THEN NULL
         WHEN kind = 'invoice' THEN
            (SELECT next_attempt_at FROM invoices i WHERE i.id = CAST(item.id AS uuid))
         WHEN kind = 'charge' THEN
            (SELECT next_check_at FROM charges c WHERE c.id = CAST(item.id AS uuid))
         WHEN kind = 'refund' THEN
            (SELECT next_attempt_at FROM refunds r WHERE r.id = CAST(item.id AS uuid))
         WHEN kind = 'wallet' THEN
            (SELECT next_attempt_at FROM wallets w WHERE w.id = CAST(item.id AS uuid))
         WHEN kind = 'approval' THEN
            (SELECT ends_at FROM approvals a WHERE a.id = CAST(item.id AS uuid))
    END
"""


_LIMITS = {
    "kind": "kind = :kind_is",
    "cause": "cause = :cause_is",
    "alarm": "alarm = :alarm_is",
    "customer": "customer = :customer_is",
    "ids": "id = ANY(CAST(:ids_is AS text[]))",
}


def items(
    connection: Connection,
    ages: Ages,
    *,
    limit: int,
    after: Item | None = None,
    wanted: Wanted = EVERYTHING,
) -> list[Item]:
    """List rows that need an operator, oldest first, then rows for information.

    `after` is the last item of the previous page.
    """
    part = _part_of(ages, limit, after, wanted)
    statement = text(f"SELECT item.*, {_MOVES_AT} FROM ({_ALL}) AS item {part.clauses}")  # noqa: S608 - constants of ours
    return [Item(*row) for row in connection.execute(statement, part.values)]


def counts(connection: Connection, ages: Ages) -> list[Count]:
    """Count the same rows by kind and cause."""
    statement = text(f"""
        SELECT kind, cause, alarm, count(*), min(since_at) FROM ({_ALL}) AS item
        GROUP BY kind, cause, alarm ORDER BY NOT alarm, min(since_at), kind, cause
    """)  # noqa: S608 - constants of ours
    return [Count(*row) for row in connection.execute(statement, _parameters(ages))]


def items_and_counts(
    connection: Connection,
    ages: Ages,
    *,
    limit: int,
    after: Item | None = None,
    wanted: Wanted = EVERYTHING,
) -> tuple[list[Item], list[Count]]:
    """Return what `items` lists and `counts` counts; the rows are found once for both."""
    part = _part_of(ages, limit, after, wanted)
    statement = text(f"""
        WITH item AS MATERIALIZED ({_ALL})
        SELECT * FROM (
            (SELECT item.*, {_MOVES_AT} AS moves_at, CAST(NULL AS bigint) AS rows FROM item
             {part.clauses})
            UNION ALL
            SELECT kind, '', NULL, NULL, min(since_at), NULL, cause, NULL, alarm, NULL, count(*)
            FROM item GROUP BY kind, cause, alarm
        ) AS found ORDER BY rows IS NOT NULL, NOT alarm, since_at, kind, id, cause
    """)  # noqa: S608 - constants of ours
    listed, counted = list[Item](), list[Count]()
    for *columns, rows in connection.execute(statement, part.values):
        item = Item(*columns)
        if rows is None:
            listed.append(item)
        else:
            counted.append(Count(item.kind, item.cause, item.alarm, rows, item.since_at))
    return listed, counted


class _Part(NamedTuple):
    """The clauses that take one page of `item`, and all values of the statement."""

    clauses: str
    values: dict[str, object]


def _part_of(ages: Ages, limit: int, after: Item | None, wanted: Wanted) -> _Part:
    given = {name: value for name, value in wanted._asdict().items() if value is not None}
    limited = "".join(f" AND {_LIMITS[name]}" for name in given)
    values = {f"{name}_is": list(v) if name == "ids" else v for name, v in given.items()}
    last = {
        "first": after is None,
        "alarm": after is None or after.alarm,
        "since_at": after.since_at if after else None,
        "kind": after.kind if after else "",
        "id": after.id if after else "",
    }
    clauses = f"""
        WHERE (:first OR (NOT alarm, since_at, kind, id)
            > (NOT :alarm, CAST(:since_at AS timestamptz), :kind, :id)){limited}
        ORDER BY NOT alarm, since_at, kind, id LIMIT :limit
    """
    return _Part(clauses, {**_parameters(ages), **last, **values, "limit": limit})


def _parameters(ages: Ages) -> dict[str, object]:
    return {**ages._asdict(), "attempts_max": ATTEMPTS_MAX}

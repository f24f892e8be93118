"""Statements that erase a customer's personal data, and those that say what must come first.

Ids, amounts, dates, statuses and gateway numbers stay. The caller holds the locks of the customer
and of all its subscriptions.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED
from billing.domain.erasure import (
    ERASED,
    KEPT_IN_COMMANDS,
    KEPT_IN_EVENTS,
    KEPT_TITLES,
    Unfinished,
)
from billing.domain.refund import UNSETTLED, RefundStatus
from billing.domain.wallet import LIVE
from billing.store.expressions import listed
from billing.store.selecting import columns, of_values
from billing.store.statements import text

_LIVE = listed("status", LIVE)
_REFUNDS = listed("status", (*UNSETTLED, RefundStatus.UNRETURNED))
_COUNTS = columns(
    Unfinished,
    live_subscriptions="""(SELECT count(*) FROM subscriptions
        WHERE customer_id = :id AND ended_at IS NULL)""",
    open_invoices="""(SELECT count(*) FROM invoices i JOIN subscriptions s
        ON s.id = i.subscription_id WHERE s.customer_id = :id AND i.status = 'open')""",
    unresolved_charges=f"""(SELECT count(*) FROM charges WHERE customer_id = :id
        AND ({listed("status", UNRESOLVED)}
             OR status = 'unsent' AND next_check_at IS NOT NULL))""",  # noqa: S608 - constants of ours
    unsettled_refunds=f"""(SELECT count(*) FROM refunds
        WHERE customer_id = :id AND {_REFUNDS})""",  # noqa: S608 - the same
    payable_credit="""(SELECT CAST(coalesce(sum(least(remaining, from_charge - paid_out)), 0)
        AS bigint) FROM credits WHERE customer_id = :id)""",
)


def unfinished(connection: Connection, customer_id: str) -> Unfinished:
    """Count what must be finished before the customer may be erased."""
    statement = text(f"SELECT {_COUNTS}")
    return of_values(Unfinished, connection.execute(statement, {"id": customer_id}).one())


def lock_subscriptions(connection: Connection, customer_id: str) -> None:
    """Lock all subscriptions of a customer, also those that have ended."""
    statement = text("SELECT id FROM subscriptions WHERE customer_id = :id ORDER BY id FOR UPDATE")
    connection.execute(statement, {"id": customer_id})


def request(connection: Connection, customer_id: str, at: datetime) -> None:
    """Record that the customer is to be erased."""
    statement = text("UPDATE customers SET erase_requested_at = :at WHERE id = :id")
    connection.execute(statement, {"id": customer_id, "at": at})


_UNLINKS = f"({_LIVE} OR unlink_requested_at IS NOT NULL AND token_sealed IS NOT NULL)"


def is_linked(connection: Connection, customer_id: str) -> bool:
    """Whether a wallet of the customer is still to be unlinked."""
    statement = text(
        f"SELECT EXISTS (SELECT 1 FROM wallets WHERE customer_id = :id AND {_UNLINKS})"  # noqa: S608 - constants of ours
    )
    return bool(connection.execute(statement, {"id": customer_id}).scalar_one())


def due(connection: Connection, limit: int) -> list[str]:
    """Find customers to erase whose wallets are unlinked, the oldest request first."""
    statement = text(
        "SELECT c.id FROM customers c"  # noqa: S608 - constants of ours
        " WHERE c.erase_requested_at IS NOT NULL AND c.erased_at IS NULL"
        f" AND NOT EXISTS (SELECT 1 FROM wallets WHERE customer_id = c.id AND {_UNLINKS})"
        " ORDER BY c.erase_requested_at, c.id LIMIT :limit"
    )
    return list(connection.execute(statement, {"limit": limit}).scalars())


def _without_texts(column: str, kept: str, instants: str = "false") -> str:
    """Return SQL of an object whose texts are replaced, except under the keys that are kept."""
    return f"""coalesce((SELECT jsonb_object_agg(e.key, CASE
        WHEN jsonb_typeof(e.value) IN ('number', 'boolean', 'null') OR e.key = ANY(:{kept})
            OR {instants} THEN e.value ELSE to_jsonb(CAST(:erased AS text)) END)
        FROM jsonb_each({column}) AS e), '{{}}')"""  # noqa: S608 - names of ours


def _without_titles(column: str) -> str:
    """Return SQL of a list of lines whose titles are replaced, except the engine's own."""
    return f"""coalesce((SELECT jsonb_agg(CASE
        WHEN NOT line ? 'title' OR line->>'title' = ANY(:titles) THEN line
        ELSE line || jsonb_build_object('title', CAST(:erased AS text)) END ORDER BY place)
        FROM jsonb_array_elements({column}) WITH ORDINALITY AS l (line, place)), '[]')"""  # noqa: S608 - the same


_MINE = "SELECT id FROM subscriptions WHERE customer_id = :id"
_INSTANT = r"e.key LIKE '%\_at' OR e.key LIKE '%\_to'"
_EMPTIED_EVENT = _without_texts("data", "kept_in_events", _INSTANT)
_EMPTIED_COMMAND = _without_texts("arguments", "kept_in_commands")
_EMPTY_EVENTS = f"""UPDATE events SET reason = NULL, data = {_EMPTIED_EVENT}
    WHERE (reason IS NOT NULL OR data <> '{{}}')"""  # noqa: S608 - the same
# An action in bulk names its customers in its rows, and has one reason for all of them.
_NAMES = """EXISTS (SELECT 1 FROM jsonb_array_elements({}->'rows') AS chosen
    WHERE chosen->>1 = :id)"""
_BULK = (
    f"""UPDATE events SET reason = NULL FROM approvals a WHERE a.kind = 'bulk'
        AND {_NAMES.format("a.arguments")} AND events.at IN (a.asked_at, a.decided_at)
        AND events.kind LIKE 'approval.%' AND events.data->>'approval' = CAST(a.id AS text)""",  # noqa: S608 - the same
    f"""UPDATE approvals SET reason = :erased,
        decision_reason = CASE WHEN decision_reason IS NOT NULL THEN :erased END
    WHERE kind = 'bulk' AND {_NAMES.format("arguments")}""",  # noqa: S608 - the same
    f"""UPDATE commands SET result = result || jsonb_build_object('reason', CAST(:erased AS text))
    WHERE task = 'console.bulk' AND jsonb_typeof(result->'rows') = 'array'
        AND {_NAMES.format("result")}""",  # noqa: S608 - the same
)
_STATEMENTS = (
    "UPDATE customers SET name = '', phone = '', email = '', erased_at = :at WHERE id = :id",
    """UPDATE wallets SET phone_sealed = '', masked_phone = '', token_sealed = NULL,
        registration_url = NULL, reason = NULL, held_at = NULL, held_why = NULL,
        next_attempt_at = NULL, unlink_requested_at = NULL, leased_until = NULL
    WHERE customer_id = :id""",
    f"""UPDATE subscriptions SET reason = NULL, held_at = NULL, held_why = NULL,
        extras = {_without_titles("extras")} WHERE customer_id = :id""",  # noqa: S608 - the same
    f"""UPDATE invoices SET reason = NULL, held_at = NULL, held_why = NULL,
        lines = {_without_titles("lines")} WHERE subscription_id IN ({_MINE})""",  # noqa: S608 - the same
    """UPDATE charges SET body_sealed = NULL, message = NULL, held_at = NULL, held_why = NULL
    WHERE customer_id = :id""",
    """UPDATE refunds SET reason = :erased, message = NULL, held_at = NULL, held_why = NULL
    WHERE customer_id = :id""",
    "UPDATE credits SET reason = :erased WHERE customer_id = :id",
    """UPDATE approvals SET reason = :erased,
        decision_reason = CASE WHEN decision_reason IS NOT NULL THEN :erased END
    WHERE customer_id = :id""",
    *_BULK,
    f"UPDATE imports SET content = '{{}}' WHERE subscription_id IN ({_MINE})",  # noqa: S608 - the same
    # Two statements for events: with OR in one, no index would be used.
    f"""{_EMPTY_EVENTS} AND subscription_id IN ({_MINE})""",
    f"""{_EMPTY_EVENTS} AND customer_id = :id AND subscription_id IS NULL""",
    # Built again from what is left, by the next attempt.
    f"""UPDATE webhook_deliveries SET body = NULL WHERE body IS NOT NULL AND event_id IN (
        SELECT id FROM events WHERE subscription_id IN ({_MINE})
        UNION ALL SELECT id FROM events WHERE customer_id = :id AND subscription_id IS NULL)""",  # noqa: S608 - the same
    f"""WITH named AS (SELECT CAST(id AS text) AS id FROM subscriptions WHERE customer_id = :id
        UNION ALL SELECT CAST(id AS text) FROM invoices WHERE subscription_id IN ({_MINE})
        UNION ALL SELECT CAST(id AS text) FROM charges WHERE customer_id = :id
        UNION ALL SELECT CAST(id AS text) FROM refunds WHERE customer_id = :id
        UNION ALL SELECT CAST(id AS text) FROM wallets WHERE customer_id = :id),
    about AS (SELECT key FROM commands WHERE arguments->>'customer' = :id
        UNION SELECT c.key FROM commands c JOIN credits b
            ON c.arguments->>'credit' = CAST(b.id AS text) WHERE b.customer_id = :id
        UNION SELECT c.key FROM commands c CROSS JOIN LATERAL jsonb_each_text(c.arguments) AS a
            JOIN named n ON n.id = a.value)
    UPDATE commands SET arguments = {_EMPTIED_COMMAND} WHERE key IN (SELECT key FROM about)""",  # noqa: S608 - the same
)  # fmt: skip


def empty(connection: Connection, customer_id: str, at: datetime) -> None:
    """Erase everything personal of a customer; this reads all stored commands and imports.

    Three hundred thousand stored commands take about two seconds.
    """
    connection.execute(text("SET LOCAL statement_timeout = '1h'"))
    parameters = {
        "id": customer_id,
        "at": at,
        "erased": ERASED,
        "titles": list(KEPT_TITLES),
        "kept_in_events": list(KEPT_IN_EVENTS),
        "kept_in_commands": list(KEPT_IN_COMMANDS),
    }
    for statement in _STATEMENTS:
        used = {name: value for name, value in parameters.items() if f":{name}" in statement}
        connection.execute(text(statement), used)

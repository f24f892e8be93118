"""Statements of the breaker: count recent answers, and the suspicious ones among them.

Counts use real time, by the database's clock, for all workers: they describe the gateway, not
billing.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.domain.events import Actor
from billing.store.statements import text

COUNT = """
    INSERT INTO answers (slot, shard, minute, answered, suspicious)
    SELECT extract(minute FROM present.minute), :shard, present.minute, :answered, :suspicious
    FROM (SELECT date_trunc('minute', clock_timestamp()) AS minute) AS present
    WHERE :answered > 0
    ON CONFLICT (slot, shard) DO UPDATE SET minute = excluded.minute,
        answered = excluded.answered
            + CASE WHEN answers.minute = excluded.minute THEN answers.answered ELSE 0 END,
        suspicious = excluded.suspicious
            + CASE WHEN answers.minute = excluded.minute THEN answers.suspicious ELSE 0 END
"""
"""Count into this minute's row of a shard, which may still hold an earlier hour's counts. Settling
includes this statement."""


def count(connection: Connection, *, shard: int, answered: int, suspicious: int) -> None:
    """Count answers and suspicious answers; concurrent counters wait for each other.

    When two together reach the limit, the second one therefore sees it.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('counting answers'))"))
    parameters = {"shard": shard, "answered": answered, "suspicious": suspicious}
    connection.execute(text(COUNT), parameters)


def lately(connection: Connection, seconds: int) -> tuple[int, int]:
    """Count the answers within a number of seconds, to the minute, and the suspicious ones."""
    statement = text(
        "SELECT coalesce(sum(answered), 0), coalesce(sum(suspicious), 0) FROM answers"
        " WHERE minute > clock_timestamp() - make_interval(secs => :seconds) - interval '1 minute'"
    )
    answered, suspicious = connection.execute(statement, {"seconds": seconds}).one()
    return int(answered), int(suspicious)


def trip(connection: Connection, at: datetime) -> bool:
    """Record that the breaker has stopped charging; False when it had already."""
    statement = text("UPDATE engine SET tripped_at = :at WHERE tripped_at IS NULL")
    return connection.execute(statement, {"at": at}).rowcount == 1


def reset(connection: Connection) -> bool:
    """Reset the counters and the breaker; False when the breaker had not stopped charging."""
    connection.execute(text("DELETE FROM answers"))
    statement = text("UPDATE engine SET tripped_at = NULL WHERE tripped_at IS NOT NULL")
    return connection.execute(statement).rowcount == 1


def disbelieve(connection: Connection, now: datetime, by: Actor, why: str) -> int:
    """Reclassify suspected declines of the stopped time as technical, and query them.

    So are charges for which one status query found no payment. Returns how many.
    """
    statement = text("""
        WITH changed AS (
            UPDATE charges SET fault = 'technical', leased_until = NULL, next_check_at = CASE
                WHEN fault IS NULL THEN greatest(:now, failed_seen_at + interval '5 minutes')
                ELSE :now END
            WHERE status IN ('pending', 'unknown')
                AND (fault IN ('hard', 'wallet') OR failed_seen_at IS NOT NULL)
            RETURNING id, customer_id, subscription_id, invoice_id, status, code
        )
        INSERT INTO events (at, kind, actor, reason, customer_id, subscription_id, invoice_id,
            charge_id, data)
        SELECT :now, 'charge.' || status, :actor, :reason, customer_id, subscription_id,
            invoice_id, id, jsonb_build_object('why', CAST(:why AS text), 'code', code)
        FROM changed
    """)
    parameters = {"now": now, "actor": by.name, "reason": by.reason, "why": why}
    return connection.execute(statement, parameters).rowcount

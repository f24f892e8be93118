"""Daily totals: what became of payments on each day in Jakarta, counted from the event feed.

The facts are read from events, which never change, so that the audit can count them again.
"""

from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.domain.instants import HOME_TIMEZONE
from billing.store.selecting import columns, every
from billing.store.statements import text

FACTS = f"""(
    WITH facts AS (SELECT * FROM {{0}} AS f WHERE f.kind IN ('charge.succeeded', 'charge.declined',
        'invoice.short', 'dunning.step_missed', 'invoice.uncollectible')), settled AS (
        SELECT f.at, f.kind, f.data, c.amount, CASE WHEN past.declines > 0 THEN
            CASE c.trigger WHEN 'scheduled' THEN CAST(past.steps AS text) ELSE 'manual' END END
            AS step
        FROM facts f JOIN charges c ON c.id = f.charge_id
        LEFT JOIN LATERAL (
            SELECT count(*) FILTER (WHERE d.kind = 'charge.declined') AS declines,
                   count(*) FILTER (WHERE d.kind = 'dunning.step_missed'
                       OR x.trigger = 'scheduled' AND d.data->>'fault' <> 'technical') AS steps
            FROM events d LEFT JOIN charges x ON x.id = d.charge_id
            WHERE d.subscription_id = c.subscription_id AND d.invoice_id = c.invoice_id
              AND d.id < f.id AND d.kind IN ('charge.declined', 'dunning.step_missed')
        ) AS past ON c.attempt > 1
        WHERE f.kind IN ('charge.succeeded', 'charge.declined'))
    SELECT CAST(at AT TIME ZONE '{HOME_TIMEZONE}' AS date) AS day, name, label, count(*) AS events,
           CAST(coalesce(sum(amount), 0) AS bigint) AS amount
    FROM (
        SELECT at, 'charged' AS name, '' AS label, amount FROM settled
            WHERE kind = 'charge.succeeded'
        UNION ALL SELECT at, 'declined', coalesce(data->>'fault', 'other') || ' '
            || coalesce(data->>'code', ''), amount FROM settled WHERE kind = 'charge.declined'
        UNION ALL SELECT at, 'retried', step, amount FROM settled WHERE step IS NOT NULL
        UNION ALL SELECT at, 'recovered', step, amount FROM settled
            WHERE step IS NOT NULL AND kind = 'charge.succeeded'
        UNION ALL SELECT at, CASE kind WHEN 'invoice.short' THEN 'short' ELSE 'missed' END, '',
            CAST(data->>'shortfall' AS bigint) FROM facts
            WHERE kind IN ('invoice.short', 'dunning.step_missed')
        UNION ALL SELECT at, 'uncollectible', coalesce(data->>'cap', ''),
            CAST(data->>'amount' AS bigint) FROM facts WHERE kind = 'invoice.uncollectible'
    ) AS counted GROUP BY 1, 2, 3)"""  # noqa: S608 - constants of ours
"""Facts by day, of a relation with the columns of events in the place of `{0}`."""


class DailyTotal(NamedTuple):
    """Events of one day, and their rupiah together."""

    day: date
    name: str
    label: str
    events: int
    amount: int


def totals(connection: Connection, since: date, until: date) -> list[DailyTotal]:
    """Read the totals of the days from `since` to `until`, in order."""
    statement = text(f"""
        SELECT {columns(DailyTotal, "d")} FROM daily_totals d
        WHERE d.day >= :since AND d.day <= :until ORDER BY d.day, d.name, d.label
    """)  # noqa: S608 - a constant of ours
    return every(DailyTotal, connection.execute(statement, {"since": since, "until": until}))


class GivenUp(NamedTuple):
    """Invoices that became uncollectible, and what they asked for."""

    invoices: int
    amount: int


def given_up(connection: Connection, since: datetime, until: datetime) -> GivenUp:
    """Add up the invoices that became uncollectible in a span, each once, as it was last."""
    statement = text("""
        SELECT count(*), CAST(coalesce(sum(amount), 0) AS bigint) FROM (
            SELECT DISTINCT ON (invoice_id) CAST(data->>'amount' AS bigint) AS amount FROM events
            WHERE kind = 'invoice.uncollectible' AND at >= :since AND at < :until
            ORDER BY invoice_id, id DESC) AS last
    """)
    return GivenUp._make(connection.execute(statement, {"since": since, "until": until}).one())

"""Statements of the next charges ahead, added up by due day and plan.

Of each subscription they know the next period, and each open invoice that has a date; not the
periods after them. `kind` is `period` or `invoice`; what `waits` has no wallet by then. Amounts of
periods are before credit, coupons and extra lines. The plan of a period is the present one of its
subscription, that of an invoice the one that it was opened for.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.domain.instants import HOME_TIMEZONE
from billing.domain.subscription import OPENING
from billing.store.expressions import listed
from billing.store.queries.subscriptions import MAY_OPEN
from billing.store.rows import insert_new
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text

SECONDS_MAX = 60
"""A count that takes longer is ended."""
MEMORY = "64MB"
"""For sorting and hashing, so that a count needs no files."""
_TURNS = """(s.change_at IS NOT NULL AND s.change_at <= s.next_due_at
    AND NOT EXISTS (SELECT 1 FROM plans n
        WHERE n.code = s.next_plan_code AND n.cycles <= s.next_period_index))"""
IS_PERIOD = f"""{listed("s.status", OPENING)}
    AND (s.cancel_at IS NULL OR s.next_due_at < s.cancel_at)
    AND (s.pause_at IS NULL OR s.next_due_at < s.pause_at)
    AND (s.plan_code <> ALL (ARRAY(SELECT code FROM plans WHERE cycles IS NOT NULL))
        OR NOT EXISTS (SELECT 1 FROM plans p WHERE p.code = s.plan_code
            AND p.cycles <= s.next_period_index AND NOT {_TURNS}))"""  # noqa: S608 - constants of ours
"""A subscription whose next period will be charged, as `billing.domain.forecast` decides it."""
IS_INVOICE = "i.status = 'open' AND i.blocked_on IS DISTINCT FROM 'wallet'"
"""An open invoice that will be charged on its date."""
_CHARGES = f"""(
    SELECT due.*, coalesce(w.expires_at <= due.due_at, true) AS waits,
           CAST(greatest(due.due_at, {{at}}) AT TIME ZONE '{HOME_TIMEZONE}' AS date) AS day
    FROM (
        SELECT 'period' AS kind, s.next_due_at AS due_at, s.plan_code, s.customer_id,
               CASE WHEN {_TURNS} THEN s.next_amount ELSE s.amount END AS amount
        FROM subscriptions s WHERE s.next_due_at <= {{until}} AND {IS_PERIOD}
        UNION ALL
        SELECT 'invoice', i.next_attempt_at, i.plan_code, i.customer_id, i.amount - i.credited
        FROM invoices i WHERE i.next_attempt_at <= {{until}} AND {IS_INVOICE}
    ) AS due
    LEFT JOIN wallets w ON w.customer_id = due.customer_id AND w.status = 'active')"""  # noqa: S608 - the same
TOTALS = f"""(SELECT day, plan_code, kind, waits, count(*) AS charges,
        CAST(sum(amount) AS bigint) AS amount
    FROM {_CHARGES} AS c GROUP BY 1, 2, 3, 4)"""  # noqa: S608 - the same
"""The totals as they are in the rows, of the instants `{at}` and `{until}`."""


_OLDEST = text(f"SELECT min(s.next_due_at) FROM subscriptions s WHERE {MAY_OPEN}")  # noqa: S608 - a constant of ours


def oldest_due(connection: Connection) -> datetime | None:
    """Return when the next period that is due first begins; in the past when opening is late."""
    found: datetime | None = connection.execute(_OLDEST).scalar_one()
    return found


class Total(NamedTuple):
    """The next charges of one day and plan, of one kind."""

    day: date
    plan_code: str
    kind: str
    waits: bool
    charges: int
    amount: int


class Unlinked(NamedTuple):
    """A customer whose next charges will wait for a wallet, from the first of them."""

    customer_id: str
    first_at: datetime
    charges: int
    amount: int


class State(NamedTuple):
    """Of which instants the totals are, and in real time when they were counted, and how long."""

    at: datetime
    until: datetime
    counted_at: datetime
    took_seconds: float


class Pace(NamedTuple):
    """When the last count ended in real time, how long it took, also if it failed."""

    counted_at: datetime
    took_seconds: float


class _Group(NamedTuple):
    day: date | None
    plan_code: str | None
    kind: str | None
    waits: bool | None
    customer_id: str | None
    first_at: datetime
    charges: int
    amount: int
    is_quiet: bool


class Counted(NamedTuple):
    """Totals and customers as they are in the rows, and the last event if nothing was written."""

    totals: Sequence[Total]
    unlinked: Sequence[Unlinked]
    event_id: int | None


_COUNT = text(f"""
    WITH grouped AS MATERIALIZED (
        SELECT day, plan_code, kind, waits, CASE WHEN waits THEN customer_id END AS customer_id,
               min(due_at) AS first_at, count(*) AS charges, CAST(sum(amount) AS bigint) AS amount
        FROM {_CHARGES.format(at="CAST(:at AS timestamptz)", until=":until")} AS c
        GROUP BY GROUPING SETS (
            (day, plan_code, kind, waits), (CASE WHEN waits THEN customer_id END))
    ), quiet AS (
        SELECT NOT EXISTS (SELECT pg_snapshot_xip(pg_current_snapshot())) AS is_quiet
    )
    (SELECT grouped.*, is_quiet FROM grouped, quiet WHERE day IS NOT NULL)
    UNION ALL
    (SELECT grouped.*, is_quiet FROM grouped, quiet WHERE customer_id IS NOT NULL
     ORDER BY first_at, customer_id LIMIT :most)
""")  # noqa: S608 - constants of ours


def count(connection: Connection, at: datetime, until: datetime, most: int) -> Counted:
    """Add up the next charges until an instant, and find the earliest customers that will wait.

    This reads every subscription that runs, with one core, and writes nothing: the transaction
    delays none that waits for others to end. `event_id` is known when no other transaction was
    writing: then the rows are still those as long as no event was added.
    """
    connection.execute(text(f"SET LOCAL statement_timeout = '{SECONDS_MAX}s'"))
    connection.execute(text(f"SET LOCAL work_mem = '{MEMORY}'"))
    connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
    last = connection.execute(text("SELECT last_value FROM events_id_seq")).scalar_one()
    found = every(
        _Group, connection.execute(_COUNT, {"at": at, "until": until, "most": most})
    )  # fmt: skip
    return Counted(
        [
            Total(each.day, each.plan_code, each.kind, each.waits, each.charges, each.amount)
            for each in found
            if each.day is not None and each.plan_code is not None
            and each.kind is not None and each.waits is not None
        ],
        [
            Unlinked(each.customer_id, each.first_at, each.charges, each.amount)
            for each in found
            if each.customer_id is not None
        ],
        int(last) if found and all(each.is_quiet for each in found) else None,
    )  # fmt: skip


def be_alone(connection: Connection) -> bool:
    """Whether no other session counts; until the transaction ends none begins."""
    statement = text("SELECT pg_try_advisory_xact_lock(hashtext('counting what is ahead'))")
    return bool(connection.execute(statement).scalar_one())


def store(connection: Connection, found: Counted, state: State) -> None:
    """Put what was counted in the place of what was counted before."""
    for table in ("ahead_totals", "ahead_unlinked", "ahead_state"):
        connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - names of ours
    insert_new(connection, "ahead_totals", [each._asdict() for each in found.totals])
    insert_new(connection, "ahead_unlinked", [each._asdict() for each in found.unlinked])
    row = {"id": 1, **state._asdict(), "event_id": found.event_id}
    insert_new(connection, "ahead_state", [row])


def state(connection: Connection) -> State | None:
    """Read of which instants the totals are; None before the first count."""
    statement = text(f"SELECT {columns(State)} FROM ahead_state WHERE at IS NOT NULL")  # noqa: S608 - a constant of ours
    return at_most_one(State, connection.execute(statement))


def pace(connection: Connection) -> Pace | None:
    """Read when the last count ended, and how long it took; None before the first."""
    statement = text(f"SELECT {columns(Pace)} FROM ahead_state")  # noqa: S608 - the same
    return at_most_one(Pace, connection.execute(statement))


def note_failed(connection: Connection, last: Pace) -> None:
    """Store when a count failed and how long it took; the totals stay those of before."""
    statement = text("""
        INSERT INTO ahead_state (counted_at, took_seconds) VALUES (:counted_at, :took_seconds)
        ON CONFLICT (id) DO UPDATE SET counted_at = excluded.counted_at,
            took_seconds = excluded.took_seconds
    """)
    connection.execute(statement, last._asdict())


def totals(connection: Connection) -> list[Total]:
    """Read the totals, by day and plan."""
    statement = text(f"SELECT {columns(Total)} FROM ahead_totals ORDER BY day, plan_code")  # noqa: S608 - the same
    return every(Total, connection.execute(statement))


def unlinked(connection: Connection) -> list[Unlinked]:
    """Read the customers whose next charges will wait, the earliest first."""
    statement = text(
        f"SELECT {columns(Unlinked)} FROM ahead_unlinked ORDER BY first_at, customer_id"  # noqa: S608 - the same
    )
    return every(Unlinked, connection.execute(statement))

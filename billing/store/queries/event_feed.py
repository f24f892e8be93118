"""Statements about the event feed: append visible events, move the low mark, read by position."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.event_feed import Candidate, Mark
from billing.store.queries.events import SHOWN
from billing.store.selecting import columns, every
from billing.store.statements import text


class State(NamedTuple):
    """The one row about the feed."""

    settled_id: int
    candidate_id: int | None
    candidate_writers: list[str]
    fanned_out: int

    @property
    def mark(self) -> Mark:
        """Return the low mark, with its candidate."""
        if self.candidate_id is None:
            return Mark(self.settled_id)
        return Mark(
            self.settled_id, Candidate(self.candidate_id, frozenset(self.candidate_writers))
        )


class FeedEvent(NamedTuple):
    """A recorded fact, with its position in the feed."""

    id: int
    position: int
    type: str
    timestamp: datetime
    actor: str
    reason: str | None
    customer: str | None
    subscription: UUID | None
    invoice: UUID | None
    charge: UUID | None
    details: dict[str, object]


_STATE = f"SELECT {columns(State)} FROM event_feed_state"  # noqa: S608 - a constant of ours
EVENT = columns(FeedEvent, "e", position="f.position", **SHOWN)


def lacks_events(connection: Connection) -> bool:
    """Whether there are events above the low mark; without them the feed has everything."""
    # The highest id is read from the index; with EXISTS the planner may read the whole table.
    statement = text("""
        SELECT coalesce((SELECT max(id) FROM events), 0)
            > coalesce((SELECT settled_id FROM event_feed_state), 0)
    """)
    return bool(connection.execute(statement).scalar_one())


def unplaced(connection: Connection, limit: int) -> int:
    """Count events that have no position in the feed yet, at most `limit`."""
    # With NOT EXISTS the planner may read the whole feed.
    statement = text("""
        SELECT count(*) FROM (
            SELECT 1 FROM events e
            WHERE e.id > coalesce((SELECT settled_id FROM event_feed_state), 0)
              AND (SELECT f.position FROM event_feed f WHERE f.event_id = e.id) IS NULL
            LIMIT :limit) AS found
    """)
    return int(connection.execute(statement, {"limit": limit}).scalar_one())


def lock(connection: Connection) -> State:
    """Lock the row about the feed until the end of the transaction; make it if it is missing."""
    statement = text(f"{_STATE} FOR UPDATE")
    found = connection.execute(statement).one_or_none()
    if found is None:
        connection.execute(
            text("INSERT INTO event_feed_state DEFAULT VALUES ON CONFLICT DO NOTHING")
        )
        found = connection.execute(statement).one()
    return State._make(found)


def highest_id(connection: Connection) -> int:
    """Read the highest id of a visible event; 0 without events."""
    return int(connection.execute(text("SELECT coalesce(max(id), 0) FROM events")).scalar_one())


def writers(connection: Connection) -> frozenset[str]:
    """Read which other transactions may have inserted events and have not ended.

    An INSERT takes this lock on the table before it takes an id, and its transaction holds the
    lock until the commit is visible, or the rollback is done.
    """
    statement = text("""
        SELECT virtualtransaction FROM pg_locks
        WHERE locktype = 'relation' AND relation = CAST('events' AS regclass) AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
    """)
    return frozenset(connection.execute(statement).scalars())


class Appended(NamedTuple):
    """How many events a scan appended, and the last one's id."""

    events: int
    last_id: int | None


def append(connection: Connection, settled_id: int, limit: int) -> Appended:
    """Append visible events above the low mark that are not in the feed, in the order of ids."""
    statement = text("""
        WITH appended AS (
            INSERT INTO event_feed (event_id)
            SELECT e.id FROM events e
            WHERE e.id > :settled AND NOT EXISTS (
                SELECT 1 FROM event_feed f WHERE f.event_id = e.id AND f.event_id > :settled)
            ORDER BY e.id LIMIT :limit
            RETURNING event_id)
        SELECT count(*) AS events, max(event_id) AS last_id FROM appended
    """)
    found = connection.execute(statement, {"settled": settled_id, "limit": limit})
    return Appended._make(found.one())


def move_mark(connection: Connection, mark: Mark) -> None:
    """Write the low mark and its candidate."""
    statement = text("""
        UPDATE event_feed_state SET settled_id = :settled, candidate_id = :candidate,
            candidate_writers = CAST(:writers AS text[])
    """)
    candidate = mark.candidate
    parameters = {
        "settled": mark.settled_id,
        "candidate": None if candidate is None else candidate.id,
        "writers": [] if candidate is None else sorted(candidate.writers),
    }
    connection.execute(statement, parameters)


def end(connection: Connection) -> int:
    """Read the last position of the feed; 0 when it is empty."""
    statement = text("SELECT coalesce(max(position), 0) FROM event_feed")
    return int(connection.execute(statement).scalar_one())


def scanned_to(connection: Connection, after: int, most: int) -> int:
    """Return the position of at most `most` positions behind `after`, where a scan ends."""
    statement = text("""
        SELECT coalesce(max(position), :after) FROM (
            SELECT position FROM event_feed WHERE position > :after
            ORDER BY position LIMIT :most) AS scanned
    """)
    return int(connection.execute(statement, {"after": after, "most": most}).scalar_one())


def page(
    connection: Connection,
    after: int,
    until: int,
    limit: int,
    *,
    customer_id: str | None = None,
    subscription_id: UUID | None = None,
    kinds: Sequence[str] = (),
) -> list[FeedEvent]:
    """Read events with positions above `after` and up to `until`, in the order of positions."""
    conditions = ["f.position > :after", "f.position <= :until"]
    parameters: dict[str, object] = {"after": after, "until": until, "limit": limit}
    for name, value in (("customer_id", customer_id), ("subscription_id", subscription_id)):
        if value is not None:
            conditions.append(f"e.{name} = :{name}")
            parameters[name] = value
    if kinds:
        conditions.append("e.kind = ANY(CAST(:kinds AS text[]))")
        parameters["kinds"] = list(kinds)
    statement = text(f"""
        SELECT {EVENT} FROM event_feed f JOIN events e ON e.id = f.event_id
        WHERE {" AND ".join(conditions)} ORDER BY f.position LIMIT :limit
    """)  # noqa: S608 - constants of ours; values are parameters
    return every(FeedEvent, connection.execute(statement, parameters))

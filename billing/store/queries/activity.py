"""Statements of the page Activity: events by actor and kind, newest first, by an index.

Events of people and keys are found kind by kind, each in the order of time. Those of the scheduler
and the gateway, nearly all events, are read in the order of time; the caller limits them to a day
when it also limits kind or actor.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.domain.event_kinds import KINDS
from billing.domain.events import MACHINES
from billing.domain.paging import Listed, Of, Page, cursor, place_of
from billing.store.queries import listing
from billing.store.queries.listing_rows import Event
from billing.store.selecting import every
from billing.store.statements import text

NAMES_MAX = 200
_ORDER = "ORDER BY {0}.at DESC, {0}.id DESC"
_BY_PEOPLE = f"e.actor NOT IN {tuple(MACHINES)}"


class Wanted(NamedTuple):
    """Which events: by one actor, of some kinds, within a span; `machines` adds theirs."""

    actor: str | None = None
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    machines: bool = False


def activity(connection: Connection, wanted: Wanted, page: Page) -> Listed[Event]:
    """Read a page of events, newest first. Raises InvalidValue for a wrong cursor."""
    of = Of.wanted("activity", wanted)
    conditions, values = _limits(wanted)
    if page.after is not None:
        at, last = place_of(page.after, of, [datetime, int])
        conditions.append("(e.at, e.id) < (:after_at, :after_id)")
        values |= {"after_at": at, "after_id": last}
    values["rows"] = page.limit + 1
    if not wanted.machines:
        values["kinds"] = list(wanted.kinds or KINDS)
        chosen = _by_kind(conditions)
    else:
        if wanted.kinds:
            conditions.append("e.kind = ANY(CAST(:kinds AS text[]))")
            values["kinds"] = list(wanted.kinds)
        chosen = _in_time(conditions)
    statement = text(f"{listing.EVENTS.format(chosen)} {_ORDER.format('e')}")
    found = every(Event, connection.execute(statement, values))
    shown = found[: page.limit]
    if len(found) <= page.limit:
        return Listed(shown, None)
    return Listed(shown, cursor(of, [shown[-1].timestamp, shown[-1].id]))


def _limits(wanted: Wanted) -> tuple[list[str], dict[str, object]]:
    given = (
        ("e.actor = :actor", "actor", wanted.actor), ("e.at >= :since", "since", wanted.since),
        ("e.at < :until", "until", wanted.until),
    )  # fmt: skip
    used = [each for each in given if each[2] is not None]
    return [condition for condition, *_ in used], {name: value for _, name, value in used}


def _in_time(conditions: Sequence[str]) -> str:
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"(SELECT e.* FROM events e{where} {_ORDER.format('e')} LIMIT :rows)"  # noqa: S608 - constants of ours


def _by_kind(conditions: Sequence[str]) -> str:
    """Select the newest of each kind, by one look into an index each, and the newest of all."""
    where = " AND ".join(("e.kind = k.kind", _BY_PEOPLE, *conditions))
    return f"""(SELECT whole.* FROM (
        SELECT n.id FROM unnest(CAST(:kinds AS text[])) AS k (kind) CROSS JOIN LATERAL (
            SELECT e.id, e.at FROM events e WHERE {where} {_ORDER.format("e")} LIMIT :rows) AS n
        {_ORDER.format("n")} LIMIT :rows) AS newest
        JOIN events whole ON whole.id = newest.id)"""  # noqa: S608 - the same


def actors(connection: Connection) -> list[str]:
    """Read the names of people and of valid keys, for suggestions."""
    statement = text("""
        SELECT name FROM people UNION SELECT name FROM api_keys WHERE revoked_at IS NULL
        ORDER BY 1 LIMIT :most
    """)
    return list(connection.execute(statement, {"most": NAMES_MAX}).scalars())

"""Short ids: find the one row of a kind that a short id, or the beginning of an id, names."""

from uuid import UUID

from billing.domain.errors import InvalidValue, NotKnown
from billing.domain.short_ids import Part
from billing.store.queries import short_ids as statements
from billing.store.session import Database

NAMED_MAX = 3
"""Matches that a refusal names."""


def whole(database: Database, kind: str, text: str, part: Part) -> UUID:
    """Return the id. Raises NotKnown without a match, InvalidValue with several."""
    with database.transaction() as connection:
        found = statements.matches(connection, kind, part, NAMED_MAX + 1)
    if not found:
        raise NotKnown(f"no {kind} has the id {text!r}")
    if len(found) > 1:
        named = ", ".join(map(str, found[:NAMED_MAX]))
        more = " and more" if len(found) > NAMED_MAX else ""
        raise InvalidValue(f"{text!r} is not the id of one {kind} only: {named}{more}")
    return found[0]

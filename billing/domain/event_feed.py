"""Event feed: decide up to which event id nothing new can appear.

Ids of events are given out before the commit, so an event with a low id may become visible after
one with a high id. This module knows numbers and the names of transactions, and no database.
"""

from collections.abc import Set as AbstractSet
from typing import NamedTuple


class Candidate(NamedTuple):
    """An id, and the transactions that could still commit an event up to it when it was read."""

    id: int
    writers: frozenset[str]


class Mark(NamedTuple):
    """The low mark, and the candidate for the next one.

    Each event up to `settled_id` is in the feed, or its transaction was rolled back.
    """

    settled_id: int
    candidate: Candidate | None = None


def advanced(
    mark: Mark, highest_id: int, writers: AbstractSet[str], appended_to: int | None
) -> Mark:
    """Return the mark after a scan of the events above the old one.

    In this order: `highest_id` was read, then `writers` (the transactions that may have an id and
    have not ended), then the scan appended the events that are visible. `appended_to` is the last
    appended id when the scan reached its limit, and None when it appended everything.
    """
    candidate = mark.candidate
    reached, following = mark.settled_id, candidate
    if not writers:
        reached, following = highest_id, None
    elif candidate is None or not candidate.writers & writers:
        reached = mark.settled_id if candidate is None else candidate.id
        following = Candidate(highest_id, frozenset(writers))
    reached = max(reached, mark.settled_id)
    if appended_to is not None and appended_to < reached:
        return Mark(appended_to, Candidate(reached, frozenset()))
    return Mark(reached, following)

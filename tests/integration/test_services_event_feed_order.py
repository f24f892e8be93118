"""Random interleavings of writers, sequencers and readers, one step at a time."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.services.webhooks import event_feed
from tests.integration.engine import Engine
from tests.integration.test_services_event_feed import connect, write

WRITERS = 4
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "commit", "rollback", "savepoint"]),
                  st.integers(0, WRITERS - 1)),
        st.tuples(st.just("sequence"), st.sampled_from([1, 2, 5_000])),
        st.tuples(st.just("read"), st.sampled_from([1, 3, 1_000])),
    ),
    max_size=40,
)  # fmt: skip


@pytest.fixture
def lines(engine: Engine) -> Iterator[list[psycopg.Connection]]:
    """A connection for each writer."""
    made = [connect(engine) for _ in range(WRITERS)]
    yield made
    for each in made:
        each.close()


class Play:
    """What the writers have done, and what one reader has seen of it."""

    def __init__(self, engine: Engine, lines: list[psycopg.Connection]) -> None:
        self.engine, self.lines = engine, lines
        self.open_ids: list[list[int]] = [[] for _ in lines]
        self.committed, self.seen = set[int](), list[int]()
        event_feed.sequence(engine.context)
        self.after = int(engine.one("SELECT coalesce(max(position), 0) FROM event_feed"))

    def write(self, number: int) -> None:
        """Insert an event."""
        self.open_ids[number].append(write(self.lines[number]))

    def savepoint(self, number: int) -> None:
        """Insert an event, and undo it."""
        with self.lines[number].transaction(force_rollback=True):
            write(self.lines[number])

    def commit(self, number: int) -> None:
        """Commit a writer's events."""
        self.lines[number].commit()
        self.committed.update(self.open_ids[number])
        self.open_ids[number].clear()

    def rollback(self, number: int) -> None:
        """Undo a writer's events."""
        self.lines[number].rollback()
        self.open_ids[number].clear()

    def sequence(self, limit: int) -> None:
        """Append a batch."""
        with self.engine.context.database.transaction() as connection:
            event_feed.sequence_batch(connection, limit)

    def read(self, limit: int) -> bool:
        """Read a page; its positions grow, and its events are committed."""
        page = event_feed.read_events(self.engine.context, self.after, limit)
        positions = [self.after, *(event.position for event in page.events)]
        assert positions == sorted(set(positions))
        assert {event.id for event in page.events} <= self.committed
        self.seen.extend(event.id for event in page.events)
        self.after = page.next_after
        return page.more


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
def test_every_committed_event_is_read_once_in_any_interleaving(
    engine: Engine, lines: list[psycopg.Connection], steps: list[tuple[str, int]]
) -> None:
    """Nothing is lost and nothing comes twice, at any position of late commits and small batches.

    Each example begins where the one before ended: the positions go on.
    """
    play = Play(engine, lines)
    for action, number in steps:
        getattr(play, action)(number)
    for number in range(WRITERS):
        play.commit(number)
    while play.read(1_000):
        pass

    assert sorted(play.seen) == sorted(play.committed)

"""The event feed loses nothing and repeats nothing, however transactions overlap."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from billing.domain.errors import InvalidValue
from billing.services.webhooks import event_feed
from billing.store.queries import event_feed as rows
from tests.integration.engine import Engine

INSERT = "INSERT INTO events (at, kind, actor) VALUES (now(), %s, 'x') RETURNING id"
STUCK = (
    "INSERT INTO events (at, kind, actor)"
    " VALUES (now(), 'plan.created', 'x' || CAST(pg_advisory_lock(7) AS text)) RETURNING id"
)
"""Waits inside the INSERT: the id is taken, and no row is written yet."""


def connect(engine: Engine, *, autocommit: bool = False) -> psycopg.Connection:
    """A connection of a writer's own."""
    plain = make_url(engine.url).set(drivername="postgresql")
    address = plain.render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=autocommit)


@pytest.fixture
def writers(engine: Engine) -> Iterator[list[psycopg.Connection]]:
    """Three writers."""
    made = [connect(engine) for _ in range(3)]
    yield made
    for each in made:
        each.close()


def write(connection: psycopg.Connection, kind: str = "coupon.created") -> int:
    """Insert an event without a commit."""
    row = connection.execute(INSERT, (kind,)).fetchone()
    assert row is not None
    return int(row[0])


def read(engine: Engine, after: int = 0, **options: object) -> event_feed.FeedPage:
    """Read a page of the feed."""
    return event_feed.read_events(engine.context, after, 1000, **options)  # type: ignore[arg-type]


def settled(engine: Engine) -> int:
    """The low mark."""
    return int(engine.one("SELECT settled_id FROM event_feed_state"))


def test_an_event_that_is_committed_late_has_a_later_position(
    engine: Engine, writers: list[psycopg.Connection]
) -> None:
    """A reader that has read the higher id gets the lower one with its next read."""
    late, early, _ = writers
    low, high = write(late), write(early)
    early.commit()
    first = read(engine)
    assert [event.id for event in first.events][-1:] == [high]
    assert low not in [event.id for event in first.events]
    assert settled(engine) < low

    late.commit()
    second = read(engine, first.next_after)

    assert [event.id for event in second.events] == [low]
    assert second.next_after > first.next_after
    assert read(engine, second.next_after).events == []
    assert settled(engine) == high


def test_a_rolled_back_event_leaves_no_hole_that_holds_the_mark(
    engine: Engine, writers: list[psycopg.Connection]
) -> None:
    """The mark passes an id whose transaction was rolled back, or whose connection died."""
    for end in ("rollback", "die"):
        gone, early, observer = writers
        low, high = write(gone), write(early)
        early.commit()
        after = read(engine).next_after
        assert settled(engine) < low
        if end == "rollback":
            gone.rollback()
        else:
            observer.execute("SELECT pg_terminate_backend(%s)", (gone.info.backend_pid,))
            observer.commit()
            engine.until(lambda gone=gone: not alive(engine, gone))

        assert read(engine, after).events == []
        assert settled(engine) == high


def alive(engine: Engine, connection: psycopg.Connection) -> bool:
    """Whether the server still has this connection."""
    pid = connection.info.backend_pid
    return bool(engine.one("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid", pid=pid))


def test_an_id_that_was_taken_before_a_transaction_id_is_waited_for(
    engine: Engine, writers: list[psycopg.Connection]
) -> None:
    """An INSERT that stops between its id and its row has no transaction id; it is not lost."""
    stuck, early, blocker = writers
    blocker.execute("SELECT pg_advisory_lock(7)")
    with ThreadPoolExecutor(1) as pool:
        inserting = pool.submit(stuck.execute, STUCK)
        pid = stuck.info.backend_pid
        state = "SELECT wait_event FROM pg_stat_activity WHERE pid = :pid AND backend_xid IS NULL"
        engine.until(lambda: engine.rows(state, pid=pid) == [{"wait_event": "advisory"}])
        try:
            high = write(early)
            early.commit()
            pages = [read(engine) for _ in range(3)]
            assert settled(engine) < high
        finally:
            blocker.execute("SELECT pg_advisory_unlock(7)")
        row = inserting.result(10).fetchone()
        assert row is not None
    assert row[0] < high
    for _ in range(3):
        read(engine)
    assert settled(engine) < row[0]
    stuck.commit()

    assert [event.id for event in read(engine, pages[0].next_after).events] == [row[0]]
    assert settled(engine) == high


def test_an_event_between_two_statements_of_the_sequencer_is_not_lost(
    engine: Engine, writers: list[psycopg.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer commits a higher id while the low one is open, between any two statements."""
    late, early, _ = writers
    for name in ("highest_id", "writers", "append"):
        event_feed.sequence(engine.context)
        plain, ids = getattr(rows, name), list[int]()

        def held(*args: Any, plain: Any = plain, ids: list[int] = ids) -> Any:
            answer = plain(*args)
            if not ids:
                ids.append(write(late))
                ids.append(write(early))
                early.commit()
            return answer

        after = read(engine).next_after
        early_id = write(early)
        early.commit()
        with monkeypatch.context() as meddling:
            meddling.setattr(rows, name, held)
            read(engine, after)
        late.commit()
        found = [event.id for event in read(engine, after).events]

        assert sorted(found) == [early_id, *ids], name


def test_a_writer_that_began_later_does_not_hold_the_mark(
    engine: Engine, writers: list[psycopg.Connection]
) -> None:
    """With overlapping writers without end the mark still moves: each candidate has its own."""
    first, second, third = writers
    before = write(first)
    read(engine)
    write(second)
    first.commit()
    read(engine)
    assert settled(engine) < before
    write(third)
    second.commit()
    read(engine)

    assert settled(engine) >= before
    third.commit()


def test_a_small_batch_moves_the_mark_as_far_as_it_came(engine: Engine) -> None:
    """A backlog is appended in several transactions, each once."""
    with connect(engine) as writer:
        ids = [write(writer) for _ in range(25)]
    while True:
        with engine.context.database.transaction() as connection:
            if not event_feed.sequence_batch(connection, 10):
                break
        assert settled(engine) <= ids[-1]

    assert [event.id for event in read(engine).events][-25:] == ids
    assert settled(engine) == ids[-1]


def test_two_sequencers_append_each_event_once(engine: Engine, other: Engine) -> None:
    """The second one waits for the first one's commit, and finds its events done."""
    with connect(engine) as writer:
        low = write(writer)
    with ThreadPoolExecutor(1) as pool:
        with engine.context.database.transaction() as connection:
            event_feed.sequence_batch(connection)
            second = pool.submit(read, other)
            engine.until(
                lambda: (
                    engine.one("""SELECT count(*) FROM pg_stat_activity
                WHERE wait_event_type = 'Lock' AND datname = current_database()""")
                    == 1
                )
            )
        found = second.result(10)

    assert [event.id for event in found.events].count(low) == 1


def test_the_feed_is_complete_under_parallel_writers(engine: Engine, other: Engine) -> None:
    """Writers commit late, roll back and die; two readers each see every event once, in order."""
    seed = random.randrange(1 << 30)
    done, kept, stopped = threading.Lock(), set[int](), threading.Event()

    def writes(number: int) -> None:
        rng = random.Random(seed + number)
        for _ in range(30):
            with closing(connect(engine)) as connection:
                ids = [write(connection) for _ in range(rng.randint(1, 4))]
                stopped.wait(rng.choice([0, 0, 0.002, 0.02]))
                match rng.choice(["commit", "commit", "rollback", "die"]):
                    case "commit":
                        connection.commit()
                        with done:
                            kept.update(ids)
                    case "rollback":
                        connection.rollback()

    def reads(process: Engine) -> list[tuple[int, int]]:
        seen, after, last = [], 0, False
        while True:
            last = stopped.is_set()
            page = event_feed.read_events(process.context, after, 7, kinds=["coupon.created"])
            seen += [(event.position, event.id) for event in page.events]
            after = page.next_after
            if last and not page.more and not page.events:
                return seen

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(reads, process) for process in (engine, other)]
        for writing in [pool.submit(writes, number) for number in range(6)]:
            writing.result(60)
        stopped.set()
        found = [reader.result(60) for reader in readers]

    assert found[0] == found[1], seed
    positions, ids = zip(*found[0], strict=True)
    assert list(positions) == sorted(set(positions)), seed
    assert sorted(ids) == sorted(kept), seed


def test_filters_and_pages(engine: Engine) -> None:
    """By customer, subscription and kind; a page says where the next one begins."""
    customer, subscription = engine.begun()
    engine.run()
    begun = engine.customer(linked=False)

    mine = read(engine, subscription_id=subscription)
    assert {event.subscription for event in mine.events} == {subscription}
    assert "invoice.paid" in {event.type for event in mine.events}
    assert {event.customer for event in read(engine, customer_id=begun).events} == {begun}
    paid = read(engine, customer_id=customer, kinds=["invoice.paid", "charge.succeeded"])
    assert [event.type for event in paid.events] == ["charge.succeeded", "invoice.paid"]

    every, after = [], 0
    while True:
        page = event_feed.read_events(engine.context, after, 2, customer_id=customer)
        every += page.events
        after = page.next_after
        if not page.more:
            break
    assert every == read(engine, customer_id=customer).events
    assert read(engine, after) == event_feed.FeedPage([], after, more=False)


def test_a_rare_kind_is_read_in_bounded_steps(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read examines a limited number of positions, and says that there are more."""
    monkeypatch.setattr(event_feed, "SCAN_MAX", 10)
    with connect(engine) as writer:
        for _ in range(25):
            write(writer)
        rare = write(writer, "plan.archived")
    found, after, reads = [], 0, 0
    while True:
        page = event_feed.read_events(engine.context, after, 5, kinds=["plan.archived"])
        found += [event.id for event in page.events]
        after, reads = page.next_after, reads + 1
        if not page.more:
            break

    assert found == [rare]
    assert reads >= 3


@pytest.mark.parametrize(
    ("after", "limit", "said"),
    [
        (-1, 10, "after must be 0 or a position"),
        (0, 0, "limit must be 1 to 1,000"),
        (0, 1001, "limit must be 1 to 1,000"),
        (10**12, 10, "from before a restore"),
    ],
)
def test_a_wrong_position_is_refused(engine: Engine, after: int, limit: int, said: str) -> None:
    """A position of a lost database would pass over the events of this one without a word."""
    with pytest.raises(InvalidValue, match=said):
        event_feed.read_events(engine.context, after, limit)

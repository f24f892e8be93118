"""An upgrade puts the events of before into the event feed."""

import threading

import psycopg
from alembic import command
from sqlalchemy import make_url

from billing.store import migrate

INSERT = "INSERT INTO events (at, kind, actor) SELECT now(), 'x', 'x' FROM generate_series(1, %s)"
FEED = "SELECT event_id FROM event_feed ORDER BY position"


def plain(url: str) -> str:
    """The address for psycopg."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def test_the_feed_begins_with_the_events_of_before(empty_url: str) -> None:
    """Several statements put each event in once, in the order of ids; gaps in ids do not matter."""
    command.upgrade(migrate._config(empty_url), "0013")
    with psycopg.connect(plain(empty_url), autocommit=True) as connection:
        connection.execute(INSERT, (120_000,))
        connection.execute("DELETE FROM events WHERE id % 3 = 0")
        wanted = connection.execute("SELECT id FROM events ORDER BY id").fetchall()

        migrate.upgrade(empty_url)

        assert connection.execute(FEED).fetchall() == wanted
        settled = connection.execute("SELECT settled_id FROM event_feed_state").fetchall()
    assert settled == [wanted[-1]]


def test_an_event_committed_during_the_upgrade_is_in_the_feed(empty_url: str) -> None:
    """The upgrade waits for a transaction that has an event id, and then includes its event."""
    command.upgrade(migrate._config(empty_url), "0013")
    with (
        psycopg.connect(plain(empty_url)) as late,
        psycopg.connect(plain(empty_url), autocommit=True) as connection,
    ):
        late.execute(INSERT, (1,))
        connection.execute(INSERT, (2,))
        upgrade = threading.Thread(target=migrate.upgrade, args=(empty_url,))
        upgrade.start()
        while not connection.execute(
            "SELECT 1 FROM pg_locks WHERE mode = 'ShareLock' AND NOT granted"
        ).fetchall():
            upgrade.join(0.01)
            assert upgrade.is_alive()
        late.commit()
        upgrade.join(30)

        found = connection.execute(FEED).fetchall()
        assert sorted(found) == [(1,), (2,), (3,)]
        settled = connection.execute("SELECT settled_id FROM event_feed_state").fetchall()
    assert settled == [(3,)]

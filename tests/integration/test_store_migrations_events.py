"""An upgrade that renames events keeps what is stored under their names."""

import psycopg
from alembic import command
from sqlalchemy import make_url

from billing.store import migrate
from tests.integration.earlier import GROUND

STORED = """
    INSERT INTO events (at, kind, actor) VALUES (now(), 'dunning.fell_short', 'x'),
        (now(), 'refund.declined', 'x'), (now(), 'charging.stopped', 'x'),
        (now(), 'charging.started', 'x'), (now(), 'invoice.paid', 'x');
    INSERT INTO webhook_endpoints (id, url, event_types, secret_sealed, starts_after, created_at)
        VALUES (gen_random_uuid(), 'https://a', '{refund.declined,invoice.paid}', 'x', 0, now())"""
OLD = ["dunning.fell_short", "refund.declined", "charging.stopped", "charging.started",
       "invoice.paid"]  # fmt: skip
NEW = ["invoice.short", "refund.failed", "engine.charging_stopped", "engine.charging_started",
       "invoice.paid"]  # fmt: skip


def test_events_and_the_types_of_endpoints_are_renamed(empty_url: str) -> None:
    """An endpoint receives the same events afterwards; a downgrade restores the names."""
    command.upgrade(migrate._config(empty_url), "0019")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:

        def kinds() -> list[str]:
            return [row[0] for row in connection.execute("SELECT kind FROM events ORDER BY id")]

        def types() -> list[list[str]]:
            found = connection.execute("SELECT event_types FROM webhook_endpoints")
            return [row[0] for row in found]

        connection.execute(GROUND)
        connection.execute(STORED)
        migrate.upgrade(empty_url)
        assert kinds() == NEW
        assert types() == [["refund.failed", "invoice.paid"]]
        found = connection.execute("SELECT notice_for FROM subscriptions").fetchall()
        assert found == [(None,)]

        command.downgrade(migrate._config(empty_url), "0019")

        assert kinds() == OLD
        assert types() == [["refund.declined", "invoice.paid"]]

"""An upgrade that renames columns, statuses and tasks keeps what is stored under them."""

import psycopg
from alembic import command
from sqlalchemy import make_url

from billing.store import migrate
from tests.integration.earlier import GROUND

STORED = """
    UPDATE wallets SET status = 'unbinding', unbind_wanted_at = now(), bound_at = now();
    INSERT INTO imports (reference, subscription_id, content)
        SELECT 'old-1', id, '{"customer": "C", "bound_at": "2026-01-31"}' FROM subscriptions;
    INSERT INTO commands (key, task, arguments, created_at) VALUES
        ('k-1', 'admin.bind_wallet', '{"customer": "C"}', now()),
        ('k-2', 'admin.cancel_subscription', '{"unbind": true}', now());
    INSERT INTO events (at, kind, actor, customer_id)
        VALUES (now(), 'wallet.unbind_requested', 'x', 'C'), (now(), 'wallet.linked', 'x', 'C')"""


def test_names_change_with_what_is_stored_under_them(empty_url: str) -> None:
    """A wallet being unlinked, an import, a used key and an event mean the same afterwards."""
    command.upgrade(migrate._config(empty_url), "0012")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(GROUND)
        connection.execute(STORED)
        stored = [
            connection.execute(f"TABLE {name} ORDER BY 1").fetchall()
            for name in ("wallets", "imports", "commands", "events")
        ]

        migrate.upgrade(empty_url)

        found = connection.execute(
            "SELECT status, unlink_requested_at IS NOT NULL, linked_at IS NOT NULL FROM wallets"
        ).fetchall()
        assert found == [("unlinking", True, True)]
        found = connection.execute("SELECT content FROM imports").fetchall()
        assert found == [({"customer": "C", "linked_at": "2026-01-31"},)]
        found = connection.execute("SELECT task, arguments FROM commands ORDER BY key").fetchall()
        assert found == [
            ("admin.link_wallet", {"customer": "C"}),
            ("admin.cancel_subscription", {"unlink": True}),
        ]
        found = connection.execute("SELECT kind FROM events ORDER BY id").fetchall()
        assert found == [("wallet.unlink_requested",), ("wallet.linked",)]

        command.downgrade(migrate._config(empty_url), "0012")

        assert stored == [
            connection.execute(f"TABLE {name} ORDER BY 1").fetchall()
            for name in ("wallets", "imports", "commands", "events")
        ]

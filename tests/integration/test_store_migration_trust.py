"""Revision 0007: which charges the gateway never had is told from what a code says."""

import psycopg
from alembic import command
from sqlalchemy import make_url

from billing.store import migrate
from tests.integration.test_store_migrations import empty_url

__all__ = ["empty_url"]

OLD_CHARGE = """
    INSERT INTO charges (id, invoice_id, subscription_id, customer_id, wallet_id, ordinal,
        gateway_number, trigger, amount, status, fault, code, created_at, sent_at)
    VALUES ('{id}', gen_random_uuid(), '{id}', 'c', gen_random_uuid(), 1, 'N-{id}', 'scheduled', 5,
        'declined', 'other', 'not_found', now(), now())"""
OLD_EVENT = """
    INSERT INTO events (at, kind, actor, subscription_id, charge_id, data)
    VALUES (now(), 'charge.declined', 'scheduler', '{id}', '{id}',
        '{{"source": "{source}", "code": "not_found"}}')"""


def test_our_own_marker_is_told_from_a_gateways_code(empty_url: str) -> None:
    """Only what a question ended as "not found" is marked; a live decline with that code is not."""
    command.upgrade(migrate._config(empty_url), "0006")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    sources = {"status": "0" * 31 + "1", "live": "0" * 31 + "2"}
    with psycopg.connect(plain) as connection:
        connection.execute("SET session_replication_role = 'replica'")  # no keys to other tables
        for source, charge in sources.items():
            connection.execute(OLD_CHARGE.format(id=charge).replace(f"N-{charge}", f"N-{source}"))
            connection.execute(OLD_EVENT.format(id=charge, source=source))

    migrate.upgrade(empty_url)

    with psycopg.connect(plain) as connection:
        rows = connection.execute("SELECT gateway_number, never_received FROM charges").fetchall()
    assert dict(rows) == {"N-status": True, "N-live": False}

"""An upgrade fills the plan of invoices, charges and refunds, and a downgrade leaves nothing."""

from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from sqlalchemy import make_url

from billing.store import migrate
from tests.integration.earlier import GROUND

ROWS = """
INSERT INTO plans (code, name, amount, every, timezone, retries, on_exhausted, catch_up, created_at)
    SELECT code, code, 1, '1 month', 'Asia/Jakarta', '1d', 'cancel', 'all', now()
    FROM unnest(ARRAY['OLD', 'MID', 'NEW']) AS code;
INSERT INTO subscriptions (id, customer_id, plan_code, status, amount, created_at)
    SELECT md5(name)::uuid, 'C', plan, 'active', 1, now() FROM (VALUES
        ('steady', 'OLD'), ('steady too', 'NEW'), ('moved', 'NEW'), ('silent', 'NEW'),
        ('unknown', 'NEW')) AS s (name, plan);
INSERT INTO invoices (id, subscription_id, customer_id, period_index, change_index, period_start,
        period_end, amount, status, created_at, paid_at, closed_at)
    SELECT md5(name || period || change)::uuid, md5(name)::uuid, 'C', period, change, now(),
        now() + interval '1 month', 1, 'paid', now(), now(), now() FROM (VALUES
        ('steady', 0, 0), ('steady too', 0, 0), ('moved', 0, 0), ('moved', 0, 1), ('moved', 0, 2),
        ('moved', 1, 0), ('moved', 2, 0), ('silent', 0, 0), ('unknown', 0, 0))
        AS i (name, period, change);
INSERT INTO events (at, kind, actor, subscription_id, invoice_id, data)
    SELECT CAST('2026-01-01 00:00Z' AS timestamptz) + day * interval '1 day', kind, 'x',
        md5(name)::uuid, CASE WHEN period IS NOT NULL THEN md5(name || period || change)::uuid END,
        CASE WHEN plan IS NOT NULL THEN jsonb_build_object('plan', plan) ELSE '{}' END
    FROM (VALUES
        (1, 0, 'subscription.created', 'steady', NULL, NULL, 'OLD'),
        (2, 0, 'invoice.opened', 'steady', 0, 0, NULL),
        (3, 0, 'subscription.created', 'moved', NULL, NULL, 'OLD'),
        (4, 0, 'invoice.opened', 'moved', 0, 0, NULL),
        -- Two immediate changes at one instant: each invoice is told of before its change.
        (5, 3, 'invoice.opened', 'moved', 0, 1, NULL),
        (6, 3, 'subscription.changed', 'moved', NULL, NULL, 'MID'),
        (7, 3, 'invoice.opened', 'moved', 0, 2, NULL),
        (8, 3, 'subscription.changed', 'moved', NULL, NULL, 'OLD'),
        -- A late tick opens two periods at one instant, and the change is between them.
        (9, 9, 'invoice.opened', 'moved', 1, 0, NULL),
        (10, 9, 'subscription.changed', 'moved', NULL, NULL, 'NEW'),
        (11, 9, 'invoice.opened', 'moved', 2, 0, NULL),
        -- An event names no plan, or one that does not exist.
        (12, 0, 'invoice.opened', 'silent', 0, 0, NULL),
        (13, 1, 'subscription.changed', 'silent', NULL, NULL, NULL),
        (14, 0, 'subscription.created', 'unknown', NULL, NULL, 'GONE'),
        (15, 0, 'invoice.opened', 'unknown', 0, 0, NULL),
        (16, 1, 'subscription.changed', 'unknown', NULL, NULL, 'NEW')
    ) AS e (place, day, kind, name, period, change, plan) ORDER BY place;
INSERT INTO charges (id, invoice_id, subscription_id, customer_id, wallet_id, attempt,
        gateway_number, trigger, amount, kept, status, created_at, sent_at)
    SELECT md5('c' || i.id)::uuid, i.id, subscription_id, 'C', w.id, 1,
        replace(i.id::text, '-', ''), 'scheduled', 1, 1, 'succeeded', now(), now()
    FROM invoices i, wallets w;
INSERT INTO refunds (id, charge_id, invoice_id, customer_id, sequence, amount, reason, status,
        created_at)
    SELECT md5('r' || id)::uuid, id, invoice_id, 'C', 1, 1, 'x', 'succeeded', now() FROM charges;
"""
FILLED = {
    ("steady", 0, 0): "OLD", ("steady too", 0, 0): "NEW", ("moved", 0, 0): "OLD",
    ("moved", 0, 1): "MID", ("moved", 0, 2): "OLD", ("moved", 1, 0): "OLD",
    ("moved", 2, 0): "NEW", ("silent", 0, 0): "NEW", ("unknown", 0, 0): "NEW",
}  # fmt: skip
NAMED = """
    SELECT s.name, i.period_index, i.change_index, m.plan_code
    FROM {table} m JOIN invoices i ON i.id = m.{key}
    JOIN unnest(ARRAY['steady', 'steady too', 'moved', 'silent', 'unknown']) AS s (name)
        ON md5(s.name)::uuid = i.subscription_id"""


@pytest.fixture
def before(empty_url: str) -> Iterator[psycopg.Connection]:
    """A database of the revision before; its other subscriptions have no invoice."""
    command.upgrade(migrate._config(empty_url), "0030")
    plain = make_url(empty_url).set(drivername="postgresql")
    with psycopg.connect(
        plain.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(GROUND)
        yield connection


def filled(connection: psycopg.Connection, table: str, key: str) -> dict[tuple[str, int, int], str]:
    """The plan of each row of a table, by subscription and place of its invoice."""
    found = connection.execute(NAMED.format(table=table, key=key)).fetchall()
    return {(name, period, change): plan for name, period, change, plan in found}


def test_money_of_before_has_the_plan_that_the_events_name(
    empty_url: str, before: psycopg.Connection
) -> None:
    """Charges and refunds that of their invoice; without such an event that of the subscription."""
    before.execute(ROWS)

    migrate.upgrade(empty_url)

    for table, key in (("invoices", "id"), ("charges", "invoice_id"), ("refunds", "invoice_id")):
        assert filled(before, table, key) == FILLED, table
        with pytest.raises(psycopg.errors.NotNullViolation):
            before.execute(f"UPDATE {table} SET plan_code = NULL")
        row = before.execute(
            "SELECT column_default FROM information_schema.columns"
            " WHERE table_name = %s AND column_name = 'plan_code'", (table,),
        ).fetchone()  # fmt: skip
        assert row == (None,)
    migrate.check(empty_url)


def test_the_way_down_and_up_again_names_the_same_plans(
    empty_url: str, before: psycopg.Connection
) -> None:
    """Downgraded, all rows are there without the column; the next upgrade fills it again."""
    before.execute(ROWS)
    migrate.upgrade(empty_url)
    command.downgrade(migrate._config(empty_url), "0030")
    counts = before.execute(
        "SELECT (SELECT count(*) FROM invoices), (SELECT count(*) FROM charges),"
        " (SELECT count(*) FROM refunds), (SELECT count(*) FROM pg_indexes"
        " WHERE indexname ~ '^(invoices|charges|refunds)_plan')"
    ).fetchone()
    assert counts == (9, 9, 9, 0)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        before.execute("SELECT plan_code FROM charges")

    migrate.upgrade(empty_url)

    assert filled(before, "refunds", "invoice_id") == FILLED


def test_a_database_without_rows_is_upgraded(empty_url: str, before: psycopg.Connection) -> None:
    """No plan, no subscription: there is nothing to fill, and no default stays."""
    before.execute("DELETE FROM subscriptions")

    migrate.upgrade(empty_url)

    migrate.check(empty_url)

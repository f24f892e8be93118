"""An upgrade fills when each endpoint last accepted an event."""

import psycopg
from alembic import command
from sqlalchemy import make_url

from billing.store import migrate

ENDPOINT = """INSERT INTO webhook_endpoints (id, url, secret_sealed, starts_after, created_at)
    VALUES (gen_random_uuid(), %s, '', 0, now()) RETURNING id"""
DELIVERY = """INSERT INTO webhook_deliveries (endpoint_id, event_id, status, created_at, settled_at)
    VALUES (%s, %s, %s, '2026-01-01 00:00Z', CAST(%s AS timestamptz))"""


def test_the_last_success_is_that_of_the_deliveries_of_before(empty_url: str) -> None:
    """The latest one that succeeded; none for an endpoint that only failed."""
    command.upgrade(migrate._config(empty_url), "0025")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        [good], [bad] = (
            connection.execute(ENDPOINT, (url,)).fetchone() or (None,) for url in ("a", "b")
        )
        for event, (endpoint, status, day) in enumerate([
            (good, "succeeded", 2), (good, "succeeded", 4), (good, "succeeded", 3),
            (good, "failed", 9), (bad, "failed", 5),
        ]):  # fmt: skip
            connection.execute(DELIVERY, (endpoint, event, status, f"2026-01-0{day} 00:00Z"))

        migrate.upgrade(empty_url)

        found = connection.execute(
            "SELECT url, last_succeeded_at = '2026-01-04 00:00Z' FROM webhook_endpoints ORDER BY 1"
        ).fetchall()
    assert found == [("a", True), ("b", None)]

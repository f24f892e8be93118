"""An upgrade adds the columns of an erasure to customers, and a downgrade takes them away."""

import psycopg
import pytest
from alembic import command
from sqlalchemy import make_url

from billing.store import migrate
from tests.integration.earlier import GROUND


def test_customers_of_before_are_not_erased(empty_url: str) -> None:
    """They keep their names; a customer counts as erased only without a personal value."""
    config = migrate._config(empty_url)
    command.upgrade(config, "0001")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(GROUND)
        command.upgrade(config, "0018")
        found = connection.execute("SELECT name, erase_requested_at, erased_at FROM customers")
        assert found.fetchall() == [("Ani", None, None)]
        with pytest.raises(psycopg.errors.CheckViolation, match="customers_erased_check"):
            connection.execute("UPDATE customers SET erase_requested_at = now(), erased_at = now()")
        with pytest.raises(psycopg.errors.CheckViolation, match="customers_erased_check"):
            connection.execute("UPDATE customers SET name = '', erased_at = now()")
        connection.execute(
            "UPDATE customers SET name = '', erase_requested_at = now(), erased_at = now()"
        )

        command.downgrade(config, "0017")

        assert connection.execute("SELECT id, name FROM customers").fetchall() == [("C", "")]
        command.upgrade(config, "0018")
        found = connection.execute("SELECT erased_at FROM customers")
        assert found.fetchall() == [(None,)]

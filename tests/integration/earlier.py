"""Databases as earlier revisions left them, for the tests of migrations."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.servers import Servers

GROUND = """
INSERT INTO customers (id, name, created_at) VALUES ('C', 'Ani', now());
INSERT INTO plans (code, name, amount, every, timezone, retries, on_exhausted, catch_up, created_at)
    VALUES ('P', 'P', 100000, '1 month', 'Asia/Jakarta', '{}', 'cancel', 'all', now());
INSERT INTO wallets (id, customer_id, status, phone_sealed, masked_phone, token_sealed, created_at,
    expires_at) VALUES (gen_random_uuid(), 'C', 'active', 'x', '****1234', 'x', now(),
    now() + interval '1 year');
INSERT INTO subscriptions (id, customer_id, plan_code, status, amount, created_at)
    VALUES (gen_random_uuid(), 'C', 'P', 'active', 100000, now());
"""
"""A customer on a plan with a linked wallet; the columns are those of the first revision."""


@pytest.fixture
def empty_url(shared_servers: Servers) -> Iterator[str]:
    """A database without any table."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(shared_servers.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield shared_servers.url(name).replace("postgresql://", "postgresql+psycopg://", 1)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

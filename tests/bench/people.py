"""Customers with linked wallets, and subscriptions that are due, by the hundred thousand.

At the gateway they are written into its journal before it starts, in the database by single
statements. All have the same token; a wallet answers only to its own customer.
"""

from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from billing.clock import real_now
from billing.sandbox.state.clock import stamp
from billing.sandbox.state.events import BindingAsked, BindingConfirmed, Event, WalletSet
from billing.sandbox.state.journal import Journal
from billing.store.vault import Vault

TOKEN = "0123456789abcdef0123456789abcdef"
AMOUNT = 50_000
PLAN = "monthly"
RICH = 1_000_000_000
EVENTS_A_LINE = 3_000


def customer(number: int) -> str:
    """The id of a customer, from 1."""
    return f"C{number:07}"


def link_at_gateway(journal: Path, count: int) -> None:
    """Have `count` customers confirm their wallets in a journal that the sandbox will read."""
    now = real_now()
    at, year_on = stamp(now), stamp(now + timedelta(days=365))
    book = Journal(journal)
    told: list[Event] = []
    for number in range(1, count + 1):
        who, session = customer(number), f"session-{number}"
        told += [
            WalletSet(who, RICH, 0),
            BindingAsked(at, f"bind-{number}", {"id": who}, f"62812{number:08}", session,
                         "https://x.example", "https://x.example", None),
            BindingConfirmed(at, session, TOKEN, year_on),
        ]  # fmt: skip
        if len(told) >= EVENTS_A_LINE:
            book.append(told)
            told = []
    book.append(told)
    book.close()


def link_here(connection: psycopg.Connection, vault: Vault, count: int) -> None:
    """The same customers and wallets in our database, and a monthly plan."""
    connection.execute(
        "INSERT INTO plans (code, name, amount, every, timezone, retries, on_exhausted, catch_up,"
        " created_at) VALUES (%s, 'Monthly', %s, '1 month', 'Asia/Jakarta', '2d 5d 7d 7d',"
        " 'cancel', 'all', now())",
        (PLAN, AMOUNT),
    )
    more(connection, vault, count)


def more(connection: psycopg.Connection, vault: Vault, count: int) -> None:
    """Customers with wallets in our database only."""
    connection.execute(
        "INSERT INTO customers (id, name, phone, email, created_at)"
        " SELECT 'C' || lpad(n::text, 7, '0'), 'Customer ' || n, '0812' || lpad(n::text, 8, '0'),"
        " 'c' || n || '@mail.example', now() FROM generate_series(1, %s) AS n",
        (count,),
    )
    connection.execute(
        "INSERT INTO wallets (id, customer_id, status, phone_sealed, token_sealed, created_at,"
        " linked_at, expires_at, next_notice_at) SELECT gen_random_uuid(),"
        " 'C' || lpad(n::text, 7, '0'), 'active', %s, %s, now(), now(), now() + interval '1 year',"
        " now() + interval '335 days' FROM generate_series(1, %s) AS n",
        (vault.seal(b"62812"), vault.seal(TOKEN.encode()), count),
    )
    connection.execute("ANALYZE")


def subscribe(connection: psycopg.Connection, count: int, due_at: datetime) -> None:
    """Give each of the first `count` customers one more subscription whose period 0 is due.

    Their ids are as the engine draws them, as if each had been made at some time of a year.
    """
    connection.execute(
        "INSERT INTO subscriptions (id, customer_id, plan_code, status, amount, start_at,"
        " anchor_local, next_due_at, created_at)"
        " SELECT CAST(lpad(to_hex(CAST(1000 * (extract(epoch FROM now()) - random() * %(old)s)"
        " AS bigint)), 12, '0') || '7' || substr(replace(CAST(gen_random_uuid() AS text), '-', ''),"
        " 14) AS uuid), 'C' || lpad(n::text, 7, '0'), %(plan)s, 'active', %(amount)s,"
        " %(due)s, %(due)s AT TIME ZONE 'Asia/Jakarta', %(due)s, now()"
        " FROM generate_series(1, %(count)s) AS n",
        {
            "plan": PLAN,
            "amount": AMOUNT,
            "due": due_at,
            "count": count,
            "old": timedelta(days=365).total_seconds(),
        },
    )

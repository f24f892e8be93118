"""The lists of the read side with a past of years: time and plan of every list with each filter.

    python -m tests.bench.listed [--people 1000000] [--out FOLDER]

Rows are made by single statements: four plans, one that most subscriptions have, one that hardly
any has, and one that all have left; statuses of which some are rare. Of the open invoices most have
a date of their next attempt, some an unresolved charge, and a tenth neither, which is an alarm. The
plans are written as text into `docs/plans`. `tests/integration/test_store_list_plans.py` does the
same with fewer rows.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import psycopg
from rich.console import Console
from sqlalchemy import Connection

from billing import logs
from billing.clock import real_now
from billing.domain import filters
from billing.domain.charge import ChargeStatus
from billing.domain.event_kinds import KINDS
from billing.domain.invoice import InvoiceStatus
from billing.domain.paging import Listed, Page
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.store.queries import activity, lists
from tests.bench.plans import explained
from tests.bench.stage import forget_own_settings, stage

PLANS = Path(__file__).parents[2] / "docs" / "plans"
_NUMBERS = re.compile(r"'\d+'::(smallint|integer|bigint)")
PERIODS = 3
YEARS = 2
PAGE = Page(100)
CUSTOMER = "C0000100"
_FILL: Mapping[str, str] = {
    "plans": """INSERT INTO plans (code, name, amount, every, timezone, retries, on_exhausted,
            catch_up, created_at)
        SELECT code, code, 50000, '1 month', 'Asia/Jakarta', '2d', 'cancel', 'all',
            now() - interval '3 years'
        FROM unnest(ARRAY['common', 'retired', 'second', 'seldom']) AS code""",
    "coupons": """INSERT INTO coupons (code, percent, created_at)
        SELECT 'coupon' || n, 10, now() FROM generate_series(1, 50) AS n""",
    "people": """CREATE TEMP TABLE people AS
        SELECT n, 'C' || lpad(n::text, 7, '0') AS customer, md5('w' || n)::uuid AS wallet,
            md5('s' || n)::uuid AS subscription,
            date_trunc('second', now() - make_interval(
                secs => %(seconds)s * (1 - n::float / %(people)s))) AS at,
            CASE WHEN n <= %(people)s / 20 THEN 'retired'
                 WHEN n %% (%(people)s / 10) = 7 THEN 'seldom'
                 WHEN n %% 5 = 0 THEN 'second' ELSE 'common' END AS plan
        FROM generate_series(1, %(people)s) AS n""",
    "customers": """INSERT INTO customers (id, name, phone, created_at)
        SELECT customer, 'Customer ' || n, '62812' || lpad(n::text, 8, '0'), at FROM people""",
    "wallets": """INSERT INTO wallets (id, customer_id, status, phone_sealed, token_sealed,
            created_at, linked_at, expires_at)
        SELECT wallet, customer, CASE WHEN n % 20 = 0 THEN 'expired' WHEN n % 500 = 1 THEN 'pending'
            ELSE 'active' END, 'x', 'x', at, at, now() + interval '1 year' FROM people""",
    "subscriptions": """INSERT INTO subscriptions (id, customer_id, plan_code, status, amount,
            start_at, anchor_local, next_due_at, created_at, ended_at)
        SELECT subscription, customer, plan, status, 50000, at, at, CASE WHEN status <> 'canceled'
            THEN date_trunc('hour', now()) + interval '1 hour' * (1 + n / 20 % 720) END, at,
            CASE WHEN status = 'canceled' THEN now() END
        FROM (SELECT *, CASE WHEN plan = 'retired' OR n % 10 = 3 THEN 'canceled'
            WHEN n % 50 = 0 THEN 'past_due' WHEN n % 1000 = 1 THEN 'unpaid'
            WHEN n % 500 = 2 THEN 'paused' ELSE 'active' END AS status FROM people) AS p""",
    "periods": """CREATE TEMP TABLE periods AS
        SELECT q.*, p, md5('i' || n || '-' || p)::uuid AS invoice, md5('c' || n || '-' || p)::uuid
                AS charge,
            at + p * (CASE WHEN plan = 'retired' THEN interval '20 days'
                ELSE (now() - at) / %(periods)s END) AS made,
            CASE WHEN p = %(periods)s - 1 AND n %% 100 = 0 THEN 'open'
                WHEN p = 1 AND n %% 200 = 7 THEN 'uncollectible'
                WHEN p = 0 AND n %% 500 = 9 THEN 'void' ELSE 'paid' END AS status
        FROM people q, generate_series(0, %(periods)s - 1) AS p ORDER BY made""",
    "invoices": """INSERT INTO invoices (id, subscription_id, customer_id, plan_code,
            period_index, period_start, period_end, amount, status, created_at, paid_at, closed_at,
            next_attempt_at)
        SELECT invoice, subscription, customer, plan, p, made, made + interval '30 days', 50000,
            status, made, CASE WHEN status = 'paid' THEN made END,
            CASE WHEN status IN ('uncollectible', 'void') THEN made END,
            CASE WHEN status = 'open' AND n % 1000 NOT IN (0, 100, 500)
            THEN date_trunc('hour', now()) + interval '1 hour' * (1 + n / 100 % 168) END
        FROM periods""",
    "charges": """INSERT INTO charges (id, invoice_id, subscription_id, customer_id, plan_code,
            wallet_id, attempt, gateway_number, trigger, amount, kept, status, created_at, sent_at)
        SELECT charge, invoice, subscription, customer, plan, wallet, 1,
            replace(charge::text, '-', ''), 'scheduled', 50000,
            CASE WHEN status = 'paid' THEN 50000 ELSE 0 END,
            CASE WHEN status = 'paid' THEN 'succeeded' WHEN status <> 'open' THEN 'declined'
            WHEN n % 1000 = 0 THEN 'in_flight' WHEN n % 1000 = 500 THEN 'unknown'
            ELSE 'declined' END, made, made FROM periods""",
    "refunds": """INSERT INTO refunds (id, charge_id, invoice_id, customer_id, plan_code,
            sequence, amount, reason, status, created_at)
        SELECT md5('r' || n)::uuid, charge, invoice, customer, plan, 1, 1000, 'x', CASE
            WHEN n % 1000 = 1 THEN 'declined' WHEN n % 5000 = 51 THEN 'unreturned'
            ELSE 'succeeded' END, made FROM periods WHERE p = 0 AND n % 5 IN (0, 1)""",
    "credits": """INSERT INTO credits (customer_id, amount, remaining, reason, created_at)
        SELECT customer, 1000, 1000, 'x', at FROM people WHERE n % 20 = 0""",
    "events": """INSERT INTO events (at, kind, actor, customer_id, subscription_id, invoice_id)
        SELECT made, kind, who, customer, subscription, invoice
        FROM (SELECT made, kind, 'scheduler' AS who, customer, subscription, invoice FROM periods,
                unnest(ARRAY['invoice.opened', 'invoice.paid']) AS kind
            UNION ALL SELECT at, 'customer.created', 'shop', customer, NULL, NULL FROM people
            UNION ALL SELECT at, 'customer.updated', 'ani', customer, NULL, NULL FROM people
                WHERE n % 50 = 0) AS told
        ORDER BY made, kind""",
    "event_feed": "INSERT INTO event_feed (event_id) SELECT id FROM events ORDER BY id",
}  # fmt: skip


def fill(
    connection: psycopg.Connection, people: int, *, periods: int = PERIODS, days: int = 365 * YEARS
) -> None:
    """Insert customers of that many days, each with a wallet, a subscription and its money."""
    seconds = timedelta(days=days).total_seconds()
    values = {"people": people, "seconds": seconds, "periods": periods}
    connection.execute("SET session_replication_role = replica")  # in this session no keys
    for name, statement in _FILL.items():
        connection.execute(statement, values if name in {"people", "periods"} else None)
    connection.execute("SET session_replication_role = origin")
    connection.execute("VACUUM ANALYZE")
    # Else the server would write these files while it is measured, which delays each commit.
    connection.execute("CHECKPOINT")


class Tried(NamedTuple):
    """A list with one filter."""

    name: str
    read: Callable[[Connection, Any, Page], Listed[Any]]
    wanted: Any

    def __call__(self, connection: Connection) -> None:
        """Read the first page and the second."""
        first = self.read(connection, self.wanted, PAGE)
        if first.next_cursor is not None:
            self.read(connection, self.wanted, PAGE._replace(after=first.next_cursor))


def tried() -> Iterator[Tried]:
    """Every list without a filter, with each single filter, and with a plan and each status."""
    now = real_now()
    for read, plain, statuses in _LISTS:
        name = read.__name__.replace("_", "-")
        fields = set(plain._fields)
        yield Tried(name, read, plain)
        for days in (700, 365, 1):
            at = now - timedelta(days=days)
            yield Tried(f"{name}-since-{days}", read, plain._replace(since=at))
            yield Tried(f"{name}-until-{days}", read, plain._replace(until=at))
        if "customer" in fields:
            yield Tried(f"{name}-customer", read, plain._replace(customer=CUSTOMER))
        if "plan" in fields:
            for plan in ("common", "second", "seldom", "retired"):
                yield Tried(f"{name}-plan-{plan}", read, plain._replace(plan=plan))
        if "actor" in fields:
            refunds = tuple(kind for kind in KINDS if kind.startswith("refund."))
            yield Tried(f"{name}-actor", read, plain._replace(actor="ani"))
            yield Tried(f"{name}-kinds", read, plain._replace(kinds=("customer.updated",)))
            yield Tried(f"{name}-actor-kinds", read, plain._replace(actor="shop", kinds=refunds))
            yield Tried(f"{name}-machines", read, plain._replace(machines=True))
        for status in statuses:
            yield Tried(f"{name}-{status}", read, plain._replace(status=status))
            for plan in ("common", "retired") if "plan" in fields else ():
                wanted = plain._replace(status=status, plan=plan)
                yield Tried(f"{name}-{status}-plan-{plan}", read, wanted)


_LISTS: Sequence[tuple[Callable[[Connection, Any, Page], Listed[Any]], Any, Sequence[Any]]] = (
    (lists.customers, filters.CustomerFilter(), ()),
    (lists.wallets, filters.WalletFilter(), tuple(WalletStatus)),
    (lists.subscriptions, filters.SubscriptionFilter(), tuple(SubscriptionStatus)),
    (lists.invoices, filters.InvoiceFilter(), tuple(InvoiceStatus)),
    (lists.charges, filters.ChargeFilter(), tuple(ChargeStatus)),
    (lists.refunds, filters.RefundFilter(), tuple(RefundStatus)),
    (lists.credits_of, filters.CreditFilter(CUSTOMER), ()),
    (lists.events, filters.EventFilter(), ()),
    (activity.activity, activity.Wanted(), ()),
)


def plans(connection: Connection) -> Iterator[tuple[Tried, list[str]]]:
    """Explain the second page of each list, or the only one."""
    for each in tried():
        after = each.read(connection, each.wanted, PAGE).next_cursor
        page = PAGE._replace(after=after)
        statements = explained(connection, partial(each.read, wanted=each.wanted, page=page))
        yield each, [line for plan in statements for line in plan]


def pages(lines: Sequence[str]) -> Iterator[str]:
    """Leave only how the rows of a page are found, and not how their details are joined."""
    depth = None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if depth is not None and indent <= depth:
            depth = None
        if depth is None and line.lstrip(" ->").startswith("Limit"):
            depth = indent
        if depth is not None:
            yield line[depth:]


def write_plans(connection: Connection, folder: Path) -> None:
    """Write the plans of each list into one file; filters with the same plan stand together."""
    found: dict[str, dict[str, list[str]]] = {}
    for each, lines in plans(connection):
        plan = _NUMBERS.sub("…", "\n".join(pages(lines)))
        found.setdefault(each.read.__name__, {}).setdefault(plan, []).append(each.name)
    for name, of_list in found.items():
        parts = (f"# {', '.join(names)}\n{plan}\n" for plan, names in of_list.items())
        (folder / f"list-{name.replace('_', '-')}.txt").write_text("\n".join(parts))


def main(arguments: Sequence[str]) -> int:
    """Measure every list, print the milliseconds of two pages, and write the plans."""
    parser = argparse.ArgumentParser("python -m tests.bench.listed", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=PLANS)
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    with stage(0) as ground, ground.connect() as connection:
        connection.execute("DELETE FROM plans")
        fill(connection, given.people)
        with ground.context.database.transaction() as session:
            for each in tried():
                times = []
                for _ in range(3):
                    began = monotonic()
                    each(session)
                    times.append(round((monotonic() - began) * 1000, 1))
                console.print(f"{each.name}: {min(times)} ms, at first {times[0]} ms")
            write_plans(session, given.out)
    return 0


if __name__ == "__main__":
    forget_own_settings()
    logs.configure("json", "warning")
    sys.exit(main(sys.argv[1:]))

"""How soon the console's pages come, with a million subscriptions and five million charges.

    python -m tests.bench.console [--people 1000000] [--rounds 40] [--out FOLDER]

Each page is asked for again and again, each time with another row, one request at a time, from a
web process of its own. The charges are those of five months, so that a day has as many as a
month's plan gives it. The statements of each page, and their plans, which are written as text into
`docs/plans`, are those of the same application in this process.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import monotonic
from typing import NamedTuple

import psycopg
import requests
from rich.console import Console
from starlette.types import ASGIApp

from billing import logs
from billing.domain.events import OPERATOR
from billing.domain.filters import OF_INVOICES_AHEAD, OF_PERIODS_AHEAD
from billing.domain.people import Role
from billing.services.context import Context
from billing.services.operating import counting_ahead, metrics, people
from billing.store.queries import ahead
from billing.web.console import app
from billing.web.console.routes import PAGES
from billing.web.console.streams import Streams
from tests.asgi import ask
from tests.bench import listed
from tests.bench.latency import serving
from tests.bench.plans import caught, plan_of
from tests.bench.stage import Stage, forget_own_settings, stage

PERIODS, DAYS = 5, 150
WARM_ROUNDS = 6
"""A statement is prepared at its fifth time."""
PAGE_SECONDS = 30
"""A page that is slow is asked for less often."""
SAMPLE = 500
NAME, PASSWORD = "Bench", "correct horse battery"
LEFT_OUT = re.compile(r"/(export|attention/done)/|/(login|retry|void|withdraw-cancel)$")
"""Files, which are as long as their limit; pages of a row that is made by an action; and forms that
are the preview of their action at once."""
_TOLD = """INSERT INTO events (at, kind, actor, customer_id, subscription_id, invoice_id, charge_id)
    SELECT created_at, 'charge.' || status, 'scheduler', customer_id, subscription_id, invoice_id,
        id FROM charges
    WHERE status IN ('succeeded', 'declined') AND created_at > now() - interval '8 days'
    ORDER BY created_at"""
_BESIDE = (
    """INSERT INTO public.people (id, name, role, password_hash, created_at, password_changed_at)
        SELECT gen_random_uuid(), 'Other ' || n, 'viewer', 'x', now(), now()
        FROM generate_series(1, 40) AS n""",
    """INSERT INTO console_sessions (id_hash, person_id, created_at, used_at)
        SELECT CAST(md5('session ' || n) AS bytea), id, now(), now()
        FROM public.people JOIN generate_series(1, 2000) AS n ON name = 'Other ' || n % 40""",
    """INSERT INTO hourly_totals (hour, name, events, amount)
        SELECT hour, name, 100, 5000000 FROM generate_series(date_trunc('hour', now())
            - interval '1 year', now() - interval '30 days', interval '1 hour') AS hour,
            unnest(ARRAY['charge.succeeded', 'charge.declined', 'refund.succeeded']) AS name""",
    """INSERT INTO daily_totals (day, name, label, events, amount)
        SELECT day, 'declined', label, 100, 5000000 FROM generate_series(date(now()) - 1000,
            date(now()) - 200, interval '1 day') AS day,
            unnest(ARRAY['limit', 'funds', 'wallet', 'technical', 'other']) AS label""",
    """INSERT INTO commands (key, task, arguments, result, created_at)
        SELECT 'api:console/' || md5('key ' || n), 'console.x', '{}', '{}', now()
        FROM generate_series(1, 100000) AS n""",
    """INSERT INTO webhook_endpoints (id, url, created_at, secret_sealed, starts_after)
        VALUES (gen_random_uuid(), 'https://shop.example', now(), 'x', 0)""",
    """INSERT INTO webhook_endpoints (id, url, created_at, secret_sealed, starts_after, disabled_at,
            disabled_cause)
        VALUES (gen_random_uuid(), 'https://off.example', now(), 'x', 0, now(), 'operator')""",
    """INSERT INTO webhook_deliveries (endpoint_id, event_id, status, created_at, settled_at)
        SELECT w.id, e.id, CASE WHEN e.id % 5000 = 0 THEN 'failed' ELSE 'succeeded' END, e.at, e.at
        FROM webhook_endpoints w, (SELECT id, at FROM events ORDER BY id DESC LIMIT 300000) AS e
        WHERE w.disabled_at IS NULL""",
    """INSERT INTO api_keys (id, name, prefix, key_hash, scopes, created_at)
        SELECT gen_random_uuid(), 'shop ' || n, 'bk_' || n, CAST(md5('key ' || n) AS bytea),
            ARRAY['read'], now() FROM generate_series(1, 50) AS n""",
    """INSERT INTO approvals (id, key, kind, status, subject, subscription_id, customer_id,
            arguments, amount, rows_count, seen, basis, reason, asked_by, asked_at, ends_at,
            decided_at)
        SELECT gen_random_uuid(), 'refund ' || n, 'refund',
            CASE WHEN n <= 90 THEN 'open' ELSE 'outdated' END, CAST(i.id AS text),
            i.subscription_id, i.customer_id, '{"amount": 1000}', 1000, 1, 0, 'x', 'a complaint',
            p.id, now() - n * interval '1 minute', now() + interval '3 days',
            CASE WHEN n > 90 THEN now() END
        FROM public.people p, (SELECT *, row_number() OVER () AS n FROM invoices
            WHERE status = 'paid' LIMIT 20000) AS i WHERE p.name = 'Other 1'""",
    """INSERT INTO approvals (id, key, kind, subject, arguments, amount, rows_count, seen, basis,
            reason, asked_by, asked_at, ends_at)
        SELECT gen_random_uuid(), 'many', 'bulk', 'bulk/many', jsonb_build_object('deed', 'retry',
            'kind', 'invoice', 'cause', 'no date', 'rows', jsonb_agg(jsonb_build_array(i.id,
            i.customer_id, i.amount))),
            sum(i.amount), count(*), 0, 'x', 'after the outage', p.id, now(),
            now() + interval '3 days'
        FROM public.people p, (SELECT * FROM invoices WHERE status = 'open' AND next_attempt_at IS
            NULL LIMIT 200) AS i WHERE p.name = 'Other 1' GROUP BY p.id""",
)
"""What is beside customers and their money: sessions, hours of years, deliveries, requests."""
_FED = """INSERT INTO event_feed (event_id) SELECT id FROM events
    WHERE kind IN ('charge.succeeded', 'charge.declined') ORDER BY id"""
_IDS: Mapping[str, str] = {
    "customer_id": "SELECT id FROM customers",
    "subscription_id": "SELECT id FROM subscriptions",
    "invoice_id": "SELECT id FROM invoices",
    "charge_id": "SELECT id FROM charges WHERE status = 'unknown'",
    "refund_id": "SELECT id FROM refunds",
    "approval_id": "SELECT id FROM approvals",
    "endpoint_id": "SELECT id FROM webhook_endpoints WHERE disabled_at IS NULL",
    "delivery_id": "SELECT id FROM webhook_deliveries",
    "person_id": "SELECT id FROM public.people WHERE name LIKE 'Other%'",
    "key_id": "SELECT id FROM api_keys",
}
_DAYS = """SELECT 'at=' || date(now() + n * interval '1 day') || '&before='
    || date(now() + (n + 1) * interval '1 day') FROM generate_series(1, 28) AS n"""
AHEAD_LISTS = {
    "subscriptions": sorted(OF_PERIODS_AHEAD), "invoices": sorted(OF_INVOICES_AHEAD),
}  # fmt: skip
_WORDS: Mapping[str, str] = {
    "/search?q={}": "SELECT id FROM customers",
    "/search?q={}&by=name": "SELECT 'customer ' || right(id, 3) FROM customers",
    "/search?q={}&by=phone": "SELECT right(phone, 4) FROM customers",
    "/search?q={}&by=gateway-number": "SELECT gateway_number FROM charges",
    "/search?q={}&by=request-id": "SELECT id FROM charges",
    "/invoices?customer={}": "SELECT id FROM customers",
    "/charges?customer={}": "SELECT id FROM customers",
    "/approvals/{}": "SELECT id FROM approvals WHERE status = 'open' AND kind = 'refund'",
    "/approvals/{}?": "SELECT id FROM approvals WHERE kind = 'bulk'",
    "/webhooks/{}?status=failed": "SELECT id FROM webhook_endpoints WHERE disabled_at IS NULL",
    "/webhooks/deliveries/{}?": "SELECT id FROM webhook_deliveries WHERE status = 'failed'",
    "/ahead?day={}": "SELECT date(now() + n * interval '1 day') FROM generate_series(1, 28) AS n",
    "/catalogue/plan?code={}": "SELECT code FROM plans",
    **{
        f"/{kind}?of={name}{plan}&{{}}": _DAYS
        for kind, names in AHEAD_LISTS.items()
        for name in names
        for plan in ("", "&plan=seldom")
    },
    "/customers?from={}": "SELECT date(created_at) FROM customers",
    "/charges?to={}": "SELECT date(created_at) FROM customers",
}
"""Pages with a parameter of their own, and where it comes from."""
_MORE = (
    "/now?part=live", "/failures?days=90", "/webhooks?", "/attention?kind=invoice&cause=no+date",
    "/attention/bulk?kind=invoice&cause=no+date",
    "/subscriptions?status=past_due", "/subscriptions?plan=seldom", "/invoices?status=open",
    "/invoices?plan=seldom", "/charges?status=declined", "/charges?plan=seldom",
    "/refunds?status=declined", "/ahead?plan=seldom",
)  # fmt: skip


class Measured(NamedTuple):
    """A page: its milliseconds, and what its statements were."""

    page: str
    milliseconds: list[float]
    plans: list[list[str]]

    def percentile(self, share: float) -> float:
        """The time within which this share of the pages came."""
        return self.milliseconds[
            min(len(self.milliseconds) - 1, int(share * len(self.milliseconds)))
        ]

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{self.page}: p50 {median(self.milliseconds):.1f} ms,"
            f" p95 {self.percentile(0.95):.1f} ms,"
            f" longest {self.milliseconds[-1]:.1f} ms, {sum(map(bool, self.plans))} statements"
        )


def main(arguments: Sequence[str]) -> int:
    """Measure and print, and write the plans."""
    parser = argparse.ArgumentParser("python -m tests.bench.console", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, default=listed.PLANS)
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    found: dict[str, list[str]] = {}
    with stage(0) as ground:
        for each in measure(ground, given.people, given.rounds):
            console.print(str(each))
            for plan in filter(None, each.plans):
                found.setdefault("\n".join(plan), []).append(each.page)
    given.out.mkdir(parents=True, exist_ok=True)
    parts = (f"# {', '.join(dict.fromkeys(pages))}\n{plan}\n" for plan, pages in found.items())
    (given.out / "console.txt").write_text("\n".join(parts))
    return 0


def measure(ground: Stage, count: int, rounds: int) -> Iterator[Measured]:
    """Fill the database, start the web server, and ask for every page."""
    with ground.connect() as connection:
        connection.execute("DELETE FROM plans")
        listed.fill(connection, count, periods=PERIODS, days=DAYS)
        furnish(connection)
        addresses = dict(addresses_of(connection))
    settle(ground.context)
    yield Measured("the count of the tick count_ahead", [counted(ground.context)], [])
    people.create(ground.context, NAME, Role.ADMIN, PASSWORD, OPERATOR)
    inside = app.build(ground.context, Streams())
    with serving(ground) as (port, _), requests.Session() as session:
        _log_in(session, f"http://127.0.0.1:{port}")
        cookies = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
        for page, paths in addresses.items():
            get = partial(_timed, session, f"http://127.0.0.1:{port}/console")
            taken = list(_until(map(get, islice(cycle(paths), WARM_ROUNDS + rounds))))
            plans = plans_of(ground.context, inside, paths[0], cookies)
            yield Measured(page, sorted(taken[WARM_ROUNDS:] or taken), plans)


def furnish(connection: psycopg.Connection) -> None:
    """Add what is beside customers and their money."""
    for statement in (_TOLD, _FED, *_BESIDE, "VACUUM ANALYZE"):
        connection.execute(statement)


def counted(context: Context) -> float:
    """Return the milliseconds that the totals of the days ahead took."""
    with context.database.transaction() as connection:
        found = ahead.state(connection)
    assert found is not None  # `settle` has counted
    return found.took_seconds * 1000


def settle(context: Context) -> None:
    """Count what the ticks of an engine that has been running have counted."""
    while metrics.count(context):
        pass
    counting_ahead.count(context)


def plans_of(context: Context, inside: ASGIApp, path: str, cookies: str) -> list[list[str]]:
    """Open a page of an application in this process, and explain each of its statements."""
    with caught(context.database._engine) as sent:
        status, _ = ask(inside, "GET", path, [(b"host", b"bench"), (b"cookie", cookies.encode())])
    if status not in {200, 303}:
        raise RuntimeError(f"{path}: {status}")
    with context.database.transaction() as reader:
        plans = [plan_of(reader, each) for each in sent]
        reader.rollback()
    return plans


def _until(times: Iterator[float]) -> Iterator[float]:
    """Yield times, as long as they are few seconds in all."""
    spent = 0.0
    for each in times:
        yield each
        spent += each
        if spent > PAGE_SECONDS * 1000:
            return


def addresses_of(connection: psycopg.Connection) -> Iterator[tuple[str, list[str]]]:
    """Yield each page with its addresses: rows from everywhere in the tables."""
    ids = {name: _sampled(connection, statement) for name, statement in _IDS.items()}
    invoices = dict(connection.execute(
        "SELECT CAST(id AS text), CAST(invoice_id AS text) FROM charges WHERE status = 'unknown'"
    ).fetchall())  # fmt: skip
    for page in PAGES:
        names = re.findall(r"\{(\w+)", page.path)
        if page.method != "GET" or LEFT_OUT.search(page.path) or not set(names) <= ids.keys():
            continue
        path = re.sub(r"\{(\w+)[^}]*\}", r"{\1}", page.path)
        if "charge_id" in names and "invoice_id" in names:
            made = [path.format(charge_id=c, invoice_id=i) for c, i in invoices.items()]
        elif len(names) > 1:
            continue
        elif names:
            made = [path.format(**{names[0]: each}) for each in ids[names[0]]]
        else:
            made = [path]
        yield path, made
    for path, statement in _WORDS.items():
        yield path, [path.format(each) for each in _sampled(connection, statement)]
    for path in _MORE:
        yield path, [path]


def _sampled(connection: psycopg.Connection, statement: str) -> list[str]:
    rows = connection.execute(
        f"SELECT CAST(one AS text) FROM ({statement}) AS found (one)"
        f" ORDER BY md5(CAST(one AS text)) LIMIT {SAMPLE}"
    )
    return [row[0] for row in rows.fetchall()]


def _log_in(session: requests.Session, url: str) -> None:
    form = {"name": NAME, "password": PASSWORD}
    answer = session.post(
        f"{url}/console/login",
        data=form,
        headers={"Origin": url},
        allow_redirects=False,
        timeout=30,
    )
    answer.raise_for_status()


def _timed(session: requests.Session, url: str, path: str) -> float:
    began = monotonic()
    answer = session.get(
        url + path, headers={"Accept": "text/html"}, allow_redirects=False, timeout=120
    )
    if answer.status_code not in {200, 303} or "/login" in answer.headers.get("Location", ""):
        raise RuntimeError(f"{path}: {answer.status_code}")
    return (monotonic() - began) * 1000


if __name__ == "__main__":
    forget_own_settings()
    logs.configure("json", "warning")
    sys.exit(main(sys.argv[1:]))

"""Rows on the path that moves money have types, and mypy finds mistakes about them."""

import ast
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest

from tests.house.tree import PACKAGES, ROOT, modules

TYPED = {
    *(
        f"billing/domain/{name}.py"
        for name in (
            "addresses", "backdating", "conservation", "decisions", "declines", "doubts",
            "event_feed", "event_kinds", "events", "filters", "forecast", "imports",
            "notifications", "paging", "people",
            "periods", "refund", "refund_settlement", "settlement", "terms", "webhooks",
        )
    ),
    *(
        f"billing/store/queries/{name}.py"
        for name in (
            "ahead", "attention", "audit", "balances", "breaker", "catalog", "charges", "claims",
            "commands", "conservation", "console", "coupons", "deliveries", "engine", "event_feed",
            "events",
            "exporting", "forecast", "holding", "importing", "invoice_rows", "invoices", "listing",
            "listing_rows", "lists", "notifications", "overview", "paging", "people", "prospects",
            "refunds", "search", "sealed", "settlements", "subscription_rows", "subscriptions",
            "twins", "wallets", "webhooks",
        )
    ),
    *(
        f"billing/services/collecting/{name}.py"
        for name in (
            "backpressure", "breaker", "charge_facts", "charging", "claiming", "dispatch",
            "notifications", "opening", "opening_batches", "pipeline", "prechecks", "reconciling",
            "reopening", "settling", "uncollectible", "unsent_checks",
        )
    ),
    *(
        f"billing/services/operating/{name}.py"
        for name in (
            "charge_resolution", "counting_ahead", "held_rows", "invoice_actions", "kill_switch",
            "people", "safety", "sessions", "test_clock", "token_keys", "used_keys",
        )
    ),
    *(
        f"billing/services/money/{name}.py"
        for name in (
            "charge_money", "coupons", "crediting", "days_after_cancellation", "extra_lines",
            "next_invoice", "refund_resolution", "refunding",
        )
    ),
    *(
        f"billing/services/reading/{name}.py"
        for name in (
            "attention", "auditing", "catalog", "customer_page", "double_charges", "exporting",
            "forecasting", "lists", "live_view", "next_steps", "read_models", "results", "search",
        )
    ),
    *(
        f"billing/services/subscriptions/{name}.py"
        for name in (
            "canceling", "changing", "intents", "pausing", "proration", "starting",
            "subscribing", "transitions",
        )
    ),
    *(f"billing/services/wallets/{name}.py" for name in ("linking", "unlinking")),
    *(
        f"billing/services/webhooks/{name}.py"
        for name in ("endpoints", "event_feed", "fanout", "payloads", "resending", "sending")
    ),
    *(
        f"billing/cli/{name}.py"
        for name in (
            "attention", "charge", "clock", "coupon", "customer", "doctor", "event", "forecast",
            "import_export", "invoice", "output", "plan", "simulate", "timeline", "usage",
            "wallet", "webhook",
        )
    ),
    *(f"billing/local/{name}.py" for name in ("compare", "signals", "up", "view")),
    *(f"billing/simulation/{name}.py" for name in ("comparing", "playing", "wallets")),
    "billing/bootstrap.py",
    "billing/gateway/notifications.py",
    "billing/web/notifications.py",
    "billing/logs.py",
}  # fmt: skip
"""Modules in which no row has names of strings any more."""
RIGHT = """
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.events import About, Event, event
from billing.domain.periods import turns
from billing.domain.refund_settlement import Facts
from billing.services.reading import read_models
from billing.store.queries import refunds, subscriptions, wallets
from billing.store.session import Database


def amount(connection: Connection, refund_id: UUID) -> int:
    row = refunds.lock(connection, refund_id)
    return 0 if row is None else row.amount


def facts(row: refunds.LockedRefund, now: datetime) -> Facts:
    return Facts(
        row.status, row.purpose, sent_at=now, attempts=row.attempts, unsent_attempts=0, waits=0
    )


def turn(connection: Connection, subscription_id: UUID, now: datetime) -> bool:
    row = subscriptions.lock_one(connection, subscription_id)
    subscriptions.change(connection, subscription_id, reason=None)
    return row is not None and turns(row._replace(next_due_at=now), now)


def send(connection: Connection, refund_id: UUID, now: datetime) -> None:
    refunds.change(connection, refund_id, attempts=1, sent_at=now)


def expire(connection: Connection, row: wallets.Wallet, now: datetime) -> Event:
    wallets.change(connection, row.id, closed_at=now)
    about: About = {"customer_id": row.customer_id}
    return event("wallet.link_needed", at=now, **about, wallet=str(row.id))


def shown(database: Database, invoice_id: UUID) -> list[str]:
    return [charge.row.status for charge in read_models.invoice(database, invoice_id).charges]
"""


MISTAKES = {
    "a wrong column": ("row.amount", "row.amuont", '"LockedRefund" has no attribute "amuont"'),
    "a forgotten field": (
        ", unsent_attempts=0", "",
        'Missing positional argument "unsent_attempts" in call to "Facts"',
    ),
    "a wrong column written": (
        "attempts=1", "tires=1", 'Unexpected keyword argument "tires" for "change"',
    ),
    "a column of other type": (
        "row.attempts", "row.sent_at", 'has incompatible type "datetime | None"',
    ),
    "a status written by the way": (
        "reason=None", "status=None", 'Unexpected keyword argument "status" for "change"',
    ),
    "a wrong column replaced": (
        "next_due_at=now", "next_due_on=now", 'Unexpected keyword argument "next_due_on"',
    ),
    "a wrong column of a wallet written": (
        "closed_at=now", "closed_on=now", 'Unexpected keyword argument "closed_on"',
    ),
    "an event about something unknown": (
        '{"customer_id"', '{"customer"', 'Extra key "customer" for TypedDict "About"',
    ),
    "a wrong name on a page": (
        "charge.row.status", "charge.row.state", '"Charge" has no attribute "state"',
    ),
}  # fmt: skip
"""What is right, what is wrong in its place, and what mypy says of that."""


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[str]]:
    """What mypy finds in each wrong module, and in the right one, which has no name here.

    All are read in one run, under the settings of this project.
    """
    place = tmp_path_factory.mktemp("mypy")
    codes = {"": RIGHT} | {
        what: RIGHT.replace(right, wrong) for what, (right, wrong, _) in MISTAKES.items()
    }
    names = {what: f"example_{sha256(code.encode()).hexdigest()}" for what, code in codes.items()}
    for what, code in codes.items():
        # Of two files with one name, one size and one second mypy would read the first only.
        (place / f"{names[what]}.py").write_text(code)
    files = [str(place / f"{name}.py") for name in names.values()]
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *files]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stderr == ""
    lines = [line for line in found.stdout.splitlines() if ": note: " not in line]
    told = {what: [line for line in lines if name in line] for what, name in names.items()}
    assert sum(map(len, told.values())) == len(lines)
    return told


@pytest.mark.timeout(180)  # without a cache mypy reads everything that the example imports
@pytest.mark.parametrize("what", MISTAKES)
def test_mypy_finds_a_mistake_about_a_row(errors: Mapping[str, Sequence[str]], what: str) -> None:
    """An unknown column and a missing field are one error each, and there are no others."""
    assert errors[""] == []

    [error] = errors[what]

    assert MISTAKES[what][2] in error


def test_no_row_has_names_of_strings_where_money_moves() -> None:
    """In modules whose rows have types, nothing reads a mapping by a name that mypy cannot see."""
    typed = [module for module in modules(*PACKAGES) if module.name in TYPED]
    found = [
        module.at(node, ast.unparse(node))
        for module in typed
        for node in module.nodes
        if (isinstance(node, ast.Name) and node.id in {"Mapping", "RowMapping"})
        or (isinstance(node, ast.Attribute) and node.attr == "mappings")
        or (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        )
    ]

    assert {module.name for module in typed} == TYPED
    assert found == []

"""The plans of the hot statements, as text without figures: what is looked at, and by which index.

The statements are the engine's own, caught as they are sent and then explained.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, event, text

from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.events import SCHEDULER
from billing.services.collecting.opening_batches import BEGINNING
from billing.services.context import Context
from billing.store.queries import (
    charges,
    claims,
    engine,
    invoices,
    refunds,
    settlements,
    subscriptions,
    wallets,
)
from billing.store.queries.claims import NewCharge

_FIGURES = re.compile(r"  \(cost=.*?\)$", re.MULTILINE)
_VALUES = re.compile(
    r"'[^']*'::(uuid\[\]|uuid|timestamp with time zone|text\[\]|json|bytea)|ANY \('.*?'"
)

Act = Callable[[Connection], object]
Sent = tuple[str, Any]
"""A statement as the driver gets it, and its values."""
SMALL = frozenset({
    "plans", "coupons", "engine", "people", "api_keys", "webhook_endpoints", "heartbeats",
    "event_feed_state", "metric_state", "metric_totals", "metric_gauges", "gateway_calls",
    "ahead_state", "ahead_totals", "console_sessions", "failed_logins", "ahead_unlinked",
})  # fmt: skip
"""Tables that do not grow with customers or with time: to read one from end to end is right."""


def write_plans(context: Context, folder: Path) -> None:
    """Explain every hot statement and write the plan of each into a file of its own."""
    folder.mkdir(exist_ok=True)
    now = context.clock.now()
    with context.database.transaction() as connection:
        for name, act in _acts(connection, now).items():
            lines = [line for plan in explained(connection, act) for line in plan]
            (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
        connection.rollback()


def _acts(connection: Connection, now: Any) -> dict[str, Act]:
    def ids(statement: str) -> list[UUID]:
        return list(connection.execute(text(statement)).scalars().all())

    unpaid = ids("SELECT id FROM invoices WHERE status = 'open' LIMIT 64")
    charged = ids("SELECT id FROM charges LIMIT 64")
    members = ids("SELECT id FROM subscriptions LIMIT 500")
    lease: dict[str, int] = {"lease_seconds": 45, "limit": 2048}
    fresh = [_claimed(row, now) for row in connection.execute(text(_UNPAID)).mappings()]
    outcomes = {charge: _succeeded(charge, now) for charge in charged}
    return {
        "due-to-open": lambda c: subscriptions.due_to_open(c, now, BEGINNING, 10_000),
        "opening": lambda c: subscriptions.lock_due_to_open(c, members, now),
        "owing": lambda c: subscriptions.owing(c, members),
        "due-to-end": lambda c: subscriptions.due_to_cancel(c, now, 500),
        "due-to-charge": lambda c: invoices.lease_due(c, now, **lease),
        "due-to-ask": lambda c: charges.lease_to_ask(c, now, **lease),
        "due-to-refund": lambda c: refunds.lease_due(c, now, **lease),
        "due-wallets": lambda c: wallets.lease_due(c, now, **lease),
        "wallets-to-notify": lambda c: wallets.due_to_notify(c, now, 500),
        "expiring-wallets": lambda c: wallets.expiring(c, now, 500),
        "candidates": lambda c: claims.candidates(c, unpaid, now, locked=members),
        "charged-before": lambda c: claims.charged_before(c, unpaid),
        "charges-of-a-day": lambda c: claims.counts_since(c, ["C0000001"], now),
        "claiming": lambda c: claims.claim(c, fresh, [], now, hour=now, shard=0),
        "settling": lambda c: settlements.lock_for_settling(c, charged),
        "circumstances": lambda c: settlements.circumstances(c, charged),
        "outcomes": lambda c: settlements.write_outcomes(
            c,
            outcomes,
            now,
            paid=unpaid,
            first=members[:64],
            plain=charged,
            source="live",
            by=SCHEDULER,
            answered=len(charged),
        ),
        "next-due": engine.next_due,
    }


_UNPAID = """
    SELECT i.id AS invoice_id, i.subscription_id, i.customer_id, i.plan_code,
           w.id AS wallet_id, i.amount
    FROM invoices i JOIN wallets w ON w.customer_id = i.customer_id
    WHERE i.status = 'open' LIMIT 64
"""


def _claimed(invoice: Mapping[Any, Any], now: datetime) -> NewCharge:
    """A charge as a claim inserts it."""
    name = uuid4()
    return NewCharge(
        **invoice, id=name, attempt=1, gateway_number=name.hex, trigger=Trigger.SCHEDULED,
        first_payment=False, status=ChargeStatus.IN_FLIGHT, body_sealed=b"{}", created_at=now,
        sent_at=now, next_check_at=now,
    )  # fmt: skip


def _succeeded(charge: UUID, now: datetime) -> dict[str, Any]:
    """A charge's columns when it has succeeded."""
    counted = dict.fromkeys(("asked", "resent", "unsent"), 0)
    said = {"status": "succeeded", "surplus": False, "final": True, "succeeded": True}
    times = {"sent_at": now, "settled_at": now}
    return {"key": charge, **said, **counted, **times, "by_answer": False}


@contextmanager
def caught(source: Connection | Engine) -> Iterator[list[Sent]]:
    """Note every statement of a connection, or of all connections of an engine."""
    sent: list[Sent] = []

    def catch(_connection: Any, cursor: Any, statement: str, given: Any, *_rest: Any) -> None:
        # What is streamed has a named cursor, for which the planner prefers the first rows.
        is_streamed = getattr(cursor, "name", None)
        sent.append((f"DECLARE found CURSOR FOR {statement}" if is_streamed else statement, given))

    event.listen(source, "before_cursor_execute", catch)
    try:
        yield sent
    finally:
        event.remove(source, "before_cursor_execute", catch)


def plan_of(connection: Connection, sent: Sent) -> list[str]:
    """Explain a statement; a setting has no plan."""
    statement, given = sent
    if statement.startswith("SET "):
        return []
    rows = connection.exec_driver_sql(f"EXPLAIN {statement}", given).scalars().all()
    return [_VALUES.sub("…", _FIGURES.sub("", row)) for row in rows]


def explained(connection: Connection, act: Act) -> list[list[str]]:
    """Explain every statement that an act sends."""
    with caught(connection) as sent:
        act(connection)
    return [plan_of(connection, each) for each in sent]

"""The beat table: what beat runs and how often, as plain data; task names only, no tasks.

A tick asks the database what is due. A late tick is dropped, because the next one does its work.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

TICKS = (
    "ticks.end_subscriptions",
    "ticks.open_periods",
    "ticks.sweep_charges",
    "ticks.reconcile",
    "ticks.sweep_refunds",
    "ticks.attend_wallets",
)
"""In the order in which one item of due work passes through them."""
NOTICES = "ticks.announce_charges"
"""Not among the ticks above: nothing waits for a notice."""
WEBHOOKS = "ticks.deliver_webhooks"
"""Not among the ticks above: webhooks are sent in real time, also under a test clock."""
AHEAD = "ticks.count_ahead"
"""Not among the ticks above: only a page reads what it counts."""
PACED = frozenset({AHEAD})
"""Ticks that skip their work while it was done lately; then a run is no success."""
AUDIT = "ticks.audit"
AUDIT_EVERY_SECONDS = 3600


def schedule(tick_seconds: Decimal) -> dict[str, dict[str, Any]]:
    """Build the beat table for ticks every `tick_seconds`."""
    table = {
        name: {
            "task": name,
            "schedule": timedelta(milliseconds=int(tick_seconds * 1000)),
            "options": {"queue": "ticks", "expires": max(int(2 * tick_seconds), 10)},
        }
        for name in (*TICKS, NOTICES, WEBHOOKS, AHEAD)
    }
    table[AUDIT] = {
        "task": AUDIT,
        "schedule": timedelta(seconds=AUDIT_EVERY_SECONDS),
        "options": {"queue": "ticks", "expires": AUDIT_EVERY_SECONDS},
    }
    return table

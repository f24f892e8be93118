"""What beat runs and how often, as plain data; knows task names and no task.

A tick asks the database what is due. One that is late is dropped: the next one asks the same.
"""

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
"""In the order in which one stretch of due work is worked off."""
AUDIT = "ticks.audit"
AUDIT_EVERY_SECONDS = 3600


def schedule(tick_seconds: Decimal) -> dict[str, dict[str, Any]]:
    """The beat table for ticks every `tick_seconds`."""
    table = {
        name: {
            "task": name,
            "schedule": float(tick_seconds),
            "options": {"queue": "ticks", "expires": max(2 * float(tick_seconds), 10.0)},
        }
        for name in TICKS
    }
    table[AUDIT] = {
        "task": AUDIT,
        "schedule": AUDIT_EVERY_SECONDS,
        "options": {"queue": "ticks", "expires": AUDIT_EVERY_SECONDS},
    }
    return table

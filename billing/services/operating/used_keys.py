"""Used keys: remove the idempotency keys of the HTTP interface when they are 30 days old.

A subscription's id is derived from its key, so that a very late repeat makes no second one.
"""

from datetime import timedelta

from billing.services.context import Context
from billing.store.queries import commands

KEPT = timedelta(days=30)
BATCH = 5_000
BATCHES_MAX = 20
"""Batches of one call; what is left is removed by the next one."""


def remove_old(context: Context) -> int:
    """Remove old keys in batches, and return how many."""
    before, removed = context.clock.now() - KEPT, 0
    for _ in range(BATCHES_MAX):
        with context.database.transaction() as connection:
            count = commands.remove_old(connection, before, BATCH)
        removed += count
        if count < BATCH:
            break
    return removed

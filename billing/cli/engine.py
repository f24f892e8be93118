"""The engine behind a command: settings, logs and connections, opened and closed again.

Everything heavy is imported here when a command asks for it, so that help costs nothing.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from billing.clock import Clock
    from billing.config import Settings
    from billing.services.context import Context
    from billing.store.session import Database


def settings() -> "Settings":
    """The settings; log lines go to stderr, and only warnings unless more is asked for."""
    from billing import config, logs

    loaded = config.load()
    level = loaded.log_level if "BILLING_LOG_LEVEL" in os.environ else "warning"
    logs.configure(loaded.log_format, level, sys.stderr)
    return loaded


def horizon() -> timedelta:
    """How old a charge or a refund must be before a person's word about it is believed."""
    return timedelta(seconds=settings().not_found_horizon_seconds)


@contextmanager
def rows() -> Iterator["Database"]:
    """The database alone: to read, no gateway has to be configured."""
    with _rows(settings()) as database:
        yield database


@contextmanager
def rows_and_clock() -> Iterator[tuple["Database", "Clock"]]:
    """The database, and what tells the time for billing."""
    loaded = settings()
    from billing import bootstrap

    with _rows(loaded) as database:
        yield database, bootstrap.clock(loaded, database)


@contextmanager
def _rows(loaded: "Settings") -> Iterator["Database"]:
    url, pooler = loaded.database, loaded.database_pooler
    from billing.store.session import Database

    database = Database(url, pool_size=1, pooler=pooler)
    try:
        database.check()
        yield database
    finally:
        database.dispose()


@contextmanager
def engine() -> Iterator["Context"]:
    """The whole engine, for what changes something or asks the gateway."""
    loaded = settings()
    from billing import bootstrap

    context = bootstrap.build(loaded)
    try:
        context.database.check()
        yield context
    finally:
        context.pool.shutdown(wait=False)
        context.database.dispose()

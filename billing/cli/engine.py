"""Engine: open and close the settings, logs and connections that a command needs.

Heavy modules are imported here only when a command needs them, so that help stays fast.
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
    """Load the settings; log to stderr, only warnings unless a lower level is set."""
    from billing import config, logs

    loaded = config.load()
    level = loaded.log_level if "BILLING_LOG_LEVEL" in os.environ else "warning"
    logs.configure_at_first_line(loaded.log_format, level, sys.stderr)
    return loaded


def horizon() -> timedelta:
    """Return the age from which an operator may resolve a charge or a refund."""
    return timedelta(seconds=settings().not_found_horizon_seconds)


@contextmanager
def rows() -> Iterator["Database"]:
    """Open the database only: reading needs no gateway settings."""
    with _rows(settings()) as database:
        yield database


@contextmanager
def rows_and_clock() -> Iterator[tuple["Database", "Clock"]]:
    """Open the database and the billing clock."""
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
    """Open the whole engine, to query the gateway or to say that it is ours."""
    loaded = settings()
    from billing import bootstrap

    with _opened(bootstrap.build(loaded)) as context:
        yield context


@contextmanager
def writing() -> Iterator["Context"]:
    """Open the engine to change rows: this needs no keys, and does not load the gateway."""
    loaded = settings()
    from billing import bootstrap

    with _opened(bootstrap.build_for_rows(loaded)) as context:
        yield context


@contextmanager
def _opened(context: "Context") -> Iterator["Context"]:
    try:
        context.database.check()
        yield context
    finally:
        context.pool.shutdown(wait=False)
        context.database.dispose()

"""Turn an error into one line for people, without a traceback and without secrets.

Errors are recognised by type, without importing heavy modules, and no secret is printed.
"""

import errno
import os
import sys
import traceback
from pathlib import Path

from billing.domain.errors import BillingError, NotConfigured
from billing.domain.escaping import escape

MIGRATE = "the database has no tables, or old ones; run: billing db upgrade"


def one_line(error: Exception) -> str:
    """Describe an error in one line; unexpected errors are shown in full at debug level only."""
    if isinstance(error, BillingError):
        said = " ".join(str(error).split())
        if isinstance(error, NotConfigured):
            for setting in ("BILLING_DATABASE_URL", "BILLING_REDIS_URL"):
                if f"check {setting}" in said:
                    said = _helped(said.replace(f"; check {setting}", ""), setting)
        return escape(said)
    expected = _of_database(error) or _of_redis(error) or _of_disk(error)
    if expected is not None:
        return escape(expected)
    if os.environ.get("BILLING_LOG_LEVEL", "").lower() == "debug":
        from billing.logs import scrub

        sys.stderr.write(escape(scrub("".join(traceback.format_exception(error))), keep="\n"))
    return f"internal error ({type(error).__name__}); set BILLING_LOG_LEVEL=debug to see more"


def _of_database(error: Exception) -> str | None:
    """Describe a database that is unreachable or not migrated; load sqlalchemy only if needed."""
    if "sqlalchemy" not in sys.modules:
        return None
    from sqlalchemy.exc import DBAPIError, NoResultFound, ProgrammingError

    from billing.store.session import is_locked, is_lost, took_too_long

    if isinstance(error, NoResultFound):  # the migration writes the engine's one row
        return MIGRATE
    if isinstance(error, ProgrammingError):
        names = {"UndefinedTable", "UndefinedColumn", "InvalidSchemaName"}
        return MIGRATE if type(error.orig).__name__ in names else None
    if is_locked(error):
        return "another transaction holds this row; try again"
    if took_too_long(error):
        return "a PostgreSQL statement timed out; try again"
    if isinstance(error, DBAPIError) and is_lost(error):
        return _helped(f"PostgreSQL: {_first_line(error.orig)}", "BILLING_DATABASE_URL")
    return None


def _of_redis(error: Exception) -> str | None:
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if packages & {"redis", "kombu"}:
        return _helped(f"cannot reach Redis: {_first_line(error)}", "BILLING_REDIS_URL")
    return None


def _helped(said: str, setting: str) -> str:
    """Say what helps when a server does not answer: first, to start a local stack that ended."""
    from billing import config, config_files

    own = Path(".env")
    try:
        stack = config.load([own]).home / "stack.env"
        is_local = setting not in config_files.values_of([own])
        if is_local and setting in config_files.values_of([stack]):
            return f"the local stack has ended; start it again with: billing up ({said})"
    except (BillingError, OSError, ValueError):
        pass
    return f"{said}; check {setting}"


def _of_disk(error: Exception) -> str | None:
    """Describe a disk that is full or cannot be written, including the command's own output."""
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
    if not isinstance(error, OSError) or error.errno not in full:
        return None
    where = error.filename or "the output"
    return f"cannot write {where}: {error.strerror}"


def _first_line(error: BaseException | None) -> str:
    from billing.logs import scrub

    lines = str(error or "").strip().splitlines()
    return scrub(lines[0]) if lines else "no answer"

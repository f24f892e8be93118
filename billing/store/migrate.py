"""Migrations: upgrade a database to the current tables with alembic, and report its revision.

There is no alembic.ini: the settings are three lines, and the URL comes from our settings.
Functions import alembic only when they need it, because most processes never migrate.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from billing.store.session import plain_engine

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def _config(url: str, pooler: str = "") -> "Config":
    from alembic.config import Config

    config = Config(stdout=sys.stdout)  # the default is sys.stdout at the time of the import
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    config.attributes["pooler"] = pooler
    return config


def upgrade(url: str, *, pooler: str = "") -> None:
    """Apply every missing migration; safe to run from several processes at once."""
    has, wants = status(url, pooler=pooler)
    if has == wants:
        return  # alembic would read every migration before it finds nothing to do
    from alembic import command

    command.upgrade(_config(url, pooler), "head")


def check(url: str) -> None:
    """Raise alembic's CommandError when the tables in code and database differ."""
    from alembic import command

    command.check(_config(url))


def revision(url: str, message: str) -> None:
    """Write a new migration from the difference between code and database."""
    from alembic import command

    number = f"{int(head()) + 1:04}"
    command.revision(_config(url), message=message, autogenerate=True, rev_id=number)


def head() -> str:
    """Return the newest revision in the code; a migration's file begins with its number."""
    return max(file.name for file in (MIGRATIONS / "versions").glob("*.py")).partition("_")[0]


def status(url: str, *, pooler: str = "") -> tuple[str | None, str]:
    """Return the database's revision, None before the first, and the newest one in the code."""
    engine = plain_engine(url, pooler=pooler)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None, head()
            row = text("SELECT version_num FROM alembic_version")
            return connection.execute(row).scalar_one_or_none(), head()
    finally:
        engine.dispose()

"""Bring a database to the present tables with alembic, and say whether it is there.

There is no alembic.ini: the settings are three lines, and the URL comes from ours. Alembic is
imported by what needs it: every process asks where a database is, and few bring it further.
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

    config = Config(stdout=sys.stdout)  # its default is the one of the moment of the import
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    config.attributes["pooler"] = pooler
    return config


def upgrade(url: str, *, pooler: str = "") -> None:
    """Apply every migration that is missing; safe to run from several processes at once."""
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
    """The revision that the code wants: migrations are numbered, and files begin with theirs."""
    return max(file.name for file in (MIGRATIONS / "versions").glob("*.py")).partition("_")[0]


def status(url: str, *, pooler: str = "") -> tuple[str | None, str]:
    """The revision the database has, None before the first, and the one the code wants."""
    engine = plain_engine(url, pooler=pooler)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None, head()
            row = text("SELECT version_num FROM alembic_version")
            return connection.execute(row).scalar_one_or_none(), head()
    finally:
        engine.dispose()

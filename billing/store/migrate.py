"""Bring a database to the present tables with alembic, and say whether it is there.

There is no alembic.ini: the settings are three lines, and the URL comes from ours.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Apply every migration that is missing; safe to run from several processes at once."""
    command.upgrade(_config(url), "head")


def check(url: str) -> None:
    """Raise alembic's CommandError when the tables in code and database differ."""
    command.check(_config(url))


def revision(url: str, message: str) -> None:
    """Write a new migration from the difference between code and database."""
    command.revision(_config(url), message=message, autogenerate=True)


def status(url: str) -> tuple[str | None, str | None]:
    """The revision the database has, and the one the code wants."""
    head = ScriptDirectory.from_config(_config(url)).get_current_head()
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), head
    finally:
        engine.dispose()

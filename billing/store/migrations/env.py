"""Alembic's entry: online only, one transaction, one migrator at a time."""

from alembic import context
from sqlalchemy import text
from sqlmodel import SQLModel

from billing.store import session, tables  # importing it registers the tables

assert tables.PLANS.name == "plans"  # noqa: S101 - keeps the import above
MIGRATION_LOCK = 7_305_021

asked = context.config.attributes
engine = session.plain_engine(asked["url"], pooler=asked["pooler"])
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=SQLModel.metadata, compare_server_default=False
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.run_migrations()

"""`billing db`: create, upgrade and check the database tables."""

from typing import TYPE_CHECKING

from billing.cli import engine, options, output, refusals
from billing.domain.errors import NotConfigured

if TYPE_CHECKING:
    from billing.config import Settings

app = options.noun("The database's tables.")


@app.command(epilog=options.example("billing db upgrade"))
def upgrade(*, as_json: options.Json = False) -> None:
    """Create the tables, or migrate them to this version; safe to repeat."""
    settings = engine.settings()
    _reachable(settings)
    from billing.store import migrate

    migrate.upgrade(settings.database, pooler=settings.database_pooler)
    _show(settings, as_json=as_json)


@app.command(epilog=options.example("billing db status"))
def status(*, as_json: options.Json = False) -> None:
    """Check that the tables match this version; exit 1 when they do not."""
    settings = engine.settings()
    _reachable(settings)
    if not _show(settings, as_json=as_json):
        raise NotConfigured(refusals.MIGRATE)


def _reachable(settings: "Settings") -> None:
    from billing.store.session import Database

    database = Database(settings.database, pooler=settings.database_pooler)
    try:
        database.check()
    finally:
        database.dispose()


def _show(settings: "Settings", *, as_json: bool) -> bool:
    from billing.store import migrate

    revision, head = migrate.status(settings.database, pooler=settings.database_pooler)
    document = {"revision": revision, "head": head, "migrated": revision == head}
    output.answer(document, as_json=as_json, people=lambda: output.facts(document, tuple(document)))
    return revision == head

"""Exporting: stream invoices, charges and refunds of a time span, for finance."""

from collections.abc import Iterator
from datetime import datetime

from billing.domain.errors import InvalidValue
from billing.domain.instants import at_home
from billing.domain.text import one_of
from billing.store.queries import exporting as statements
from billing.store.session import Database

KINDS = tuple(statements.COLUMNS)
BY = tuple(statements.SELECTED)
CREATED = "created"


def export(
    database: Database, kind: str, since: datetime, until: datetime, by: str = CREATED
) -> Iterator[dict[str, object]]:
    """Stream rows created, or paid, from `since` to before `until`, oldest first.

    `kind` is invoices, charges or refunds. Instants, and the days of the span, are in the engine's
    time zone. Raises InvalidValue for another kind, or dates in the wrong order.
    """
    if kind not in statements.COLUMNS:
        raise InvalidValue(one_of("the kind of an export", KINDS, kind))
    if by not in statements.SELECTED:
        raise InvalidValue(one_of("--by", BY, by))
    if since >= until:
        raise InvalidValue("--from must be before --to")
    with database.transaction() as connection:
        for row in statements.rows(connection, kind, by, since, until):
            yield {
                name: at_home(value) if isinstance(value, datetime) else value
                for name, value in row.items()
            }

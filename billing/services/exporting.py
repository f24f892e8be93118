"""Exporting: invoices, charges and refunds of a span of time, for finance, as a stream of rows."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from billing.domain.errors import InvalidValue
from billing.store.queries import exporting as statements
from billing.store.session import Database

KINDS = tuple(statements.COLUMNS)


def export(
    database: Database, kind: str, since: datetime, until: datetime
) -> Iterator[dict[str, Any]]:
    """Stream what was made from `since` to before `until`, oldest first.

    `kind` is invoices, charges or refunds. Raises InvalidValue for another, or dates in the wrong
    order.
    """
    if kind not in statements.COLUMNS:
        raise InvalidValue(f"{kind!r} cannot be exported; choose {', '.join(KINDS)}")
    if since >= until:
        raise InvalidValue("--from must be before --to")
    with database.transaction() as connection:
        for row in statements.rows(connection, kind, since, until):
            yield dict(row)

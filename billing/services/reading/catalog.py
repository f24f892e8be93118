"""Catalog: one plan or coupon as commands show it. Nothing is written."""

from billing.domain.errors import NotKnown
from billing.services.money.coupons import known as known_coupon
from billing.services.reading.results import local
from billing.store.queries import coupons as coupon_rows
from billing.store.queries import listing
from billing.store.queries import listing_rows as rows
from billing.store.session import Database


def plan(database: Database, code: str) -> rows.Plan:
    """Return one plan, or raise NotKnown."""
    with database.transaction() as connection:
        row = listing.plan(connection, code)
    if row is None:
        raise NotKnown(f"no plan has the code {code!r}", hint="see: billing plan list")
    return local(row, row.timezone)


def coupon(database: Database, code: str) -> coupon_rows.Coupon:
    """Return one coupon, or raise NotKnown."""
    with database.transaction() as connection:
        return local(known_coupon(connection, code))

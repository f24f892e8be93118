"""Statements about coupons."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping
from sqlalchemy.dialects.postgresql import insert

from billing.store.statements import text
from billing.store.tables import COUPONS

_COUPONS = (
    "SELECT code, percent, rupiah, rupiah AS amount, cycles, redeemed, redeemed_max, created_at,"
    " archived_at FROM coupons"
)


def add(connection: Connection, **values: Any) -> bool:
    """Insert a coupon; False when the code is taken."""
    statement = insert(COUPONS).values(**values).on_conflict_do_nothing()
    return connection.execute(statement.returning(COUPONS.c.code)).first() is not None


def one(connection: Connection, code: str) -> RowMapping | None:
    """Read one coupon."""
    statement = text(f"{_COUPONS} WHERE code = :code")
    return connection.execute(statement, {"code": code}).mappings().one_or_none()


def page(connection: Connection, limit: int) -> list[RowMapping]:
    """Read coupons, active ones first."""
    statement = text(f"{_COUPONS} ORDER BY archived_at IS NOT NULL, code LIMIT :limit")
    return list(connection.execute(statement, {"limit": limit}).mappings())


def redeem(connection: Connection, code: str) -> bool:
    """Count one redemption of a coupon; False when it is exhausted or archived."""
    statement = text(
        "UPDATE coupons SET redeemed = redeemed + 1 WHERE code = :code AND archived_at IS NULL"
        " AND (redeemed_max IS NULL OR redeemed < redeemed_max)"
    )
    return connection.execute(statement, {"code": code}).rowcount == 1


def archive(connection: Connection, code: str, at: datetime) -> bool:
    """Archive a coupon; False when it was archived already."""
    statement = text(
        "UPDATE coupons SET archived_at = :at WHERE code = :code AND archived_at IS NULL"
    )
    return connection.execute(statement, {"code": code, "at": at}).rowcount == 1

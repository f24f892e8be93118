"""Statements about coupons."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.domain.pricing import Reduction
from billing.store.rows import insert_new
from billing.store.selecting import at_most_one, columns
from billing.store.statements import text


class Coupon(NamedTuple):
    """A coupon, active or archived."""

    code: str
    percent: int | None
    amount: int | None
    cycles: int | None
    redemptions_count: int
    redemptions_max: int | None
    created_at: datetime
    archived_at: datetime | None

    @property
    def reduction(self) -> Reduction:
        """Return the reduction of a price by this coupon."""
        return Reduction(self.code, self.percent, self.amount, self.cycles)


_SHOWN_AS = {
    "amount": "k.rupiah", "redemptions_count": "k.redeemed", "redemptions_max": "k.redeemed_max",
}  # fmt: skip
SHOWN = f"SELECT {columns(Coupon, 'k', **_SHOWN_AS)} FROM {{}} AS k"  # noqa: S608 - a constant of ours


class NewCoupon(NamedTuple):
    """A coupon that is added."""

    code: str
    percent: int | None
    rupiah: int | None
    cycles: int | None
    redeemed_max: int | None
    created_at: datetime


def add(connection: Connection, new: NewCoupon) -> bool:
    """Insert a coupon; False when the code is taken."""
    return insert_new(connection, "coupons", [new._asdict()]) == 1


def one(connection: Connection, code: str) -> Coupon | None:
    """Read one coupon."""
    statement = text(f"{SHOWN.format('coupons')} WHERE k.code = :code")
    return at_most_one(Coupon, connection.execute(statement, {"code": code}))


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


def near_codes(connection: Connection) -> list[str]:
    """Find coupon codes similar to a mistyped one."""
    return list(connection.execute(text("SELECT code FROM coupons LIMIT 1000")).scalars())

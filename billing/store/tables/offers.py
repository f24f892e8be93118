"""Discounts, credits and extra lines: what makes an invoice differ from its plan's price."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlmodel import SQLModel

from billing.store.columns import amount, count, field, instant


class Coupon(SQLModel, table=True):
    """A discount that can be given to subscriptions: percent or rupiah, for some periods or all."""

    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("(percent IS NULL) <> (amount IS NULL)", name="kind"),
        CheckConstraint("percent IS NULL OR percent BETWEEN 1 AND 100", name="percent"),
        CheckConstraint("amount IS NULL OR amount > 0", name="amount"),
        CheckConstraint("cycles IS NULL OR cycles > 0", name="cycles"),
        CheckConstraint("most IS NULL OR redeemed <= most", name="redeemed"),
    )

    code: str = field(Text, primary_key=True)
    percent: int | None = field(SmallInteger, null=True)
    amount: int | None = field(BigInteger, null=True)
    cycles: int | None = field(Integer, null=True)
    most: int | None = field(Integer, null=True)
    redeemed: int = count()
    expires_at: datetime | None = instant()
    created_at: datetime = instant(null=False)


class SubscriptionCoupon(SQLModel, table=True):
    """A coupon that a subscription has; `cycles_left` is empty when it is for ever."""

    __tablename__ = "subscription_coupons"
    __table_args__ = (CheckConstraint("cycles_left >= 0", name="cycles_left"),)

    subscription_id: UUID = field(Uuid, to="subscriptions.id", primary_key=True)
    coupon_code: str = field(Text, to="coupons.code", primary_key=True)
    cycles_left: int | None = field(Integer, null=True)
    created_at: datetime = instant(null=False)


class Credit(SQLModel, table=True):
    """Rupiah in a customer's favour, used by the next invoices, oldest first."""

    __tablename__ = "credits"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
        Index("credits_left", "customer_id", "id", postgresql_where=text("remaining > 0")),
    )

    id: int = field(BigInteger, primary_key=True, server_default=Identity(always=True))
    customer_id: str = field(Text, to="customers.id")
    subscription_id: UUID | None = field(Uuid, null=True, to="subscriptions.id")
    amount: int = field(BigInteger)
    remaining: int = field(BigInteger)
    reason: str = field(Text)
    created_at: datetime = instant(null=False)


class AddOn(SQLModel, table=True):
    """A line for a subscription's next invoice, such as a setup fee."""

    __tablename__ = "add_ons"
    __table_args__ = (
        amount("amount"),
        Index("add_ons_waiting", "subscription_id", postgresql_where=text("invoice_id IS NULL")),
    )

    id: int = field(BigInteger, primary_key=True, server_default=Identity(always=True))
    subscription_id: UUID = field(Uuid, to="subscriptions.id")
    name: str = field(Text)
    amount: int = field(BigInteger)
    invoice_id: UUID | None = field(Uuid, null=True, to="invoices.id")
    created_at: datetime = instant(null=False)

"""Tables of reductions: coupons, and the credits that make up a customer's credit balance."""

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

from billing.domain.pricing import PERCENT_MAX
from billing.store.columns import amount, count, field, instant


class Coupon(SQLModel, table=True):
    """Percent or rupiah off, for some periods or without a limit; never changed, only archived."""

    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("(percent IS NULL) <> (rupiah IS NULL)", name="kind"),
        CheckConstraint(f"percent BETWEEN 1 AND {PERCENT_MAX}", name="percent"),
        amount("rupiah"),
        CheckConstraint("cycles > 0", name="cycles"),
        CheckConstraint(
            "redeemed >= 0 AND (redeemed_max IS NULL OR redeemed <= redeemed_max)",
            name="redeemed",
        ),
    )

    code: str = field(Text, primary_key=True)
    percent: int | None = field(SmallInteger, null=True)
    rupiah: int | None = field(BigInteger, null=True)
    cycles: int | None = field(Integer, null=True)
    redeemed: int = count()
    redeemed_max: int | None = field(Integer, null=True)
    created_at: datetime = instant(null=False)
    archived_at: datetime | None = instant()


class Credit(SQLModel, table=True):
    """Rupiah that belong to the customer: used by the next invoices, oldest first.

    `from_charge` of its `amount` came from the charge `charge_id`, which paid `invoice_id`: this
    part can be paid out. Credit without a charge is never paid out.
    """

    __tablename__ = "credits"
    __table_args__ = (
        amount("amount"),
        CheckConstraint("remaining BETWEEN 0 AND amount - paid_out", name="remaining"),
        CheckConstraint("paid_out BETWEEN 0 AND from_charge", name="paid_out"),
        CheckConstraint(
            "from_charge <= amount AND (from_charge = 0) = (charge_id IS NULL)", name="from_charge"
        ),
        Index("credits_customer", "customer_id", "id"),
        Index("credits_left", "customer_id", "id", postgresql_where=text("remaining > 0")),
        Index("credits_invoice", "invoice_id", postgresql_where=text("invoice_id IS NOT NULL")),
        Index("credits_charge", "charge_id", postgresql_where=text("charge_id IS NOT NULL")),
    )

    id: int = field(BigInteger, primary_key=True, server_default=Identity(always=True))
    customer_id: str = field(Text, to="customers.id")
    amount: int = field(BigInteger)
    remaining: int = field(BigInteger)
    paid_out: int = field(BigInteger, server_default=text("0"))
    invoice_id: UUID | None = field(Uuid, to="invoices.id", null=True)
    charge_id: UUID | None = field(Uuid, to="charges.id", null=True)
    from_charge: int = field(BigInteger, server_default=text("0"))
    reason: str = field(Text)
    created_at: datetime = instant(null=False)


class CreditUse(SQLModel, table=True):
    """What an invoice used of a credit, and how much of it was returned to the credit."""

    __tablename__ = "credit_uses"
    __table_args__ = (
        amount("amount"),
        CheckConstraint("returned BETWEEN 0 AND amount", name="returned"),
        Index("credit_uses_invoice", "invoice_id"),
    )

    credit_id: int = field(BigInteger, to="credits.id", primary_key=True)
    invoice_id: UUID = field(Uuid, to="invoices.id", primary_key=True)
    amount: int = field(BigInteger)
    returned: int = field(BigInteger, server_default=text("0"))

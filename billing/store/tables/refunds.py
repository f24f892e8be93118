"""Table of refunds."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlmodel import SQLModel

from billing.domain.conservation import Part
from billing.domain.refund import UNSETTLED, RefundPurpose, RefundStatus
from billing.store.columns import amount, count, dated, field, flag, held, instant, of_plan, one_of
from billing.store.expressions import listed

_RARE = text("status <> 'succeeded'")


class Refund(SQLModel, table=True):
    """Money returned from one succeeded charge. `id` is its Request-Id.

    The money comes from the kept part of the charge, or from the part that became `credit_id`.
    `replaces` is a declined refund whose money must be returned. `plan_code` is a copy of its
    charge's.
    """

    __tablename__ = "refunds"
    __table_args__ = (
        UniqueConstraint("charge_id", "sequence", name="refunds_one_per_sequence"),
        amount("amount"),
        one_of("status", RefundStatus),
        one_of("purpose", RefundPurpose),
        CheckConstraint(
            listed("source", (Part.KEPT, Part.CREDITED))
            + " AND (source = 'credited') = (credit_id IS NOT NULL)",
            name="source",
        ),
        held(),
        dated("refunds_due", "next_attempt_at"),
        Index(
            "refunds_unreturned",
            "created_at",
            postgresql_where=text(listed("status", (RefundStatus.UNRETURNED,))),
        ),
        Index(
            "refunds_unsettled",
            "customer_id",
            postgresql_where=text(listed("status", UNSETTLED)),
        ),
        Index("refunds_invoice", "invoice_id"),
        Index("refunds_created", "created_at"),
        Index("refunds_customer", "customer_id", "created_at"),
        of_plan("refunds_plan"),
        Index("refunds_status", "status", "created_at", postgresql_where=_RARE),
        of_plan("refunds_plan_status", "status", where=_RARE),
    )

    id: UUID = field(Uuid, primary_key=True)
    charge_id: UUID = field(Uuid, to="charges.id")
    invoice_id: UUID = field(Uuid, to="invoices.id")
    customer_id: str = field(Text, to="customers.id")
    plan_code: str = field(Text)
    sequence: int = field(SmallInteger)
    amount: int = field(BigInteger)
    source: str = field(Text, server_default=text("'kept'"))
    credit_id: int | None = field(BigInteger, to="credits.id", null=True)
    purpose: str = field(Text, server_default=text("'operator'"))
    replaces: UUID | None = field(Uuid, to="refunds.id", null=True)
    reason: str = field(Text)
    status: str = field(Text)
    code: str | None = field(Text, null=True)
    message: str | None = field(Text, null=True)
    attempts: int = count()
    unsent_attempts: int = count()
    unsent_by_answer: bool = flag()
    waits: int = count()
    created_at: datetime = instant(null=False)
    sent_at: datetime | None = instant()
    declined_seen_at: datetime | None = instant()
    failed_seen_at: datetime | None = instant()
    resolved_at: datetime | None = instant()
    settled_at: datetime | None = instant()
    next_attempt_at: datetime | None = instant()
    parked_at: datetime | None = instant()
    leased_until: datetime | None = instant()
    held_at: datetime | None = instant()
    held_why: str | None = field(Text, null=True)

"""The table of requests that a second person approves."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from billing.domain.approvals import Approvable, ApprovalStatus
from billing.store.columns import field, instant, one_of


class Approval(SQLModel, table=True):
    """A confirmed action that waits for a second person, or was decided.

    `key` is the idempotency key of the form, `arguments` what the action is done with, and `seen`
    and `basis` what the first person had read. `amount` is the rupiah that were shown.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        one_of("kind", Approvable),
        one_of("status", ApprovalStatus),
        CheckConstraint("(status = 'open') = (decided_at IS NULL)", name="decided"),
        CheckConstraint(
            "(status IN ('approved', 'declined', 'withdrawn')) = (decided_by IS NOT NULL)",
            name="decided_by",
        ),
        # The database refuses a second person who is the first, also after a mistake in the code.
        CheckConstraint(
            "status NOT IN ('approved', 'declined') OR decided_by <> asked_by", name="second_person"
        ),
        CheckConstraint("status <> 'withdrawn' OR decided_by = asked_by", name="withdrawn"),
        CheckConstraint("(decided_by IS NULL) = (decision_reason IS NULL)", name="reasoned"),
        CheckConstraint("asked_at < ends_at", name="ends"),
        CheckConstraint("amount >= 0 AND rows_count >= 1", name="shown"),
        CheckConstraint(
            "(kind = 'bulk') = (subscription_id IS NULL)"
            " AND (subscription_id IS NULL) = (customer_id IS NULL)",
            name="subject",
        ),
        # One open request for each action on one subject: both could be approved.
        Index(
            "approvals_one_open", "subject", "kind", unique=True,
            postgresql_where=text("status = 'open'"),
        ),
        Index("approvals_open", "asked_at", postgresql_where=text("status = 'open'")),
        Index(
            "approvals_of_many", "ends_at",
            postgresql_where=text("kind = 'bulk' AND status = 'approved'"),
        ),
        Index("approvals_asked", "asked_at", "id"),
        Index("approvals_customer", "customer_id"),
    )  # fmt: skip

    id: UUID = field(Uuid, primary_key=True)
    key: str = field(Text, unique=True)
    kind: str = field(Text)
    status: str = field(Text, server_default=text("'open'"))
    subject: str = field(Text)
    subscription_id: UUID | None = field(Uuid, null=True, to="subscriptions.id")
    customer_id: str | None = field(Text, null=True, to="customers.id")
    arguments: dict[str, Any] = field(JSONB)
    amount: int = field(BigInteger)
    rows_count: int = field(Integer)
    seen: int = field(BigInteger)
    basis: str = field(Text)
    reason: str = field(Text)
    asked_by: UUID = field(Uuid, to="people.id")
    asked_at: datetime = instant(null=False)
    ends_at: datetime = instant(null=False)
    decided_by: UUID | None = field(Uuid, null=True, to="people.id")
    decided_at: datetime | None = instant()
    decision_reason: str | None = field(Text, null=True)

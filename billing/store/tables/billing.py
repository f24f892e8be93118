"""Tables of billing: subscriptions, invoices, charges, and events."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.money import MAX_AMOUNT
from billing.domain.outcomes import Fault, Waiting
from billing.domain.subscription import (
    RefundPolicy,
    SubscriptionStatus,
)
from billing.store.columns import (
    amount,
    count,
    dated,
    field,
    flag,
    held,
    instant,
    of_plan,
    one_of,
)
from billing.store.expressions import listed


class Subscription(SQLModel, table=True):
    """A customer on a plan, with its anchor (local wall-clock) and its own copy of the price.

    `notice_for` is the first period whose charge was not announced; null before the subscription is
    on a plan with a notice. `notice_due_at` is the date that was announced last: a period that is
    due on another date is announced again.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        amount("amount"),
        CheckConstraint("quantity > 0", name="quantity"),
        one_of("status", SubscriptionStatus),
        CheckConstraint(
            "cancel_refund IS NULL OR " + listed("cancel_refund", RefundPolicy),
            name="cancel_refund",
        ),
        CheckConstraint(
            "status NOT IN ('canceled', 'completed')"
            " OR (next_due_at IS NULL AND ended_at IS NOT NULL)",
            name="ended",
        ),
        dated("subscriptions_due", "next_due_at"),
        Index(
            "subscriptions_cancel_due",
            "cancel_at",
            postgresql_where=text("cancel_at IS NOT NULL AND ended_at IS NULL"),
        ),
        Index("subscriptions_customer", "customer_id"),
        Index("subscriptions_created", "created_at", "id"),
        Index("subscriptions_running", "plan_code", postgresql_where=text("ended_at IS NULL")),
        Index("subscriptions_plan", "plan_code", "created_at", "id"),
        Index(
            "subscriptions_status",
            "status",
            "created_at",
            "id",
            postgresql_where=text("status <> 'active'"),
        ),
        CheckConstraint("jsonb_typeof(extras) = 'array'", name="extras"),
        CheckConstraint(
            "coupon_left IS NULL OR coupon_left > 0 AND coupon_code IS NOT NULL", name="coupon"
        ),
        CheckConstraint(
            "num_nulls(change_at, next_plan_code, next_quantity, next_amount) IN (0, 4)",
            name="change",
        ),
        CheckConstraint("next_quantity > 0", name="next_quantity"),
        amount("next_amount"),
        dated("subscriptions_pause_due", "pause_at"),
        dated("subscriptions_resume_due", "resume_at"),
        CheckConstraint(
            "ended_at IS NULL OR num_nonnulls(cancel_at, pause_at, resume_at, change_at,"
            " coupon_left, trial_left_seconds) = 0",
            name="ended_plans_nothing",
        ),
        CheckConstraint(
            "(cancel_at IS NOT NULL OR cancel_period IS NULL)"
            " AND (pause_at IS NOT NULL OR pause_period IS NULL)"
            " AND (change_at IS NOT NULL OR change_period IS NULL)",
            name="planned_for",
        ),
        CheckConstraint(
            "trial_left_seconds IS NULL OR trial_left_seconds >= 0 AND status = 'paused'",
            name="trial_left",
        ),
        held(),
        dated("subscriptions_held", "held_at"),
        Index("subscriptions_unpaid", "id", postgresql_where=text("status = 'unpaid'")),
        # What must be announced: nothing of it is written for plans without a notice.
        Index(
            "subscriptions_to_announce",
            "plan_code",
            "next_due_at",
            postgresql_where=text(
                "(notice_for <= next_period_index OR notice_due_at <> next_due_at)"
                " AND next_due_at IS NOT NULL"
            ),
        ),
        Index(
            "subscriptions_changing",
            "next_plan_code",
            "next_due_at",
            postgresql_where=text("next_plan_code IS NOT NULL AND next_due_at IS NOT NULL"),
        ),
    )

    id: UUID = field(Uuid, primary_key=True)
    customer_id: str = field(Text, to="customers.id")
    plan_code: str = field(Text, to="plans.code")
    status: str = field(Text)
    quantity: int = field(Integer, server_default=text("1"))
    amount: int = field(BigInteger)
    period_amount: int | None = field(BigInteger, null=True)
    coupon_code: str | None = field(Text, to="coupons.code", null=True)
    coupon_left: int | None = field(Integer, null=True)
    extras: list[dict[str, Any]] = field(JSONB, server_default=text("'[]'"))
    start_at: datetime | None = instant()
    start_local: datetime | None = field(DateTime(timezone=False), null=True)
    anchor_local: datetime | None = field(DateTime(timezone=False), null=True)
    anchor_index: int = count()
    next_period_index: int = count()
    next_due_at: datetime | None = instant()
    notice_for: int | None = field(Integer, null=True)
    notice_due_at: datetime | None = instant()
    first_paid_at: datetime | None = instant()
    cancel_at: datetime | None = instant()
    cancel_period: int | None = field(Integer, null=True)
    cancel_refund: str | None = field(Text, null=True)
    cancel_unlink: bool = flag()
    pause_at: datetime | None = instant()
    pause_period: int | None = field(Integer, null=True)
    resume_at: datetime | None = instant()
    trial_left_seconds: int | None = field(BigInteger, null=True)
    change_at: datetime | None = instant()
    change_period: int | None = field(Integer, null=True)
    next_plan_code: str | None = field(Text, to="plans.code", null=True)
    next_quantity: int | None = field(Integer, null=True)
    next_amount: int | None = field(BigInteger, null=True)
    reason: str | None = field(Text, null=True)
    created_at: datetime = instant(null=False)
    ended_at: datetime | None = instant()
    held_at: datetime | None = instant()
    held_why: str | None = field(Text, null=True)


_CLOSED = text(listed("status", (InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.VOID)))
_RARE = text("status NOT IN ('in_flight', 'succeeded')")


class Invoice(SQLModel, table=True):
    """The amount owed for one period, or for one change within it (`change_index` above zero).

    `credited` of its `amount` was covered by credit; the rest is charged. `customer_id` is a copy
    of its subscription's. `plan_code` is the plan that it was opened for; it never changes.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint(
            "subscription_id", "period_index", "change_index", name="invoices_one_a_period"
        ),
        CheckConstraint(f"amount BETWEEN 0 AND {MAX_AMOUNT}", name="amount"),
        CheckConstraint("credited >= 0", name="credited"),
        CheckConstraint("credited < amount OR status IN ('paid', 'void')", name="nothing_owed"),
        CheckConstraint("change_index >= 0", name="change_index"),
        CheckConstraint("amount_refunded BETWEEN 0 AND amount - credited", name="amount_refunded"),
        CheckConstraint("period_index >= 0 AND period_start < period_end", name="period"),
        one_of("status", InvoiceStatus),
        CheckConstraint(
            "blocked_on IS NULL OR " + listed("blocked_on", Blocked), name="blocked_on"
        ),
        CheckConstraint("(status = 'paid') = (paid_at IS NOT NULL)", name="paid"),
        CheckConstraint("status = 'open' OR next_attempt_at IS NULL", name="closed"),
        dated("invoices_due", "next_attempt_at"),
        Index(
            "invoices_open",
            "subscription_id",
            "period_index",
            "change_index",
            postgresql_where=text("status = 'open'"),
        ),
        Index(
            "invoices_blocked",
            "customer_id",
            postgresql_where=text("status = 'open' AND blocked_on IS NOT NULL"),
        ),
        Index(
            "invoices_uncollectible",
            "closed_at",
            postgresql_where=text("status = 'uncollectible'"),
        ),
        Index("invoices_created", "created_at"),  # few have the same instant
        of_plan("invoices_plan"),
        Index("invoices_closed", "status", "created_at", postgresql_where=_CLOSED),
        of_plan("invoices_plan_closed", "status", where=_CLOSED),
        of_plan("invoices_plan_open", where=text("(status || '') = 'open'")),  # DECISIONS 97
        held(),
        dated("invoices_held", "held_at"),
    )

    id: UUID = field(Uuid, primary_key=True)
    subscription_id: UUID = field(Uuid, to="subscriptions.id")
    customer_id: str = field(Text)
    plan_code: str = field(Text)
    period_index: int = field(Integer)
    change_index: int = count()
    period_start: datetime = instant(null=False)
    period_end: datetime = instant(null=False)
    amount: int = field(BigInteger)
    credited: int = field(BigInteger, server_default=text("0"))
    lines: list[dict[str, Any]] = field(JSONB, server_default=text("'[]'"))
    amount_refunded: int = field(BigInteger, server_default=text("0"))
    status: str = field(Text)
    blocked_on: str | None = field(Text, null=True)
    reason: str | None = field(Text, null=True)
    next_attempt_at: datetime | None = instant()
    next_trigger: str = field(Text, server_default=text("'scheduled'"))
    first_failed_at: datetime | None = instant()
    steps_short: int = count()
    step_deadline_at: datetime | None = instant()
    planned_at: datetime | None = instant()
    shortfall: int | None = field(BigInteger, null=True)
    created_at: datetime = instant(null=False)
    paid_at: datetime | None = instant()
    closed_at: datetime | None = instant()
    reopened_at: datetime | None = instant()
    leased_until: datetime | None = instant()
    held_at: datetime | None = instant()
    held_why: str | None = field(Text, null=True)


class Charge(SQLModel, table=True):
    """One attempt to collect an invoice. `id` is its Request-Id; `body_sealed` is encrypted.

    An unresolved charge with a `fault` was declined once, and a status query must confirm that.
    `never_received` is set by the engine: the gateway never received it. `unsent_by_answer` is set
    when an answer once said that it was not sent, which is no proof. `resolved_at` is set when an
    operator sets the outcome, and `contradicted_at` when the gateway later denies that payment.
    `notified_at` is the date of the last status query that a notification made due.
    `subscription_id`, `customer_id` and `plan_code` are copies of its invoice's.
    """

    __tablename__ = "charges"
    __table_args__ = (
        UniqueConstraint("invoice_id", "attempt", name="charges_one_per_attempt"),
        UniqueConstraint("gateway_number", name="charges_gateway_number_unique"),
        amount("amount"),
        # Conservation of money: every charged rupiah is kept, refunded (or on its way) or credited.
        # Only `services.returns` moves rupiah between these columns.
        CheckConstraint(
            "CASE WHEN status = 'succeeded' THEN kept >= 0 AND refunded >= 0 AND credited >= 0"
            " AND amount = kept + refunded + credited"
            " ELSE kept = 0 AND refunded = 0 AND credited = 0 END",
            name="conserved",
        ),
        # Not one expression: counting in it takes ten times as long, twice for each charge.
        CheckConstraint(
            "length(gateway_number) BETWEEN 3 AND 32 AND gateway_number !~ '[^A-Za-z0-9_-]'",
            name="gateway_number",
        ),
        CheckConstraint("NOT surplus OR status = 'succeeded'", name="surplus"),
        CheckConstraint("NOT never_received OR status = 'declined'", name="never_received"),
        one_of("status", ChargeStatus),
        CheckConstraint("fault IS NULL OR " + listed("fault", Fault), name="fault"),
        CheckConstraint("waiting IS NULL OR " + listed("waiting", Waiting), name="waiting"),
        CheckConstraint(listed("trigger", Trigger), name="trigger"),
        held(),
        # These two prevent double charges. A subscription's invoices are charged one at a time, so
        # the first index allows one for each subscription, which is stricter than one an invoice.
        Index(
            "charges_one_unresolved",
            "subscription_id",
            unique=True,
            postgresql_where=text(listed("status", UNRESOLVED)),
        ),
        Index(
            "charges_one_succeeded",
            "invoice_id",
            unique=True,
            postgresql_where=text("status = 'succeeded' AND NOT surplus"),
        ),
        dated("charges_to_ask", "next_check_at"),
        dated("charges_contradicted", "contradicted_at"),
        Index("charges_of_customer", "customer_id", "created_at"),
        Index("charges_created", "created_at"),
        of_plan("charges_plan"),
        Index("charges_status", "status", "created_at", postgresql_where=_RARE),
        of_plan("charges_plan_status", "status", where=_RARE),
    )

    id: UUID = field(Uuid, primary_key=True)
    invoice_id: UUID = field(Uuid, to="invoices.id")
    subscription_id: UUID = field(Uuid)
    customer_id: str = field(Text)
    plan_code: str = field(Text)
    wallet_id: UUID = field(Uuid, to="wallets.id")
    attempt: int = field(SmallInteger)
    gateway_number: str = field(Text)
    trigger: str = field(Text)
    first_payment: bool = flag()
    amount: int = field(BigInteger)
    kept: int = field(BigInteger, server_default=text("0"))
    refunded: int = field(BigInteger, server_default=text("0"))
    credited: int = field(BigInteger, server_default=text("0"))
    surplus: bool = flag()
    status: str = field(Text)
    fault: str | None = field(Text, null=True)
    code: str | None = field(Text, null=True)
    message: str | None = field(Text, null=True)
    waiting: str | None = field(Text, null=True)
    body_sealed: bytes | None = field(LargeBinary, null=True)
    created_at: datetime = instant(null=False)
    sent_at: datetime = instant(null=False)
    settled_at: datetime | None = instant()
    sends: int = field(Integer, server_default=text("1"))
    unsent_attempts: int = count()
    status_queries: int = count()
    next_check_at: datetime | None = instant()
    failed_seen_at: datetime | None = instant()
    parked_at: datetime | None = instant()
    leased_until: datetime | None = instant()
    unsent_by_answer: bool = flag()
    never_received: bool = flag()
    resolved_at: datetime | None = instant()
    contradicted_at: datetime | None = instant()
    notified_at: datetime | None = instant()
    held_at: datetime | None = instant()
    held_why: str | None = field(Text, null=True)


class Event(SQLModel, table=True):
    """A recorded fact: kind, time, actor, reason, data."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_subscription", "subscription_id", "id"),
        Index("events_at", "at"),
        Index("events_customer", "customer_id", postgresql_where=text("subscription_id IS NULL")),
        Index(
            "events_one_notice_a_date",
            "subscription_id",
            text("(data->'period_index')"),
            text("(data->'charge_at')"),
            unique=True,
            postgresql_where=text("kind = 'invoice.upcoming'"),
        ),
        # A plain renewal, nearly all events, writes nothing into these three indexes.
        Index(
            "events_kind", "kind", "at", "id",
            postgresql_where=text(
                "kind NOT IN ('invoice.opened', 'charge.claimed', 'charge.succeeded',"
                " 'invoice.paid')"
            ),
        ),
        Index(
            "events_of_people", "kind", "at", "id",
            postgresql_where=text("actor NOT IN ('scheduler', 'gateway')"),
        ),
        Index(
            "events_of_actor", "actor", "kind", "at", "id",
            postgresql_where=text("actor NOT IN ('scheduler', 'gateway')"),
        ),
    )  # fmt: skip

    id: int = field(BigInteger, primary_key=True, server_default=Identity(always=True))
    at: datetime = instant(null=False)
    kind: str = field(Text)
    actor: str = field(Text)
    reason: str | None = field(Text, null=True)
    customer_id: str | None = field(Text, null=True)
    subscription_id: UUID | None = field(Uuid, null=True)
    invoice_id: UUID | None = field(Uuid, null=True)
    charge_id: UUID | None = field(Uuid, null=True)
    data: dict[str, Any] = field(JSONB, server_default=text("'{}'"))

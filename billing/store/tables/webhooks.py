"""Tables of the event feed and of webhooks. Instants of webhooks are real time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import SQLModel

from billing.domain.webhooks import DeliveryStatus
from billing.store.columns import count, field, instant, one_of


class EventFeed(SQLModel, table=True):
    """The events in the order in which they became visible; a reader pages by `position`."""

    __tablename__ = "event_feed"
    __table_args__ = (UniqueConstraint("event_id", name="event_feed_once"),)

    position: int = field(BigInteger, primary_key=True, server_default=Identity(always=True))
    event_id: int = field(BigInteger)


class EventFeedState(SQLModel, table=True):
    """The one row about the feed. Its lock allows one sequencer at a time.

    Each event up to `settled_id` is in the feed or will never appear. `fanned_out` is the last
    position whose webhook deliveries were made.
    """

    __tablename__ = "event_feed_state"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = field(SmallInteger, primary_key=True, server_default=text("1"))
    settled_id: int = field(BigInteger, server_default=text("0"))
    candidate_id: int | None = field(BigInteger, null=True)
    candidate_writers: list[str] = field(ARRAY(Text), server_default=text("'{}'"))
    fanned_out: int = field(BigInteger, server_default=text("0"))


class WebhookEndpoint(SQLModel, table=True):
    """An address that receives events: those after `starts_after`, of its types (empty: all)."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("(disabled_at IS NULL) = (disabled_cause IS NULL)", name="disabled"),
        CheckConstraint(
            "(previous_secret_sealed IS NULL) = (previous_secret_until IS NULL)",
            name="previous_secret",
        ),
        CheckConstraint("deleted_at IS NULL OR disabled_at IS NOT NULL", name="deleted"),
    )

    id: UUID = field(Uuid, primary_key=True)
    url: str = field(Text)
    event_types: list[str] = field(ARRAY(Text), server_default=text("'{}'"))
    description: str | None = field(Text, null=True)
    secret_sealed: bytes = field(LargeBinary)
    previous_secret_sealed: bytes | None = field(LargeBinary, null=True)
    previous_secret_until: datetime | None = instant()
    starts_after: int = field(BigInteger)
    created_at: datetime = instant(null=False)
    disabled_at: datetime | None = instant()
    disabled_cause: str | None = field(Text, null=True)
    deleted_at: datetime | None = instant()
    failing_since: datetime | None = instant()
    last_succeeded_at: datetime | None = instant()
    leased_until: datetime | None = instant()


class WebhookDelivery(SQLModel, table=True):
    """One event for one endpoint. Its id is the `webhook-id` of every attempt.

    `body` is what a failed attempt sent, for the attempts after it.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_id", name="webhook_deliveries_once"),
        one_of("status", DeliveryStatus),
        CheckConstraint(
            "(status = 'pending') = (next_attempt_at IS NOT NULL)"
            " AND (status = 'pending') = (settled_at IS NULL)",
            name="pending",
        ),
        Index(
            "webhook_deliveries_due",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        CheckConstraint("body IS NULL OR status = 'pending'", name="body"),
        Index("webhook_deliveries_body", "event_id", postgresql_where=text("body IS NOT NULL")),
        Index("webhook_deliveries_created", "created_at"),
        Index("webhook_deliveries_status", "endpoint_id", "status", "created_at", "event_id"),
        Index(
            "webhook_deliveries_failed", "created_at", postgresql_where=text("status = 'failed'")
        ),
    )

    id: UUID = field(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    endpoint_id: UUID = field(Uuid, to="webhook_endpoints.id")
    event_id: int = field(BigInteger)
    status: str = field(Text, server_default=text("'pending'"))
    attempts: int = count()
    next_attempt_at: datetime | None = instant()
    leased_until: datetime | None = instant()
    last_status_code: int | None = field(SmallInteger, null=True)
    last_error: str | None = field(Text, null=True)
    body: str | None = field(Text, null=True)
    created_at: datetime = instant(null=False)
    settled_at: datetime | None = instant()

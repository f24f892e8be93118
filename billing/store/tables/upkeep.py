"""Tables of the engine: idempotency keys, imports, its state, spending, answers, heartbeats."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Double,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from billing.store.columns import count, field, instant


class Command(SQLModel, table=True):
    """What an idempotency key was used for, and the result."""

    __tablename__ = "commands"
    __table_args__ = (
        Index("commands_of_api", "created_at", postgresql_where=text("key LIKE 'api:%'")),
    )

    key: str = field(Text, primary_key=True)
    task: str = field(Text)
    arguments: dict[str, Any] = field(JSONB)
    result: dict[str, Any] | None = field(JSONB, null=True)
    created_at: datetime = instant(null=False)


class ApiKey(SQLModel, table=True):
    """A key of the HTTP interface: only its keyed hash is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("cardinality(scopes) > 0", name="scopes"),
        # The name is the actor of events: two valid keys must not share it.
        Index("api_keys_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    )

    id: UUID = field(Uuid, primary_key=True)
    name: str = field(Text)
    prefix: str = field(Text)
    key_hash: bytes = field(LargeBinary, unique=True)
    scopes: list[str] = field(ARRAY(Text))
    created_at: datetime = instant(null=False)
    expires_at: datetime | None = instant()
    revoked_at: datetime | None = instant()
    last_used_at: datetime | None = instant()


class Engine(SQLModel, table=True):
    """The one row about the engine itself."""

    __tablename__ = "engine"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = field(SmallInteger, primary_key=True, server_default=text("1"))
    clock_at: datetime | None = instant()
    stopped_at: datetime | None = instant()
    stopped_reason: str | None = field(Text, null=True)
    gateway_host: str | None = field(Text, null=True)
    gateway_client_id: str | None = field(Text, null=True)
    troubles: int = count()
    resting_until: datetime | None = instant()
    paced_until: datetime | None = instant()
    opening_until: datetime | None = instant()
    tripped_at: datetime | None = instant()
    installation_id: UUID = field(Uuid, server_default=text("gen_random_uuid()"))


class Import(SQLModel, table=True):
    """The content of an import's row when its subscription was added, by the row's reference.

    Not a column of the subscription: the opening of every period writes that row again.
    """

    __tablename__ = "imports"

    reference: str = field(Text, primary_key=True)
    subscription_id: UUID = field(Uuid, to="subscriptions.id")
    content: dict[str, str] = field(JSONB)


class Heartbeat(SQLModel, table=True):
    """When a tick last began, and how it ended, in real time.

    `error` is from the last failure, and empty if the last run succeeded.
    """

    __tablename__ = "heartbeats"

    tick: str = field(Text, primary_key=True)
    at: datetime = instant(null=False)
    succeeded_at: datetime | None = instant()
    failed_at: datetime | None = instant()
    error: str | None = field(Text, null=True)


class Hour(SQLModel, table=True):
    """The total of one hour's charges in rupiah; in shards, so that no claim waits for another."""

    __tablename__ = "hours"

    hour: datetime = field(DateTime(timezone=True), primary_key=True)
    shard: int = field(SmallInteger, primary_key=True)
    amount: int = field(BigInteger)


class Answers(SQLModel, table=True):
    """The number of live answers in a minute of real time, and how many were suspicious.

    A ring of sixty slots, each with shards: a slot holds the last minute that used it.
    """

    __tablename__ = "answers"

    slot: int = field(SmallInteger, primary_key=True)
    shard: int = field(SmallInteger, primary_key=True)
    minute: datetime = instant(null=False)
    answered: int = count()
    suspicious: int = count()


class MetricState(SQLModel, table=True):
    """The one row about the metrics: up to which positions of the event feed it is counted."""

    __tablename__ = "metric_state"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = field(SmallInteger, primary_key=True, server_default=text("1"))
    position: int = field(BigInteger, server_default=text("0"))
    hours_position: int = field(BigInteger, server_default=text("0"))
    days_position: int = field(BigInteger, server_default=text("0"))


class MetricTotal(SQLModel, table=True):
    """A total that only grows: of events, or of rupiah; `label` may be empty."""

    __tablename__ = "metric_totals"

    name: str = field(Text, primary_key=True)
    label: str = field(Text, primary_key=True)
    total: int = field(BigInteger)


class HourlyTotal(SQLModel, table=True):
    """What happened to money in one hour, counted from the event feed with the metrics.

    `name` is the kind of the events, `amount` their rupiah together, 0 for declines.
    """

    __tablename__ = "hourly_totals"

    hour: datetime = field(DateTime(timezone=True), primary_key=True)
    name: str = field(Text, primary_key=True)
    events: int = field(BigInteger)
    amount: int = field(BigInteger)


class DailyTotal(SQLModel, table=True):
    """What became of payments on one day in Jakarta, counted from the event feed.

    `name` and `label` are those of `store.queries.daily`; `amount` is their rupiah together.
    """

    __tablename__ = "daily_totals"

    day: date = field(Date, primary_key=True)
    name: str = field(Text, primary_key=True)
    label: str = field(Text, primary_key=True)
    events: int = field(BigInteger)
    amount: int = field(BigInteger)


class AheadTotal(SQLModel, table=True):
    """The next charges that are due on one day in Jakarta: of a plan, of one kind.

    `kind` and `waits` are those of `store.queries.ahead`.
    """

    __tablename__ = "ahead_totals"

    day: date = field(Date, primary_key=True)
    plan_code: str = field(Text, primary_key=True)
    kind: str = field(Text, primary_key=True)
    waits: bool = field(Boolean, primary_key=True)
    charges: int = field(BigInteger)
    amount: int = field(BigInteger)


class AheadUnlinked(SQLModel, table=True):
    """A customer whose next charges will wait for a wallet; only the earliest of them are kept."""

    __tablename__ = "ahead_unlinked"

    customer_id: str = field(Text, primary_key=True)
    first_at: datetime = instant(null=False)
    charges: int = field(BigInteger)
    amount: int = field(BigInteger)


class AheadState(SQLModel, table=True):
    """The one row about these totals: of which instant they are, and how long the count took.

    `at` and `until` are billing time, and empty before the first count. `counted_at` is real time,
    of a count that failed too. `event_id` is the last event's of then, if nothing was written.
    """

    __tablename__ = "ahead_state"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = field(SmallInteger, primary_key=True, server_default=text("1"))
    at: datetime | None = instant()
    until: datetime | None = instant()
    counted_at: datetime = instant(null=False)
    took_seconds: float = field(Double)
    event_id: int | None = field(BigInteger, null=True)


class MetricGauge(SQLModel, table=True):
    """What a check of a tick found last, and when, in real time."""

    __tablename__ = "metric_gauges"

    name: str = field(Text, primary_key=True)
    value: float = field(Double)
    at: datetime = instant(null=False)


class GatewayCalls(SQLModel, table=True):
    """How long the calls to the gateway took, by kind of call; in shards, as in `hours`."""

    __tablename__ = "gateway_calls"

    call: str = field(Text, primary_key=True)
    shard: int = field(SmallInteger, primary_key=True)
    buckets: list[int] = field(ARRAY(BigInteger))
    seconds: float = field(Double)

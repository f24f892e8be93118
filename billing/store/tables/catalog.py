"""Tables of the catalog: plans, customers and their wallets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from billing.domain.subscription import (
    CatchUp,
    OnExhausted,
)
from billing.domain.wallet import LIVE as LIVE_WALLETS
from billing.domain.wallet import WalletStatus
from billing.store.columns import (
    amount,
    count,
    dated,
    field,
    flag,
    held,
    instant,
    one_of,
)
from billing.store.expressions import is_notice, listed


class Plan(SQLModel, table=True):
    """A price and a schedule; never changed once used, only archived."""

    __tablename__ = "plans"
    __table_args__ = (
        amount("amount"),
        CheckConstraint("(every IS NULL) <> (cron IS NULL)", name="schedule"),
        CheckConstraint("cycles IS NULL OR cycles > 0", name="cycles"),
        CheckConstraint(f"notice IS NULL OR {is_notice('notice')}", name="notice"),
        CheckConstraint("least(declines_max, attempts_max, days_max) > 0", name="caps"),
        one_of("on_exhausted", OnExhausted),
        one_of("catch_up", CatchUp),
        Index("plans_with_notice", "code", postgresql_where=text("notice IS NOT NULL")),
    )

    code: str = field(Text, primary_key=True)
    name: str = field(Text)
    amount: int = field(BigInteger)
    every: str | None = field(Text, null=True)
    cron: str | None = field(Text, null=True)
    timezone: str = field(Text)
    trial: str | None = field(Text, null=True)
    cycles: int | None = field(Integer, null=True)
    notice: str | None = field(Text, null=True)
    retries: str = field(Text)
    retries_for: dict[str, str] = field(JSONB, server_default=text("'{}'"))
    declines_max: int | None = field(Integer, null=True)
    attempts_max: int | None = field(Integer, null=True)
    days_max: int | None = field(Integer, null=True)
    on_exhausted: str = field(Text)
    catch_up: str = field(Text)
    use_points: bool = flag()
    created_at: datetime = instant(null=False)
    archived_at: datetime | None = instant()


class Customer(SQLModel, table=True):
    """A person at the merchant; `id` is the gateway's customer id.

    Since `erase_requested_at` the customer cannot be changed; at `erased_at` nothing personal is
    left.
    """

    __tablename__ = "customers"
    __table_args__ = (
        Index("customers_created", "created_at", "id"),
        Index(
            "customers_name",
            literal_column("lower(name)").label("lower_name"),
            postgresql_ops={"lower_name": "text_pattern_ops"},
            postgresql_where=text("name <> ''"),
        ),
        Index("customers_words", text("to_tsvector('simple', name)"), postgresql_using="gin"),
        Index("customers_email", text("lower(email)"), postgresql_where=text("email <> ''")),
        Index("customers_phone_end", text("right(phone, 4)"), postgresql_where=text("phone <> ''")),
        CheckConstraint(
            "erased_at IS NULL OR erase_requested_at IS NOT NULL"
            " AND name = '' AND phone = '' AND email = ''",
            name="erased",
        ),
        Index(
            "customers_to_erase",
            "erase_requested_at",
            postgresql_where=text("erase_requested_at IS NOT NULL AND erased_at IS NULL"),
        ),
        Index("customers_erased", "id", postgresql_where=text("erase_requested_at IS NOT NULL")),
    )

    id: str = field(Text, primary_key=True)
    name: str = field(Text)
    phone: str = field(Text, server_default=text("''"))
    email: str = field(Text, server_default=text("''"))
    created_at: datetime = instant(null=False)
    erase_requested_at: datetime | None = instant()
    erased_at: datetime | None = instant()


class Wallet(SQLModel, table=True):
    """A customer's linked OVO account. Token and phone are encrypted.

    `token_hash` finds a token again without decrypting any; it is kept when the token is deleted.
    """

    __tablename__ = "wallets"
    __table_args__ = (
        one_of("status", WalletStatus),
        CheckConstraint(
            "status NOT IN ('active', 'unlinking') OR token_sealed IS NOT NULL", name="token"
        ),
        Index(
            "wallets_one_live_a_customer",
            "customer_id",
            unique=True,
            postgresql_where=text(listed("status", LIVE_WALLETS)),
        ),
        held(),
        dated("wallets_held", "held_at"),
        dated("wallets_due", "next_attempt_at"),
        Index("wallets_customer", "customer_id"),
        Index(
            "wallets_phone_end",
            text("right(masked_phone, 4)"),
            postgresql_where=text("masked_phone <> ''"),
        ),
        Index("wallets_created", "created_at", "id"),
        Index(
            "wallets_status",
            "status",
            "created_at",
            "id",
            postgresql_where=text("status <> 'active'"),
        ),
        dated("wallets_to_notify", "next_notice_at"),
        Index("wallets_expiring", "expires_at", postgresql_where=text("status = 'active'")),
        Index("wallets_token_hash", "token_hash", postgresql_where=text("token_hash IS NOT NULL")),
        Index(
            "wallets_one_live_a_token",
            "token_hash",
            unique=True,
            postgresql_where=text(f"{listed('status', LIVE_WALLETS)} AND token_hash IS NOT NULL"),
        ),
    )

    id: UUID = field(Uuid, primary_key=True)
    customer_id: str = field(Text, to="customers.id")
    status: str = field(Text)
    phone_sealed: bytes = field(LargeBinary)
    masked_phone: str = field(Text, server_default=text("''"))
    token_sealed: bytes | None = field(LargeBinary, null=True)
    token_hash: bytes | None = field(LargeBinary, null=True)
    registration_url: str | None = field(Text, null=True)
    attempts: int = count()
    next_attempt_at: datetime | None = instant()
    unlink_requested_at: datetime | None = instant()
    reason: str | None = field(Text, null=True)
    created_at: datetime = instant(null=False)
    linked_at: datetime | None = instant()
    expires_at: datetime | None = instant()
    next_notice_at: datetime | None = instant()
    closed_at: datetime | None = instant()
    leased_until: datetime | None = instant()
    held_at: datetime | None = instant()
    held_why: str | None = field(Text, null=True)

"""Tables of the console: people, their sessions, and log-ins that failed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, Uuid, text
from sqlmodel import SQLModel

from billing.domain.people import Role
from billing.store.columns import field, instant, one_of


class Person(SQLModel, table=True):
    """A person who may log in to the console; a disabled one keeps the name, which events have.

    `factor_sealed` is the encrypted secret of the second factor, and `factor_step` the number of
    30 seconds since 1970 of the last code that was used: a code is used once.
    """

    __tablename__ = "people"
    __table_args__ = (
        one_of("role", Role),
        # A name is the actor of events: two that differ only in case would be taken for one.
        Index("people_name", text("lower(name)"), unique=True),
    )

    id: UUID = field(Uuid, primary_key=True)
    name: str = field(Text)
    role: str = field(Text)
    password_hash: str = field(Text)
    created_at: datetime = instant(null=False)
    password_changed_at: datetime = instant(null=False)
    logged_in_at: datetime | None = instant()
    disabled_at: datetime | None = instant()
    factor_sealed: bytes | None = field(LargeBinary, null=True)
    factor_step: int | None = field(BigInteger, null=True)


class ConsoleSession(SQLModel, table=True):
    """A log-in that has not ended: its random id is stored only as a hash. Times are real."""

    __tablename__ = "console_sessions"
    __table_args__ = (
        Index("console_sessions_person", "person_id"),
        Index("console_sessions_created", "created_at"),
    )

    id_hash: bytes = field(LargeBinary, primary_key=True)
    person_id: UUID = field(Uuid, to="people.id")
    created_at: datetime = instant(null=False)
    used_at: datetime = instant(null=False)


class FailedLogin(SQLModel, table=True):
    """How many log-ins failed for a name, for an address, or for both together, in real time.

    Whose they are is stored as a keyed hash: people type passwords into the field of the name.
    """

    __tablename__ = "failed_logins"
    __table_args__ = (Index("failed_logins_until", "until"),)

    subject: bytes = field(LargeBinary, primary_key=True)
    failed: int = field(Integer)
    until: datetime = instant(null=False)

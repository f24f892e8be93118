"""Column and constraint shorthands for `tables`; knows no table.

SQLModel alone would make money 32 bits wide and store enums by member name.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    text,
)
from sqlmodel import Field, SQLModel

from billing.domain.instants import HOME_TIMEZONE
from billing.domain.money import MAX_AMOUNT

SQLModel.metadata.naming_convention = {
    "ix": "%(table_name)s_%(column_0_N_name)s_index",
    "uq": "%(table_name)s_%(column_0_N_name)s_unique",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_name)s_foreign",
    "pk": "%(table_name)s_primary",
}


def listed(column: str, values: type[StrEnum] | tuple[StrEnum, ...]) -> str:
    """`column IN (…)` for an enum or some of its members."""
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


def one_of(column: str, enum: type[StrEnum]) -> CheckConstraint:
    """The column holds a value of the enum."""
    return CheckConstraint(listed(column, enum), name=column)


def amount(column: str) -> CheckConstraint:
    """The column holds whole rupiah that the gateway could charge."""
    return CheckConstraint(f"{column} BETWEEN 1 AND {MAX_AMOUNT}", name=column)


def field(kind: Any, *, null: bool = False, to: str | None = None, **options: Any) -> Any:
    """A column; `to` names the one it refers to."""
    keys = [ForeignKey(to)] if to else []
    return Field(default=None, sa_column=Column(kind, *keys, nullable=null, **options))


def instant(*, null: bool = True) -> Any:
    """A timestamptz column."""
    return field(DateTime(timezone=True), null=null)


def count() -> Any:
    """An integer column that begins at nought."""
    return field(Integer, server_default=text("0"))


def flag() -> Any:
    """A boolean column that begins as false."""
    return field(Boolean, server_default=text("false"))


def held() -> CheckConstraint:
    """A row that was set aside has the instant and the reason, any other has neither."""
    return CheckConstraint("(held_at IS NULL) = (held_why IS NULL)", name="held")


def dated(name: str, column: str) -> Index:
    """An index of the rows that have a date in `column`: the few a tick has to look at."""
    return Index(name, column, postgresql_where=text(f"{column} IS NOT NULL"))


def spoken(column: str) -> str:
    """SQL for an instant as people read it, as `billing.domain.instants.spoken` writes it.

    The engine's time zone has one offset all year, and lies east of UTC.
    """
    local = f"{column} AT TIME ZONE '{HOME_TIMEZONE}'"
    offset = f"to_char(({local}) - ({column} AT TIME ZONE 'UTC'), 'HH24:MI')"
    return f"to_char({local}, 'YYYY-MM-DD HH24:MI') || '+' || {offset}"

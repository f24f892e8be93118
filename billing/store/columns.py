"""Columns: shorthands for the columns and constraints in `tables`; this module knows no table.

Without them, SQLModel would store money in 32 bits, and enums by member name.
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
    TextClause,
    text,
)
from sqlmodel import Field, SQLModel

from billing.domain.money import MAX_AMOUNT
from billing.store.expressions import listed

SQLModel.metadata.naming_convention = {
    "ix": "%(table_name)s_%(column_0_N_name)s_index",
    "uq": "%(table_name)s_%(column_0_N_name)s_unique",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_name)s_foreign",
    "pk": "%(table_name)s_primary",
}


def one_of(column: str, enum: type[StrEnum]) -> CheckConstraint:
    """Require that the column holds a value of the enum."""
    return CheckConstraint(listed(column, enum), name=column)


def amount(column: str) -> CheckConstraint:
    """Require that the column holds whole rupiah within the gateway's limit."""
    return CheckConstraint(f"{column} BETWEEN 1 AND {MAX_AMOUNT}", name=column)


def field(kind: Any, *, null: bool = False, to: str | None = None, **options: Any) -> Any:
    """Make a column; `to` names the column that it references."""
    keys = [ForeignKey(to)] if to else []
    return Field(default=None, sa_column=Column(kind, *keys, nullable=null, **options))


def instant(*, null: bool = True) -> Any:
    """Make a timestamptz column."""
    return field(DateTime(timezone=True), null=null)


def count() -> Any:
    """Make an integer column with the default zero."""
    return field(Integer, server_default=text("0"))


def flag() -> Any:
    """Make a boolean column with the default false."""
    return field(Boolean, server_default=text("false"))


def held() -> CheckConstraint:
    """Require that a held row has the instant and the reason, and any other row neither."""
    return CheckConstraint("(held_at IS NULL) = (held_why IS NULL)", name="held")


def dated(name: str, column: str) -> Index:
    """Make an index of the rows with a date in `column`: the few that a tick must read."""
    return Index(name, column, postgresql_where=text(f"{column} IS NOT NULL"))


def of_plan(name: str, *columns: str, where: TextClause | None = None) -> Index:
    """Make an index that has the rows of a plan in the order of their list, newest last.

    For its place of nulls see `queries.paging`; `created_at` is never null.
    """
    parts: tuple[Any, ...] = ("plan_code", *columns, text("created_at NULLS FIRST"))
    return Index(name, *parts, postgresql_where=where)

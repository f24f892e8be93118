"""Statements about plans and customers."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from billing.domain.dunning import Ladders
from billing.domain.subscription import CatchUp, OnExhausted
from billing.domain.terms import PlanTerms
from billing.store.rows import insert_new
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


class Plan(NamedTuple):
    """A plan."""

    code: str
    name: str
    amount: int
    every: str | None
    cron: str | None
    timezone: str
    trial: str | None
    cycles: int | None
    notice: str | None
    retries: str
    retries_for: Ladders
    declines_max: int | None
    attempts_max: int | None
    days_max: int | None
    on_exhausted: OnExhausted
    catch_up: CatchUp
    use_points: bool
    created_at: datetime
    archived_at: datetime | None

    @property
    def notice_for(self) -> int | None:
        """The first period of a new subscription that must be announced; None without a notice."""
        return None if self.notice is None else 0

    @property
    def terms(self) -> PlanTerms:
        """The columns that decide the due dates of its subscriptions."""
        return PlanTerms(self.every, self.cron, self.timezone, self.cycles, self.catch_up)


_PLAN = text(f"SELECT {columns(Plan)} FROM plans WHERE code = :code")  # noqa: S608 - a constant of ours


def add_plan(connection: Connection, new: Plan) -> bool:
    """Insert a plan; False when the code is taken."""
    return insert_new(connection, "plans", [new._asdict()]) == 1


def plan(connection: Connection, code: str) -> Plan | None:
    """Read one plan."""
    return at_most_one(Plan, connection.execute(_PLAN, {"code": code}))


def plans(connection: Connection, codes: Sequence[str]) -> list[Plan]:
    """Read plans by their codes."""
    statement = text(f"SELECT {columns(Plan)} FROM plans WHERE code = ANY(:codes)")  # noqa: S608 - a constant of ours
    return every(Plan, connection.execute(statement, {"codes": list(codes)}))


def archive_plan(connection: Connection, code: str, at: datetime) -> bool:
    """Archive a plan; False when it was archived already."""
    statement = text(
        "UPDATE plans SET archived_at = :at WHERE code = :code AND archived_at IS NULL"
    )
    return connection.execute(statement, {"code": code, "at": at}).rowcount == 1


class NewCustomer(NamedTuple):
    """A customer who is added."""

    id: str
    name: str
    phone: str
    email: str
    created_at: datetime


def add_customer(connection: Connection, new: NewCustomer) -> bool:
    """Insert a customer; False when the id is taken."""
    return insert_new(connection, "customers", [new._asdict()]) == 1


class Customer(NamedTuple):
    """A customer."""

    id: str
    name: str
    phone: str
    email: str


_CUSTOMER = text(f"SELECT {columns(Customer)} FROM customers WHERE id = :id")  # noqa: S608 - a constant of ours


def customer(connection: Connection, customer_id: str) -> Customer | None:
    """Read one customer."""
    return at_most_one(Customer, connection.execute(_CUSTOMER, {"id": customer_id}))


def change_customer(connection: Connection, wanted: Customer) -> None:
    """Replace what is stored of a customer."""
    statement = text(
        "UPDATE customers SET name = :name, phone = :phone, email = :email WHERE id = :id"
    )
    connection.execute(statement, wanted._asdict())


def lock_customer(connection: Connection, customer_id: str) -> bool:
    """Lock a customer, before its subscriptions and wallets; False when there is none.

    The lock orders everything that needs both a wallet and the list of subscriptions: a new
    subscription, a new token, and the check whether a token is still needed.
    """
    statement = text("SELECT id FROM customers WHERE id = :id FOR NO KEY UPDATE")
    return connection.execute(statement, {"id": customer_id}).first() is not None


class Erasure(NamedTuple):
    """When a customer's erasure was requested, and when it was done."""

    erase_requested_at: datetime | None
    erased_at: datetime | None


_ERASURE = f"SELECT {columns(Erasure)} FROM customers WHERE id = :id"  # noqa: S608 - a constant of ours


def lock_erasure(connection: Connection, customer_id: str) -> Erasure | None:
    """Lock a customer like `lock_customer`, and read its erasure; None when there is none."""
    statement = text(f"{_ERASURE} FOR NO KEY UPDATE")
    return at_most_one(Erasure, connection.execute(statement, {"id": customer_id}))


def erasure(connection: Connection, customer_id: str) -> Erasure | None:
    """Read a customer's erasure without a lock."""
    return at_most_one(Erasure, connection.execute(text(_ERASURE), {"id": customer_id}))


def near_codes(connection: Connection) -> list[str]:
    """Find plan codes similar to a mistyped one."""
    return list(connection.execute(text("SELECT code FROM plans LIMIT 1000")).scalars())

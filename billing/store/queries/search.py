"""Statements of the console's search: each finds few rows by an index, and scans no table."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.short_ids import Part
from billing.store.selecting import columns, every
from billing.store.statements import text


class FoundCustomer(NamedTuple):
    """A customer that fits a search."""

    id: str
    name: str
    phone: str
    email: str
    wallet_phone: str | None


class FoundRow(NamedTuple):
    """A row of another table that has the id or number that was searched for."""

    kind: str
    id: UUID
    customer: str


_CUSTOMERS = columns(
    FoundCustomer,
    "c",
    wallet_phone="(SELECT masked_phone FROM wallets w WHERE w.customer_id = c.id"
    " AND masked_phone <> '' ORDER BY created_at DESC LIMIT 1)",
)
_FROM = f"SELECT {_CUSTOMERS} FROM customers c"  # noqa: S608 - a constant of ours
SORTED_MAX = 10_000
"""At most this many customers of a common name are read and sorted."""
# MATERIALIZED: with a limit the planner would read all customers by date until enough names fit.
_SOME_FITTING = f"""
    WITH fitting AS MATERIALIZED (SELECT * FROM customers c WHERE {{}})
    SELECT {_CUSTOMERS} FROM (SELECT * FROM fitting LIMIT :some) AS c
"""  # noqa: S608 - constants of ours
_NEWEST = "ORDER BY c.created_at DESC, c.id LIMIT :limit"


def _customers(
    connection: Connection, condition: str, limit: int, **values: object
) -> list[FoundCustomer]:
    statement = text(f"{_FROM} WHERE {condition} {_NEWEST}")
    return every(FoundCustomer, connection.execute(statement, {**values, "limit": limit}))


def customer(connection: Connection, customer_id: str) -> list[FoundCustomer]:
    """Find the customer with an id."""
    return _customers(connection, "c.id = :id", 1, id=customer_id)


def by_email(connection: Connection, email: str, limit: int) -> list[FoundCustomer]:
    """Find customers by their whole e-mail address, newest first."""
    condition = "lower(c.email) = lower(:email) AND c.email <> ''"
    return _customers(connection, condition, limit, email=email)


def by_phone(connection: Connection, phone: str, limit: int) -> list[FoundCustomer]:
    """Find customers by their whole phone number `62…`, newest first."""
    condition = "right(c.phone, 4) = right(:phone, 4) AND c.phone = :phone AND c.phone <> ''"
    return _customers(connection, condition, limit, phone=phone)


def by_last_digits(connection: Connection, digits: str, limit: int) -> list[FoundCustomer]:
    """Find customers by the last four digits of their own phone or of a wallet's, newest first."""
    # An array, because the planner may expect many rows and read all customers.
    condition = """c.id = ANY(ARRAY(
        SELECT id FROM customers WHERE right(phone, 4) = :digits AND phone <> ''
        UNION ALL
        SELECT customer_id FROM wallets WHERE right(masked_phone, 4) = :digits
            AND masked_phone <> ''))"""
    return _customers(connection, condition, limit, digits=digits)


def by_name(connection: Connection, name: str, limit: int) -> list[FoundCustomer]:
    """Find customers whose name begins with a text, in any script, newest first.

    When more than `SORTED_MAX` names begin with it, the newest may be missing.
    """
    # The operators of text_pattern_ops: an index serves LIKE only when its value is a constant.
    condition = """lower(c.name) ~>=~ lower(:name)
        AND lower(c.name) ~<~ (lower(:name) || chr(1114111)) AND c.name <> ''"""
    statement = text(f"{_SOME_FITTING.format(condition)} {_NEWEST}")
    values = {"name": name, "some": SORTED_MAX, "limit": limit}
    return every(FoundCustomer, connection.execute(statement, values))


def by_words(connection: Connection, words: Sequence[str], limit: int) -> list[FoundCustomer]:
    """Find customers whose name has words that begin with each of these letters and digits."""
    query = " & ".join(f"'{word}':*" for word in words)
    condition = "to_tsvector('simple', c.name) @@ to_tsquery('simple', :query)"
    # The newest of many are not worth sorting all of them: a common name has thousands.
    statement = text(_SOME_FITTING.format(condition))
    found = connection.execute(statement, {"query": query, "some": limit})
    return every(FoundCustomer, found)


_TABLES = {
    "subscription": "subscriptions", "invoice": "invoices", "charge": "charges",
    "refund": "refunds", "wallet": "wallets",
}  # fmt: skip


def _rows(condition: str) -> str:
    parts = []
    for kind, table in _TABLES.items():
        row = columns(FoundRow, kind=f"'{kind}'", customer="customer_id")
        parts.append(f"SELECT {row} FROM {table} WHERE {condition}")  # noqa: S608 - constants of ours
    return " UNION ALL ".join(parts)


_BY_ID = _rows("id = :id")
_BY_PART = _rows("id BETWEEN :low AND :high AND right(CAST(id AS text), length(:end)) = :end")


def by_id(connection: Connection, row_id: UUID) -> list[FoundRow]:
    """Find the subscription, invoice, charge, refund or wallet with an id.

    The id of a charge or refund is its Request-Id.
    """
    return every(FoundRow, connection.execute(text(_BY_ID), {"id": row_id}))


def by_part(connection: Connection, part: Part, limit: int) -> list[FoundRow]:
    """Find the same by a short id."""
    statement = text(f"{_BY_PART} LIMIT :limit")
    return every(FoundRow, connection.execute(statement, {**part._asdict(), "limit": limit}))


def by_gateway_number(connection: Connection, number: str) -> list[FoundRow]:
    """Find the charge with a gateway number."""
    row = columns(FoundRow, kind="'charge'", customer="customer_id")
    statement = text(f"SELECT {row} FROM charges WHERE gateway_number = :number")  # noqa: S608 - a constant of ours
    return every(FoundRow, connection.execute(statement, {"number": number}))

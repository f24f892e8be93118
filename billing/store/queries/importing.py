"""Statements for imports: insert many rows at once, leaving existing ones unchanged.

A batch is one JSON parameter: one array for each column took three times as long to write, and
values for each row six times.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.imports import Holder
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import LIVE, WalletStatus
from billing.store.queries.catalog import NewCustomer
from billing.store.rows import as_json, insert_new
from billing.store.statements import text

_THESE = "(ARRAY(SELECT json_array_elements_text(CAST(:{} AS json))))"
IDS = _THESE.format("ids")


class WalletToHash(NamedTuple):
    """A wallet whose token has no hash, or a hash under an earlier key."""

    id: UUID
    status: str
    token_sealed: bytes


def be_alone(connection: Connection) -> None:
    """Wait until no other import is writing; others wait for this transaction.

    A request to erase a customer does so too: the imports after it see that request.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('importing'))"))


def known_customers(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read the existing ones of these customers, with the columns that an import compares."""
    statement = text(
        f"SELECT id, name, phone, email FROM customers WHERE id = ANY {IDS}"  # noqa: S608 - ours
    )
    rows = connection.execute(statement, {"ids": as_json(list(set(ids)))})
    return {
        row.id: {"name": row.name.strip(), "phone": row.phone, "email": row.email.strip()}
        for row in rows
    }


def erased(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Read which of these customers were erased, or will be."""
    statement = text(
        "SELECT id FROM customers WHERE erase_requested_at IS NOT NULL"  # noqa: S608 - ours
        f" AND id = ANY {IDS}"
    )
    return set(connection.execute(statement, {"ids": as_json(list(set(ids)))}).scalars())


def known_references(
    connection: Connection, references: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Read the content of earlier imports with these references."""
    statement = text(
        f"SELECT reference, content FROM imports WHERE reference = ANY {IDS}"  # noqa: S608 - ours
    )
    rows = connection.execute(statement, {"ids": as_json(list(references))})
    return {row.reference: row.content for row in rows}


def of_reference(connection: Connection, reference: str) -> UUID | None:
    """Find the subscription that was imported with this reference."""
    statement = text("SELECT subscription_id FROM imports WHERE reference = :reference")
    found: UUID | None = connection.execute(statement, {"reference": reference}).scalar()
    return found


def holders(
    connection: Connection, customers: Sequence[str], token_hashes: Sequence[bytes]
) -> list[Holder]:
    """Read the wallets of these customers, and every wallet that has or had these tokens."""
    these = _THESE.format("hashes")
    statement = text(
        "SELECT customer_id, status, token_hash FROM wallets"  # noqa: S608 - constants of ours
        f" WHERE customer_id = ANY {IDS} OR token_hash = ANY (CAST({these} AS bytea[]))"
    )
    found = connection.execute(
        statement, {"ids": as_json(list(set(customers))), "hashes": as_json(list(token_hashes))}
    )
    return [Holder(row.customer_id, WalletStatus(row.status), row.token_hash) for row in found]


class Running(NamedTuple):
    """A subscription that ran in another system; its id follows when it is written."""

    customer_id: str
    plan_code: str
    status: SubscriptionStatus
    quantity: int
    amount: int
    start_at: datetime
    anchor_local: datetime
    anchor_index: int
    next_period_index: int
    next_due_at: datetime
    notice_for: int | None
    first_paid_at: datetime | None
    created_at: datetime


class Linked(NamedTuple):
    """A wallet that was linked in another system; its id and its token are added later."""

    customer_id: str
    status: WalletStatus
    masked_phone: str
    created_at: datetime
    linked_at: datetime
    expires_at: datetime
    next_notice_at: datetime | None


class Sealed(NamedTuple):
    """The id of a wallet, and its encrypted values."""

    id: UUID
    token_sealed: bytes
    token_hash: bytes
    phone_sealed: bytes


class Reference(NamedTuple):
    """The row of an imported subscription, for comparison with later imports."""

    reference: str
    subscription_id: UUID
    content: dict[str, str]


def add_customers(connection: Connection, new: Sequence[NewCustomer]) -> int:
    """Insert customers, and return how many are new."""
    return insert_new(connection, "customers", [each._asdict() for each in new])


def add_subscriptions(connection: Connection, new: Sequence[tuple[UUID, Running]]) -> int:
    """Insert subscriptions with their ids, and return how many are new."""
    rows = [{"id": identity, **running._asdict()} for identity, running in new]
    return insert_new(connection, "subscriptions", rows)


def add_references(connection: Connection, new: Sequence[Reference]) -> int:
    """Insert the contents of new subscriptions' rows, and return how many are new."""
    return insert_new(connection, "imports", [each._asdict() for each in new])


def add_wallets(connection: Connection, new: Sequence[tuple[Linked, Sealed]]) -> int:
    """Insert wallets, and return how many; skip those whose customer or token has a live one."""
    rows = [{**linked._asdict(), **sealed._asdict()} for linked, sealed in new]
    return insert_new(connection, "wallets", rows)


def lock_to_hash(
    connection: Connection, newest: bytes, after: UUID, limit: int
) -> list[WalletToHash]:
    """Lock wallets whose token has no hash under the newest key, in the order of their ids."""
    statement = text(
        "SELECT id, status, token_sealed FROM wallets WHERE token_sealed IS NOT NULL"
        " AND id > :after AND (token_hash IS NULL"
        " OR substring(token_hash FROM 1 FOR :length) <> :newest)"
        " ORDER BY id LIMIT :limit FOR UPDATE"
    )
    parameters = {"after": after, "newest": newest, "length": len(newest), "limit": limit}
    return [WalletToHash(*row) for row in connection.execute(statement, parameters)]


def set_hashes(connection: Connection, hashes: dict[UUID, bytes]) -> None:
    """Write token hashes, except of a live wallet whose token another live one has."""
    live = ", ".join(f"'{status}'" for status in LIVE)
    statement = text(f"""
        UPDATE wallets AS w SET token_hash = new.token_hash
        FROM json_populate_recordset(CAST(NULL AS wallets), CAST(:rows AS json)) AS new
        WHERE w.id = new.id AND NOT (w.status IN ({live}) AND EXISTS (
            SELECT 1 FROM wallets AS o WHERE o.token_hash = new.token_hash AND o.id <> w.id
            AND o.status IN ({live})))
    """)  # noqa: S608 - constants of ours
    rows = [{"id": wallet, "token_hash": value} for wallet, value in hashes.items()]
    connection.execute(statement, {"rows": as_json(rows)})

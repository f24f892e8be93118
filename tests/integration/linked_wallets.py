"""Customers with linked wallets, without the calls and transactions of a link.

A link is made once, for each clock and settings; its rows are copied for further customers. At the
gateway such a wallet is linked by the sandbox's control. `test_linked_wallets.py` compares both.
"""

import json
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

from billing.sandbox.process import SandboxProcess
from billing.services.context import Context
from tests.integration.reader import Reader

Row = dict[str, Any]


class Made(NamedTuple):
    """The rows of one link: a customer, its wallet, and their events."""

    customer: Row
    wallet: Row
    events: list[Row]


_COPY = """WITH customer AS (INSERT INTO customers SELECT (r).* FROM
        (SELECT jsonb_populate_record(NULL::customers, CAST(:customer AS jsonb)) AS r) AS a
        RETURNING 1),
    wallet AS (INSERT INTO wallets SELECT (r).* FROM
        (SELECT jsonb_populate_record(NULL::wallets, CAST(:wallet AS jsonb)) AS r) AS a
        RETURNING 1),
    told AS (INSERT INTO events ({columns}) SELECT {columns} FROM jsonb_populate_recordset(
        NULL::events, CAST(:events AS jsonb)) RETURNING 1)
    SELECT 1"""
_phones = count(1)
_made: dict[tuple[object, ...], Made] = {}


def keep(context: Context, reader: Reader | None, customer_id: str) -> None:
    """Keep the rows of a link that was just made."""
    if reader is None:
        return
    [customer] = _rows(reader, "customers", "id", customer_id)
    [wallet] = _rows(reader, "wallets", "customer_id", customer_id)
    events = _rows(reader, "events", "customer_id", customer_id)
    _made[_key_of(context)] = Made(customer, wallet, events)


def copy(
    context: Context, reader: Reader, gateway: SandboxProcess, customer_id: str,
    money: dict[str, int],
) -> bool:  # fmt: skip
    """Write the same rows for another customer, whose wallet has a new phone and token.

    False when no link was made with this clock and these settings, or without a reader.
    """
    made = _made.get(_key_of(context))
    if made is None or reader is None:
        return False
    phone = new_phone()
    linked = gateway.control("PUT", f"wallets/{customer_id}", money | {"phone": phone})
    wallet = made.wallet | {
        "phone_sealed": _sealed(context, phone),
        "token_sealed": _sealed(context, linked["token_id"]),
        "token_hash": _written(context.vault.hashes(linked["token_id"].encode())[0]),
        "masked_phone": linked["masked_phone_number"],
    }
    events = [{name: value for name, value in row.items() if name != "id"} for row in made.events]
    texts = [json.dumps(each) for each in (made.customer, wallet, events)]
    mine = {made.customer["id"]: customer_id, made.wallet["id"]: str(uuid4())}
    for old, new in mine.items():
        texts = [text.replace(old, new) for text in texts]
    parameters = dict(zip(("customer", "wallet", "events"), texts, strict=True))
    reader.rows(_COPY.format(columns=", ".join(events[0])), parameters)
    return True


def new_phone() -> str:
    """Return an OVO number that no other customer has."""
    return f"62{uuid4().int % 10**8:08d}{next(_phones):04d}"


def _key_of(context: Context) -> tuple[object, ...]:
    """What the rows of a link depend on."""
    told = context.settings.model_dump(exclude={"database_url", "doku_base_url", "redis_url"})
    return context.clock.now(), repr(sorted(told.items())), repr(context.limits)


def _sealed(context: Context, value: str) -> str:
    return _written(context.vault.seal(value.encode()))


def _written(value: bytes) -> str:
    """Write bytes as PostgreSQL does in JSON."""
    return "\\x" + value.hex()


def _rows(reader: Reader, table: str, column: str, value: str) -> list[Row]:
    order = "t.id" if table == "events" else "1"
    return [
        row["r"]
        for row in reader.rows(
            f"SELECT to_jsonb(t) AS r FROM {table} t WHERE {column} = :value ORDER BY {order}",
            {"value": value},
        )
    ]

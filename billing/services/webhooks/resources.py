"""Resources: what an event is about, as the HTTP interface lists it, read for many events at once.

An event of the engine, an API key or an endpoint has no resource. This module writes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.event_kinds import Resource, resource_of
from billing.services.reading import read_models
from billing.store.queries import resources as rows
from billing.store.queries.event_feed import FeedEvent


class Key(NamedTuple):
    """Which resource an event is about."""

    type: Resource
    id: object


Found: TypeAlias = dict[Key, NamedTuple]
"""Resources; one that does not exist is not in it."""


def key_of(event: FeedEvent) -> Key | None:
    """Return what an event is about; of a wallet without an id, its customer."""
    kind = resource_of(event.type)
    if kind is None:
        return None
    of_event: dict[Resource, object] = {
        Resource.CUSTOMER: event.customer,
        Resource.SUBSCRIPTION: event.subscription,
        Resource.INVOICE: event.invoice,
        Resource.CHARGE: event.charge,
    }
    found = of_event.get(kind) or event.details.get(kind.value)
    if kind in {Resource.WALLET, Resource.REFUND} and isinstance(found, str):
        found = _uuid(found)
    if kind is Resource.WALLET and found is None:
        found = event.customer
    return None if found is None else Key(kind, found)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def read(connection: Connection, events: Iterable[FeedEvent]) -> Found:
    """Read what some events are about: one statement for each kind of resource."""
    ids: dict[Resource, set[Any]] = {}
    for event in events:
        key = key_of(event)
        if key is not None:
            ids.setdefault(key.type, set()).add(key.id)
    found: Found = {}
    for kind, wanted in ids.items():
        for name, row in _READ[kind](connection, sorted(wanted, key=str)):
            found[Key(kind, name)] = row
    return found


_Pairs: TypeAlias = Iterable[tuple[object, NamedTuple]]


def _wallets(connection: Connection, names: Sequence[Any]) -> _Pairs:
    customers = [name for name in names if isinstance(name, str)]
    newest = rows.newest_wallets(connection, customers) if customers else {}
    ids = {name for name in names if isinstance(name, UUID)} | set(newest.values())
    by_id = {row.id: row for row in rows.wallets(connection, ids)}
    yield from by_id.items()
    for customer, wallet_id in newest.items():
        yield customer, by_id[wallet_id]


_READ: dict[Resource, Callable[[Connection, Sequence[Any]], _Pairs]] = {
    Resource.PLAN: lambda connection, ids: ((row.code, row) for row in rows.plans(connection, ids)),
    Resource.COUPON: lambda connection, ids: (
        (row.code, row) for row in rows.coupons_of(connection, ids)
    ),
    Resource.CUSTOMER: lambda connection, ids: (
        (row.id, read_models.masked(row)) for row in rows.customers(connection, ids)
    ),
    Resource.WALLET: _wallets,
    Resource.SUBSCRIPTION: lambda connection, ids: (
        (row.id, row) for row in rows.subscriptions(connection, ids)
    ),
    Resource.INVOICE: lambda connection, ids: (
        (row.id, row) for row in rows.invoices(connection, ids)
    ),
    Resource.CHARGE: lambda connection, ids: (
        (row.id, read_models.of_charge(row)) for row in rows.charges(connection, ids)
    ),
    Resource.REFUND: lambda connection, ids: (
        (row.id, row) for row in rows.refunds(connection, ids)
    ),
    Resource.CREDIT: lambda connection, ids: (
        (row.id, row) for row in rows.credits_of(connection, ids)
    ),
}

"""Customers: lock one before something of it changes; an erased customer never changes again."""

from sqlalchemy import Connection

from billing.domain import erasure
from billing.domain.errors import IllegalMove, NotKnown
from billing.store.queries import catalog


def lock(connection: Connection, customer_id: str) -> None:
    """Lock a customer. Raises NotKnown, or IllegalMove if it was erased or is being erased."""
    _check(customer_id, catalog.lock_erasure(connection, customer_id))


def check(connection: Connection, customer_id: str) -> None:
    """The same without the lock, for a caller that holds one that an erasure waits for."""
    _check(customer_id, catalog.erasure(connection, customer_id))


def _check(customer_id: str, found: catalog.Erasure | None) -> None:
    if found is None:
        raise NotKnown(
            f"no customer has the id {customer_id!r}",
            field="customer",
            hint="see: billing customer list",
        )
    refused = erasure.refusal(customer_id, *found)
    if refused is not None:
        raise IllegalMove(refused)

"""Confirming: an action that a person has read a preview of acts once, and only on what was read.

The preview carries the newest event of the subscription; every change of it has a later one.
"""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import BillingError
from billing.services.context import Context, Request, once
from billing.store.queries import commands, pages, subscriptions

Act = Callable[[Context, Request | None], object]


class Changed(BillingError):
    """The subscription has changed since the preview was made."""


def act_once(
    context: Context, subscription_id: UUID, seen: int, request: Request, act: Act
) -> None:  # fmt: skip
    """Run a service that stores the key itself, unless something has changed since `seen`.

    A key that was used before acts no second time. Raises Changed, or what the service raises.
    """
    with context.database.transaction() as connection:
        _lock(connection, subscription_id)
        _check(connection, subscription_id, seen, request)
        act(context.joined(connection), request)


def act_once_with_key(
    context: Context, subscription_id: UUID, seen: int, request: Request, act: Act
) -> None:  # fmt: skip
    """Run a service that knows no keys, and store the key in its transaction."""

    def keyed(inside: Context, wanted: Request | None) -> None:
        def do(_connection: Connection, _now: object) -> dict[str, object]:
            act(inside, None)
            return {}

        once(inside, wanted, do)

    act_once(context, subscription_id, seen, request, keyed)


def ask_once(
    context: Context, subscription_id: UUID, seen: int, request: Request, act: Act
) -> None:  # fmt: skip
    """Run a service that calls the gateway, outside of any transaction, then store the key."""
    with context.database.transaction() as connection:
        if pages.is_key_used(connection, request.key):
            return
        _check(connection, subscription_id, seen, request)
    act(context, None)
    with context.database.transaction() as connection:
        now = context.clock.now()
        if commands.begin(connection, request.key, request.task, request.arguments, now):
            commands.finish(connection, request.key, {})


def _lock(connection: Connection, subscription_id: UUID) -> None:
    """Lock in the order of a cancellation; the second lock is for a subscription that ended."""
    subscriptions.lock_with_siblings(connection, subscription_id)
    subscriptions.lock(connection, [subscription_id])


def _check(connection: Connection, subscription_id: UUID, seen: int, request: Request) -> None:
    if pages.is_key_used(connection, request.key):
        return  # the service gives the first result
    if pages.newest_event(connection, subscription_id) != seen:
        raise Changed("something has changed since you read this")

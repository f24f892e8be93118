"""Confirming: an action that a person has read a preview of acts once, and only on what was read.

The preview carries the newest event of the subscription; every change of it has a later one. It
also carries its money and dates, which time alone changes, and another subscription too.
"""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import BillingError
from billing.services.context import Context, Request, once
from billing.services.reading import effects
from billing.services.reading.effects import Effect
from billing.store.queries import commands, pages, subscriptions

Act = Callable[[Context, Request | None], object]
CHANGED = "something has changed since you read this"


class Changed(BillingError):
    """The subscription has changed since the preview was made."""


class Basis(NamedTuple):
    """What a person has read: the newest event, and whether an effect is the one that was shown."""

    seen: int
    is_same: Callable[[Effect | None], bool]


def act_once(
    context: Context, subscription_id: UUID, basis: Basis, request: Request, act: Act
) -> None:  # fmt: skip
    """Run a service that stores the key itself, if it does what the preview showed.

    The effect is measured in the transaction of the action, which is rolled back when money or
    dates are others. A key that was used before acts no second time. Raises Changed, or what the
    service raises.
    """
    with context.database.transaction() as connection:
        _lock(connection, subscription_id)
        if pages.is_key_used(connection, request.key):
            act(context.joined(connection), request)  # the service gives the first result
            return
        _check(connection, subscription_id, basis)
        found = effects.measured(
            context, connection, subscription_id, lambda inside: act(inside, request)
        )
        if not basis.is_same(found):
            raise Changed(CHANGED)


def act_once_with_key(
    context: Context, subscription_id: UUID, basis: Basis, request: Request, act: Act
) -> None:  # fmt: skip
    """Run a service that knows no keys, and store the key in its transaction."""

    def keyed(inside: Context, wanted: Request | None) -> None:
        def do(_connection: Connection, _now: object) -> dict[str, object]:
            act(inside, None)
            return {}

        once(inside, wanted, do)

    act_once(context, subscription_id, basis, request, keyed)


def ask_once(
    context: Context, subscription_id: UUID, basis: Basis, request: Request, act: Act
) -> None:  # fmt: skip
    """Run a service that calls the gateway, outside of any transaction, then store the key."""
    with context.database.transaction() as connection:
        if pages.is_key_used(connection, request.key):
            once(context.joined(connection), request, lambda _connection, _now: {})
            return
        _check(connection, subscription_id, basis)
        if not basis.is_same(None):
            raise Changed(CHANGED)
    act(context, None)
    with context.database.transaction() as connection:
        now = context.clock.now()
        if commands.begin(connection, request.key, request.task, request.arguments, now):
            commands.finish(connection, request.key, {})


def _lock(connection: Connection, subscription_id: UUID) -> None:
    """Lock in the order of a cancellation; the second lock is for a subscription that ended."""
    subscriptions.lock_with_siblings(connection, subscription_id)
    subscriptions.lock(connection, [subscription_id])


def _check(connection: Connection, subscription_id: UUID, basis: Basis) -> None:
    if pages.newest_event(connection, subscription_id) != basis.seen:
        raise Changed(CHANGED)

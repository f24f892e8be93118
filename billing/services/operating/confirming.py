"""Confirming: an action that a person has read a preview of acts once, and only on what was read.

The preview carries the newest event of the subscription; every change of it has a later one. It
also carries its money and dates, which time alone changes, and another subscription too.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection

from billing.domain.errors import BillingError
from billing.domain.payloads import Json
from billing.services.context import Context, Request, once
from billing.services.reading import effects
from billing.services.reading.effects import Effect
from billing.store.queries import commands, pages, subscriptions

Act = Callable[[Context, Request | None], object]
CHANGED = "something has changed since you read this"


class Changed(BillingError):
    """The subscription has changed since the preview was made."""


def _nothing(_effect: Effect) -> None:
    """Check nothing more."""


class Basis(NamedTuple):
    """What a person has read: the newest event, and whether an effect is the one that was shown.

    `check` raises what else forbids an effect that was measured.
    """

    seen: int
    is_same: Callable[[Effect | None], bool]
    check: Callable[[Effect], None] = _nothing


def act_once(
    context: Context, subscription_id: UUID, basis: Basis, request: Request, act: Act
) -> None:  # fmt: skip
    """Run a service that stores the key itself, if it does what the preview showed.

    The effect is measured in the transaction of the action, which is rolled back when money or
    dates are others. A key that was used before acts no second time. Raises Changed, or what the
    service raises.
    """
    with context.database.transaction() as connection:
        lock(connection, subscription_id)
        act_locked(context, connection, subscription_id, basis, request, act)


def act_locked(
    context: Context,
    connection: Connection,
    subscription_id: UUID,
    basis: Basis,
    request: Request,
    act: Act,
) -> None:
    """Do the same in a transaction that holds the locks, and that an error must roll back."""
    if pages.is_key_used(connection, request.key):
        act(context.joined(connection), request)  # the service gives the first result
        return
    check_seen(connection, subscription_id, basis.seen)
    found = effects.measured(
        context, connection, subscription_id, lambda inside: act(inside, request)
    )
    if not basis.is_same(found):
        raise Changed(CHANGED)
    basis.check(found)


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
        check_seen(connection, subscription_id, basis.seen)
        if not basis.is_same(None):
            raise Changed(CHANGED)
    act(context, None)
    with context.database.transaction() as connection:
        now = context.clock.now()
        if commands.begin(connection, request.key, request.task, request.arguments, now):
            commands.finish(connection, request.key, {})


def lock(connection: Connection, subscription_id: UUID) -> None:
    """Lock in the order of a cancellation; the second lock is for a subscription that ended."""
    subscriptions.lock_with_siblings(connection, subscription_id)
    subscriptions.lock(connection, [subscription_id])


def check_seen(connection: Connection, subscription_id: UUID, seen: int) -> None:
    """Raise Changed when the subscription has a later event than the one that was read."""
    if pages.newest_event(connection, subscription_id) != seen:
        raise Changed(CHANGED)


def digest(arguments: Json, effect: Effect | None) -> str:
    """Return one value for what a preview shows: values of the form, rupiah, and days.

    Days and not instants: what happens now happens some seconds later than in the preview.
    """
    shown: list[object] = [arguments]
    if effect is not None:
        effect = effect.measured or effect
        after = effect.after
        row, coming = after.row, after.next_invoice
        days = (row.ended_at, row.cancel_at, row.pause_at, row.resume_at, row.change_at,
                row.paid_through_at, None if coming is None else coming.due_at)  # fmt: skip
        shown += [
            effect.amount_charged, effect.amount_refunded, effect.amount_credited,
            effect.invoices_voided_count, effect.amount_voided, after.credit_balance,
            row.status, row.plan, row.quantity, row.amount, row.coupon, row.next_plan,
            row.next_quantity, [at and at.date().isoformat() for at in days],
            coming and [coming.amount, coming.amount_from_credit],
        ]  # fmt: skip
    return sha256(orjson.dumps(shown, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()

"""Previewing: what a cancellation or a change would do with money, without doing it.

The service itself runs, in a transaction that is rolled back, so that a preview cannot differ from
what would happen.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.events import Actor
from billing.domain.subscription import RefundPolicy, SubscriptionStatus
from billing.services.context import Context
from billing.services.subscriptions import canceling, changing
from billing.services.subscriptions.canceling import NOW
from billing.store.queries import previews
from billing.store.queries.previews import Sums


class Preview(NamedTuple):
    """What would become of a subscription and its money, in whole rupiah.

    `amount_credited` is negative when an invoice uses credit.
    """

    subscription: UUID
    status: SubscriptionStatus
    next_due_at: datetime | None
    cancel_at: datetime | None
    change_at: datetime | None
    amount_charged: int
    amount_refunded: int
    amount_credited: int
    invoices_voided: int
    amount_voided: int


class _Undo(Exception):
    """Rolls the transaction back, and carries what was found in it."""

    def __init__(self, found: Preview) -> None:
        super().__init__()
        self.found = found


def cancel(
    context: Context,
    subscription_id: UUID,
    by: Actor,
    *,
    at: str | datetime = NOW,
    refund: RefundPolicy = RefundPolicy.NONE,
    unlink: bool = False,
) -> Preview:
    """Preview a cancellation. Raises what the cancellation would raise."""
    return _undone(
        context,
        subscription_id,
        lambda inside: canceling.cancel(
            inside, subscription_id, by, at=at, refund=refund, unlink=unlink
        ),
    )


def change(
    context: Context,
    subscription_id: UUID,
    by: Actor,
    *,
    plan_code: str | None = None,
    quantity: int | None = None,
    amount: int | None = None,
    at: str = NOW,
) -> Preview:
    """Preview a change of terms. Raises what the change would raise."""
    return _undone(
        context,
        subscription_id,
        lambda inside: changing.change(
            inside, subscription_id, by, plan_code=plan_code, quantity=quantity, amount=amount,
            at=at,
        ),
    )  # fmt: skip


def _undone(context: Context, subscription_id: UUID, act: Callable[[Context], object]) -> Preview:
    try:
        with context.database.transaction() as connection:
            before = previews.sums(connection, subscription_id)
            act(context.joined(connection))
            _roll_back(_difference(connection, subscription_id, before))
    except _Undo as undo:
        return undo.found


def _roll_back(found: Preview) -> NoReturn:
    raise _Undo(found)


def _difference(connection: Connection, subscription_id: UUID, before: Sums) -> Preview:
    after = previews.sums(connection, subscription_id)
    state = previews.state(connection, subscription_id)
    return Preview(
        subscription=subscription_id,
        status=state.status,
        next_due_at=state.next_due_at,
        cancel_at=state.cancel_at,
        change_at=state.change_at,
        amount_charged=after.owed - before.owed + after.voided - before.voided,
        amount_refunded=after.refunded - before.refunded,
        amount_credited=after.credit - before.credit,
        invoices_voided=after.invoices_voided - before.invoices_voided,
        amount_voided=after.voided - before.voided,
    )

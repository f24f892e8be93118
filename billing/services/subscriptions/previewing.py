"""Previewing: what a cancellation or a change would do with money, without doing it.

The service itself runs, in a transaction that is rolled back, so that a preview cannot differ from
what would happen.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import NotKnown
from billing.domain.events import Actor
from billing.domain.subscription import ENDED, RefundPolicy, SubscriptionStatus
from billing.services.context import Context
from billing.services.subscriptions import canceling, changing
from billing.services.subscriptions.canceling import NOW
from billing.store.queries import previews, subscriptions
from billing.store.queries.previews import Sums


class Preview(NamedTuple):
    """What would become of a subscription and its money, in whole rupiah.

    For what is planned for a date, the amounts are those of that date, and None when something else
    comes before it: other periods, a pause or resumption, or the outcome of a charge.
    `amount_charged` is what the wallet pays: an invoice less the credit that it uses, which
    `amount_credited` counts as negative.
    """

    subscription: UUID
    status: SubscriptionStatus
    next_due_at: datetime | None
    cancel_at: datetime | None
    change_at: datetime | None
    amount_charged: int | None
    amount_refunded: int | None
    amount_credited: int | None
    invoices_voided_count: int | None
    amount_voided: int | None


class _Before(NamedTuple):
    """A subscription's money before."""

    sums: Sums
    invoices: list[UUID]

    @classmethod
    def now(cls, connection: Connection, subscription_id: UUID) -> "_Before":
        """Read it."""
        found = previews.sums(connection, subscription_id)
        return cls(found, previews.invoice_ids(connection, subscription_id))


class _At:
    """A clock that stays at one instant."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        """Return the instant."""
        return self._at


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

    def act(inside: Context, connection: Connection) -> Preview:
        before = _Before.now(connection, subscription_id)
        due = previews.state(connection, subscription_id).next_due_at
        canceling.cancel(inside, subscription_id, by, at=at, refund=refund, unlink=unlink)
        found = _difference(connection, subscription_id, before)
        if found.cancel_at is None or found.status in ENDED:
            return found
        if due is not None and due < found.cancel_at:
            return _with_amounts(found, None)
        if previews.is_attempted_before(connection, subscription_id, found.cancel_at):
            return _with_amounts(found, None)
        if not subscriptions.may_end(connection, subscription_id):
            return _with_amounts(found, None)  # something else comes first: a resumption, an answer
        # An overdue cancellation is applied by the same function, as of its own date.
        canceling.cancel(replace(inside, clock=_At(found.cancel_at)), subscription_id, by)
        then = _difference(connection, subscription_id, before)
        return _with_amounts(found, then)

    return _undone(context, subscription_id, act)


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

    def act(inside: Context, connection: Connection) -> Preview:
        before = _Before.now(connection, subscription_id)
        changing.change(
            inside, subscription_id, by, plan_code=plan_code, quantity=quantity, amount=amount,
            at=at,
        )  # fmt: skip
        return _difference(connection, subscription_id, before)

    return _undone(context, subscription_id, act)


def _undone(
    context: Context, subscription_id: UUID, act: Callable[[Context, Connection], Preview]
) -> Preview:
    try:
        with context.database.transaction() as connection:
            if not previews.exists(connection, subscription_id):
                raise NotKnown(f"no subscription has the id {subscription_id}")
            _roll_back(act(context.joined(connection), connection))
    except _Undo as undo:
        return undo.found


def _roll_back(found: Preview) -> NoReturn:
    raise _Undo(found)


def _with_amounts(found: Preview, then: Preview | None) -> Preview:
    return found._replace(
        amount_charged=then.amount_charged if then else None,
        amount_refunded=then.amount_refunded if then else None,
        amount_credited=then.amount_credited if then else None,
        invoices_voided_count=then.invoices_voided_count if then else None,
        amount_voided=then.amount_voided if then else None,
    )


def _difference(connection: Connection, subscription_id: UUID, before: _Before) -> Preview:
    after = previews.sums(connection, subscription_id)
    state = previews.state(connection, subscription_id)
    return Preview(
        subscription=subscription_id,
        status=state.status,
        next_due_at=state.next_due_at,
        cancel_at=state.cancel_at,
        change_at=state.change_at,
        amount_charged=previews.owed_of_others(connection, subscription_id, before.invoices),
        amount_refunded=after.refunded - before.sums.refunded,
        amount_credited=after.credit - before.sums.credit,
        invoices_voided_count=after.invoices_voided - before.sums.invoices_voided,
        amount_voided=after.voided - before.sums.voided,
    )

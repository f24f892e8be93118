"""Effects: what an action would do to a subscription, its dates and its money.

The action itself runs, in a transaction that is rolled back, so that a preview cannot differ from
what would happen. Nothing is written, and the gateway is not called.
"""

from collections.abc import Callable
from typing import NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import NotKnown
from billing.services.context import Context
from billing.services.reading import forecasting, read_models
from billing.services.reading.results import NextInvoice
from billing.store.queries import listing, listing_rows, pages, previews
from billing.store.queries.previews import Sums


class Side(NamedTuple):
    """A subscription before or after an action."""

    row: listing_rows.Subscription
    next_invoice: NextInvoice | None
    credit_balance: int


class Effect(NamedTuple):
    """Both sides, and the money that would move at once, in whole rupiah.

    `amount_charged` is what the wallet pays of new invoices; `amount_credited` is negative when
    credit is used. `seen` is the newest event before: when another one comes, the effect is old.
    An amount is None when something else comes before the date of the action.
    """

    before: Side
    after: Side
    amount_charged: int | None
    amount_refunded: int | None
    amount_credited: int | None
    invoices_voided_count: int | None
    amount_voided: int | None
    seen: int
    measured: "Effect | None" = None
    """What was measured, when amounts of a later date are shown in its place."""


class _Undo(Exception):
    """Rolls the transaction back, and carries what was found in it."""

    def __init__(self, found: Effect) -> None:
        super().__init__()
        self.found = found


def preview(context: Context, subscription_id: UUID, act: Callable[[Context], object]) -> Effect:
    """Run an action, measure its effect, and undo it. Raises what the action would raise."""
    try:
        with context.database.transaction() as connection:
            _roll_back(measured(context, connection, subscription_id, act))
    except _Undo as undo:
        return undo.found


def measured(
    context: Context,
    connection: Connection,
    subscription_id: UUID,
    act: Callable[[Context], object],
) -> Effect:
    """Run an action in a transaction, and measure its effect."""
    seen = pages.newest_event(connection, subscription_id)
    before = _side(connection, subscription_id)
    sums = previews.sums(connection, subscription_id)
    invoices = previews.invoice_ids(connection, subscription_id)
    act(context.joined(connection))
    charged = previews.owed_of_others(connection, subscription_id, invoices)
    after = _side(connection, subscription_id)
    are = previews.sums(connection, subscription_id)
    return _effect(before, after, sums, are, charged + _due_at_once(context, before, after), seen)


def _due_at_once(context: Context, before: Side, after: Side) -> int:
    """Return what the next tick will charge for a period that begins now by this action."""
    now, coming = context.clock.now(), after.next_invoice
    was_due = before.next_invoice is not None and before.next_invoice.due_at <= now
    if coming is None or coming.due_at > now or was_due:
        return 0
    return coming.amount - coming.amount_from_credit


def newest_event(context: Context, subscription_id: UUID) -> int:
    """Return the newest event of a subscription, by which a page knows that it is old."""
    with context.database.transaction() as connection:
        return pages.newest_event(connection, subscription_id)


def _effect(before: Side, after: Side, were: Sums, are: Sums, charged: int, seen: int) -> Effect:
    return Effect(
        before=before,
        after=after,
        amount_charged=charged,
        amount_refunded=are.refunded - were.refunded,
        amount_credited=are.credit - were.credit,
        invoices_voided_count=are.invoices_voided - were.invoices_voided,
        amount_voided=are.voided - were.voided,
        seen=seen,
    )


def _side(connection: Connection, subscription_id: UUID) -> Side:
    row = read_models.known_subscription(connection, subscription_id)
    customer = listing.customer(connection, row.customer)
    if customer is None:
        raise NotKnown(f"no customer has the id {row.customer!r}")
    following = forecasting.next_invoice(connection, subscription_id)
    return Side(row, following, customer.credit_balance)


def _roll_back(found: Effect) -> NoReturn:
    raise _Undo(found)

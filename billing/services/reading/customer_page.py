"""Customer page: everything about one customer that an operator or support asks for.

Whether the customer was charged twice, why nothing is charged, what comes next; and every movement
of money. Nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.domain.filters import (
    ChargeFilter,
    CreditFilter,
    EventFilter,
    RefundFilter,
    WalletFilter,
)
from billing.domain.paging import Page
from billing.services.context import Context
from billing.services.reading import lists, read_models, results
from billing.store.queries import engine, listing, listing_rows
from billing.store.queries.balances import ShownCredit

ROWS_MAX = 100
"""Rows of each kind, the newest."""
AHEAD_MAX = 5
"""Live subscriptions of which the page says what comes next."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A charge, a refund or a credit, as a line in the list of movements of money."""

    kind: str
    id: str
    at: datetime
    amount: int
    status: str
    why: str
    gateway_number: str
    invoice: UUID | None
    back: bool
    """Whether the money goes to the customer."""


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """A customer, and what was found; `cut` names the lists that have more rows.

    `debts` are owed besides the open invoices of live subscriptions.
    """

    detail: results.CustomerInDetail
    ahead: Sequence[results.Ahead]
    more_live: int
    debts: Sequence[results.Invoice]
    wallets: Sequence[listing_rows.Wallet]
    movements: Sequence[Movement]
    events: Sequence[listing_rows.Event]
    cut: Sequence[str]
    stopped_at: datetime | None


def read(context: Context, customer_id: str) -> CustomerPage:
    """Read the page of a customer. Raises NotKnown."""
    if not customer_id.isprintable():
        raise read_models.no_customer(customer_id)
    with context.database.transaction() as connection:
        database = context.joined(connection).database
        detail = read_models.customer(database, customer_id, ROWS_MAX)
        live = listing.running_of(connection, customer_id, AHEAD_MAX)
        page = Page(ROWS_MAX)
        wallets = lists.wallets(database, WalletFilter(customer=customer_id), page)
        charges = lists.charges(database, ChargeFilter(customer=customer_id), page)
        refunds = lists.refunds(database, RefundFilter(customer=customer_id), page)
        credited = lists.credits_of(database, CreditFilter(customer_id), page)
        events = lists.events(database, EventFilter(customer=customer_id), page)
        movements = [
            *(of_charge(each.row) for each in charges.rows),
            *map(of_refund, refunds.rows),
            *map(of_credit, credited.rows),
        ]
        cursors = {
            "wallets": wallets.next_cursor, "charges": charges.next_cursor,
            "refunds": refunds.next_cursor, "credits": credited.next_cursor,
            "events": events.next_cursor,
        }  # fmt: skip
        return CustomerPage(
            detail=detail,
            ahead=[read_models.ahead(database, each) for each in live.ids],
            more_live=live.total - len(live.ids),
            debts=read_models.debts(connection, customer_id, ways=False),
            wallets=wallets.rows,
            movements=sorted(movements, key=lambda each: each.at, reverse=True),
            events=events.rows,
            cut=[name for name, cursor in cursors.items() if cursor is not None],
            stopped_at=engine.state(connection).stopped_at,
        )


def of_charge(row: listing_rows.Charge) -> Movement:
    """Return a charge as a movement."""
    code = None if row.code == row.fault else row.code
    said = " · ".join(str(each) for each in (row.fault, code, row.message) if each)
    return Movement(
        "charge", str(row.id), row.created_at, row.amount, row.status, said, row.gateway_number,
        row.invoice, back=False,
    )  # fmt: skip


def of_refund(row: listing_rows.Refund) -> Movement:
    """Return a refund as a movement."""
    said = " · ".join(each for each in (row.reason, row.code, row.message) if each)
    return Movement(
        "refund", str(row.id), row.created_at, row.amount, row.status, said, "", row.invoice,
        back=True,
    )  # fmt: skip


def of_credit(row: ShownCredit) -> Movement:
    """Return a credit as a movement."""
    return Movement(
        "credit", str(row.id), row.created_at, row.amount, "", row.reason, "", row.invoice,
        back=True,
    )  # fmt: skip

"""Why: whether a customer was charged twice, why nothing is charged, and what comes next.

Nothing is written, and the gateway is not called.
"""

from datetime import datetime
from typing import NamedTuple

from billing.domain.documents import Inline
from billing.services.reading import read_models, results
from billing.store.queries import customer_rows, engine, listing, listing_rows
from billing.store.session import Database

ENDINGS_MAX = 3
"""Ends of subscriptions that are named, the latest."""
INVOICES_MAX = 100
"""Invoices of a customer that are read, the newest."""


class Running(NamedTuple):
    """A running subscription with what it waits for, what is owed, and the next period."""

    row: Inline[listing_rows.Subscription]
    prospect: Inline[results.Prospect]
    open_invoices: list[results.Invoice]
    next_invoice: results.NextInvoice | None


class Why(NamedTuple):
    """The answers about one customer; `charging_stopped_at` is set while charging is stopped.

    `subscriptions` are the running ones, of which there are `subscriptions_count`. `debts` are
    invoices that are owed besides their open ones: uncollectible, or of an ended subscription.
    `endings` are the latest ends of subscriptions, also planned ones, with who caused them and why.
    """

    customer: str
    charged_twice: bool
    verdict: str
    charging_stopped_at: datetime | None
    wallet: results.Wallet | None
    subscriptions: list[Running]
    subscriptions_count: int
    debts: list[results.Invoice]
    endings: list[customer_rows.Ending]


def read(database: Database, customer_id: str, limit: int) -> Why:
    """Answer for one customer, with `limit` subscriptions at most. Raises NotKnown."""
    detail = read_models.customer(database, customer_id, INVOICES_MAX)
    with database.transaction() as connection:
        running = listing.running_of(connection, customer_id, limit)
        debts = read_models.debts(connection, customer_id, ways=True)
        endings = customer_rows.endings(connection, customer_id, ENDINGS_MAX)
        stopped_at = engine.state(connection).stopped_at
    return Why(
        customer=customer_id,
        charged_twice=detail.charged_twice,
        verdict=detail.verdict,
        charging_stopped_at=stopped_at,
        wallet=detail.wallet,
        subscriptions=[Running._make(read_models.ahead(database, each)) for each in running.ids],
        subscriptions_count=running.total,
        debts=debts,
        endings=endings,
    )

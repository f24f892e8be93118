"""Customer page: everything about one customer that an operator or support asks for.

Whether the customer was charged twice, why nothing is charged, what comes next; and every movement
of money. Nothing is written.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.invoice import InvoiceStatus
from billing.domain.subscription import OPENING, SubscriptionStatus
from billing.domain.wallet import LIVE
from billing.services.context import Context
from billing.services.reading import forecasting, next_steps, read_models, results
from billing.services.reading.results import local
from billing.store.queries import customer_rows, forecast, listing, listing_rows, prospects, twins
from billing.store.queries.customer_rows import Moved

ROWS_MAX = 100
"""Rows of each kind, the newest."""
AHEAD_MAX = 5
"""Live subscriptions of which the page says what comes next."""
OWED_MAX = 200
"""Invoices that are owed, the open ones first."""


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """A customer, and what was found; `cut` names the lists that have more rows.

    `declined` says of an owed invoice why and when its newest charge was declined. `debts` are
    owed besides the open invoices of live subscriptions.
    """

    detail: results.CustomerInDetail
    ahead: Sequence[results.Ahead]
    more_live: int
    debts: Sequence[results.Invoice]
    declined: dict[UUID, tuple[str, datetime]]
    wallets: Sequence[listing_rows.Wallet]
    movements: Sequence[Moved]
    events: Sequence[listing_rows.Event]
    cut: Sequence[str]
    stopped_at: datetime | None


def read(context: Context, customer_id: str) -> CustomerPage:
    """Read the page of a customer, with few statements. Raises NotKnown."""
    if not customer_id.isprintable():
        raise read_models.no_customer(customer_id)
    limit, now = ROWS_MAX + 1, context.clock.now()
    with context.database.transaction() as connection:
        known = customer_rows.customer(connection, customer_id)
        if known is None:
            raise read_models.no_customer(customer_id)
        row, stopped_at = known
        subscribed = customer_rows.subscriptions(connection, customer_id, ROWS_MAX, AHEAD_MAX)
        paid, totals = listing.payments_of(connection, customer_id, ROWS_MAX)
        doubles = twins.of_customer(connection, customer_id)
        wallets = customer_rows.wallets(connection, customer_id, limit)
        moved = customer_rows.movements(connection, customer_id, limit)
        events = customer_rows.events(connection, customer_id, limit)
        owed = customer_rows.owed(connection, customer_id, OWED_MAX)
        steps = next_steps.of_invoices(connection, [each.invoice for each in owed])
        invoices = [_shown(each.invoice, steps[each.invoice.id]) for each in owed]
        live = [each for each in subscribed if each.ended_at is None][:AHEAD_MAX]
        ahead = _ahead(connection, live, invoices, row.wallet_status, now)
    ended = {each.invoice.id for each in owed if each.has_ended}
    is_debt = [each.row.status is not InvoiceStatus.OPEN or each.row.id in ended
               for each in invoices]  # fmt: skip
    counts = Counter(each.kind for each in moved)
    counts.update({"wallet": len(wallets), "event": len(events)})
    return CustomerPage(
        detail=read_models.in_detail(row, None, subscribed[:ROWS_MAX], paid, totals, doubles),
        ahead=ahead,
        more_live=row.subscriptions_count - len(ahead),
        debts=list(compress(invoices, is_debt)),
        declined={
            each.invoice.id: (each.fault or "unknown", each.declined_at)
            for each in owed
            if each.declined_at is not None
        },
        wallets=[local(each) for each in wallets[:ROWS_MAX]],
        movements=_newest(moved),
        events=[local(each, each.timezone) for each in events[:ROWS_MAX]],
        cut=[kind for kind, count in counts.items() if count > ROWS_MAX],
        stopped_at=stopped_at,
    )


def _newest(moved: Sequence[Moved]) -> list[Moved]:
    """Return at most ROWS_MAX of each kind, the newest first."""
    shown = [
        each for kind in ("charge", "refund", "credit")
        for each in [every for every in moved if every.kind == kind][:ROWS_MAX]
    ]  # fmt: skip
    return sorted(shown, key=lambda each: each.at, reverse=True)


def _shown(row: listing_rows.Invoice, steps: results.Steps) -> results.Invoice:
    return results.Invoice(local(row, row.timezone), steps, retries_at=[], charges=[], refunds=[])


def _ahead(
    connection: Connection,
    live: Sequence[listing_rows.Subscription],
    owed: Sequence[results.Invoice],
    wallet_status: str | None,
    now: datetime,
) -> list[results.Ahead]:
    """Return what each subscription waits for and what comes next, with one statement for all."""
    coming = {
        each.payer.subscription_id: forecasting.following(each)
        for each in forecast.subscriptions_of(connection, [row.id for row in live])
    }
    found = []
    for row in live:
        mine = [each for each in owed if each.row.subscription == row.id]
        outlook = _outlook(row, mine, wallet_status, now)
        following = coming.get(row.id) if row.status in OPENING else None
        found.append(results.Ahead(
            local(row, row.timezone),
            next_steps.of_outlook(connection, row, outlook, mine),
            [each for each in mine if each.row.status is InvoiceStatus.OPEN],
            None if following is None else local(following, row.timezone),
        ))  # fmt: skip
    return found


def _outlook(
    row: listing_rows.Subscription,
    owed: Sequence[results.Invoice],
    wallet_status: str | None,
    now: datetime,
) -> prospects.Outlook:
    """Return what `prospects.outlook` reads, without the counts, from what is read already."""
    ends = [each for each in (row.cancel_at, row.pause_at) if each is not None]
    planned = [*ends, *([row.change_at] if row.change_at else [])]
    if row.status == SubscriptionStatus.PAUSED and row.resume_at is not None:
        planned.append(row.resume_at)
    due = row.next_due_at
    return prospects.Outlook(
        events=0, invoices=0,
        oldest_debt=owed[0].row.id if owed else None,
        due_to_open=due is not None and due <= now and all(due < each for each in ends),
        due_to_end=row.cancel_at is not None and row.cancel_at <= now,
        late=any(each <= now for each in planned),
        live_wallet=wallet_status if wallet_status in LIVE else None,
    )  # fmt: skip

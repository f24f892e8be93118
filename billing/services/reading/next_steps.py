"""Next steps: what a row waits for, and what an operator can do about it.

Nothing is written, and the gateway is not called.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import ways_out
from billing.domain.invoice import InvoiceStatus
from billing.domain.periods import zone
from billing.domain.subscription import OPENING, SubscriptionStatus
from billing.domain.waiting import WALLET, waits_for
from billing.domain.wallet import LIVE, WalletStatus
from billing.domain.ways_out import Facts, Need, State, Table
from billing.services.reading.results import Invoice, Prospect, Steps, Way
from billing.store.queries import listing_rows as rows
from billing.store.queries import prospects
from billing.store.queries.prospects import Chargeable, Outlook


def ways(
    table: Table[State], status: str, facts: Facts, place: str | None = None, **names: object
) -> list[Way]:
    """Return the commands that are accepted now, or from when; `place` is a timezone."""
    named = ways_out.of(table, status, **names)
    possible = [known for way in named if (known := way.among(facts)) is not None]
    return [
        Way(
            way.command,
            way.does,
            way.from_at.astimezone(zone(place)) if way.from_at and place else None,
        )
        for way in possible
    ]


def of_charge(connection: Connection, row: rows.Charge, horizon: timedelta | None) -> list[Way]:
    """Return what an operator can do about a charge; without a horizon its age is not checked."""
    owed = row.invoice_status in {InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE}
    known = prospects.chargeable(connection, [row.invoice]) if owed else {}
    standing = prospects.charges(connection, [row.id])[row.id]
    facts = {
        Need.CHARGEABLE: any(each.is_accepted for each in known.values()),
        Need.DECIDABLE: standing.decidable(horizon),
    }
    return ways(
        ways_out.CHARGE, row.status, facts, row.timezone, charge=row.id,
        invoice=row.invoice,
    )  # fmt: skip


def of_refunds(
    connection: Connection, refunds: Sequence[rows.Refund], horizon: timedelta | None
) -> dict[UUID, list[Way]]:
    """Return what an operator can do about each refund."""
    standings = prospects.refunds(connection, [row.id for row in refunds])
    return {
        row.id: ways(
            ways_out.REFUND, row.status,
            {
                Need.DECIDABLE: standings[row.id].decidable(horizon),
                Need.WAITS: standings[row.id].waits,
                Need.KEPT: standings[row.id].kept > 0,
            },
            row.timezone, refund=row.id, invoice=row.invoice,
        )
        for row in refunds
    }  # fmt: skip


def of_wallet(row: rows.Wallet) -> list[Way]:
    """Return what an operator can do about a wallet: the live one, or else the latest."""
    facts = {
        Need.NO_WALLET: row.status not in LIVE,
        Need.LINK_OPEN: row.status == WalletStatus.PENDING,
    }
    return ways(ways_out.WALLET, row.status, facts, customer=row.customer)


def of_invoices(connection: Connection, invoices: Sequence[rows.Invoice]) -> dict[UUID, Steps]:
    """Return what each open invoice waits for, and the commands that its state allows."""
    ids = [row.id for row in invoices]
    known = prospects.standings(connection, ids) if ids else {}
    accepted = prospects.chargeable(connection, ids) if ids else {}
    return {
        row.id: Steps(
            waits_for(*known[row.id]) if row.id in known else _paid_before(accepted.get(row.id)),
            ways(
                ways_out.INVOICE, row.status,
                {Need.CHARGEABLE: row.id in accepted and accepted[row.id].is_accepted},
                invoice=row.id,
            ),
        )
        for row in invoices
    }  # fmt: skip


def waiting_of_invoices(
    connection: Connection, invoices: Sequence[rows.Invoice]
) -> dict[UUID, Steps]:  # fmt: skip
    """Return what each open invoice waits for, without commands."""
    ids = [row.id for row in invoices]
    known = prospects.standings(connection, ids) if ids else {}
    return {
        row.id: Steps(waits_for(*known[row.id]) if row.id in known else None, [])
        for row in invoices
    }  # fmt: skip


def _paid_before(debt: Chargeable | None) -> str | None:
    """Return which invoice must be paid before an uncollectible one."""
    if debt is None or debt.first in {None, debt.invoice}:
        return None
    return f"an older invoice, which is paid first: {debt.first}"


def of_subscription(
    connection: Connection, row: rows.Subscription, invoices: Sequence[Invoice]
) -> Prospect:
    """Return the same for a subscription with its `invoices`, and its number of events."""
    return of_outlook(connection, row, prospects.outlook(connection, row.id), invoices)


def of_outlook(
    connection: Connection,
    row: rows.Subscription,
    outlook: Outlook,
    invoices: Sequence[Invoice],
) -> Prospect:
    """Return the same from an outlook; nothing is read if what is owed is in `invoices`."""
    debt = outlook.oldest_debt
    facts = {
        Need.CHARGEABLE: debt is not None and _is_accepted(connection, debt, invoices),
        Need.NO_WALLET: outlook.live_wallet is None,
        Need.LINK_OPEN: outlook.live_wallet == WalletStatus.PENDING,
        Need.NOTHING_LATE: not outlook.late,
        Need.NO_END_DUE: not outlook.due_to_end,
    }
    return Prospect(
        _waits_for(row, outlook, invoices),
        ways(
            ways_out.SUBSCRIPTION, row.status, facts,
            subscription=row.id, customer=row.customer, invoice=debt,
        ),
        outlook.events,
        outlook.invoices,
    )  # fmt: skip


def waiting_of_subscription(
    connection: Connection, row: rows.Subscription, invoices: Sequence[Invoice]
) -> Prospect:
    """Return what a subscription with its `invoices` waits for, without commands."""
    outlook = prospects.outlook(connection, row.id)
    return Prospect(_waits_for(row, outlook, invoices), [], outlook.events, outlook.invoices)


def _is_accepted(connection: Connection, debt: UUID, invoices: Sequence[Invoice]) -> bool:
    """Whether a retry of an invoice is accepted; use the invoices already read if possible."""
    for each in invoices:
        if each.row.id == debt:
            return any(" retry " in way.command for way in each.steps.ways_out)
    return prospects.chargeable(connection, [debt])[debt].is_accepted


def _waits_for(row: rows.Subscription, outlook: Outlook, invoices: Sequence[Invoice]) -> str | None:
    if row.held_cause is not None:
        return f"an operator, because it is held: {row.held_cause}"
    if row.status == SubscriptionStatus.PENDING:
        return WALLET
    first = next((each for each in invoices if each.row.status is InvoiceStatus.OPEN), None)
    if first is not None:
        return first.steps.waits_for
    is_linked = outlook.live_wallet == WalletStatus.ACTIVE
    if row.status in OPENING and not is_linked and not outlook.due_to_end:
        return WALLET
    if row.status in OPENING and outlook.due_to_open:
        return "the next tick, which opens the period that has begun"
    return "its end, after earlier charges are settled" if outlook.due_to_end else None

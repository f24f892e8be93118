"""Results of the read models: rows, each with its details.

An instant is in the plan's timezone. This module does not read or decide anything.
"""

from datetime import datetime
from typing import NamedTuple, TypeGuard, TypeVar
from uuid import UUID

from billing.domain.documents import Hidden, Inline
from billing.domain.forecast import Reason
from billing.domain.instants import HOME_TIMEZONE
from billing.domain.periods import zone
from billing.store.queries import engine, listing_rows
from billing.store.queries.twins import Twins

R = TypeVar("R", bound=NamedTuple)


class Way(NamedTuple):
    """A command that an operator can use, and from when it is accepted if that is not yet."""

    command: str
    does: str
    from_at: datetime | None


class Steps(NamedTuple):
    """What an invoice waits for, and the commands that its state allows."""

    waits_for: str | None
    ways_out: list[Way]


class Prospect(NamedTuple):
    """The same for a subscription, and how many events and invoices it has."""

    waits_for: str | None
    ways_out: list[Way]
    events_count: int
    invoices_count: int


class Customer(NamedTuple):
    """A customer, with phone and e-mail address masked."""

    row: Inline[listing_rows.Customer]
    masked_phone: str
    masked_email: str


class Wallet(NamedTuple):
    """A wallet, with the commands that its status allows."""

    row: Inline[listing_rows.Wallet]
    ways_out: list[Way]


class CustomerInDetail(NamedTuple):
    """A customer with wallet, subscriptions, and all payments and refunds by invoice."""

    customer: Inline[Customer]
    wallet: Wallet | None
    subscriptions: list[listing_rows.Subscription]
    totals: Inline[listing_rows.Totals]
    charged_twice: bool
    refunded_in_full: bool
    twins: list[Twins]
    verdict: str
    invoices: list[listing_rows.Payment]


class Refund(NamedTuple):
    """A refund, with the commands that its status allows."""

    row: Inline[listing_rows.Refund]
    ways_out: list[Way]


class Charge(NamedTuple):
    """A charge, and what it waits for."""

    row: Inline[listing_rows.Charge]
    waits_for: str | None


class ChargeInDetail(NamedTuple):
    """A charge with its refunds, and the commands that its status allows."""

    charge: Inline[Charge]
    ways_out: list[Way]
    refunds: list[Refund]


class Invoice(NamedTuple):
    """An invoice with its charges, refunds and next attempts."""

    row: Inline[listing_rows.Invoice]
    steps: Inline[Steps]
    retries_at: list[datetime]
    charges: list[Charge]
    refunds: list[Refund]


class NextInvoice(NamedTuple):
    """The invoice of the next period, if nothing changes before: as it is now.

    `amount` includes extra lines and a coupon; `amount_from_credit` of it is paid by credit.
    """

    due_at: datetime
    amount: int
    amount_from_credit: int


class Subscription(NamedTuple):
    """A subscription with its newest invoices and all open ones, oldest first.

    `invoices_count` counts all of them, and `invoices_path` lists them over HTTP.
    """

    row: Inline[listing_rows.Subscription]
    prospect: Inline[Prospect]
    invoices: list[Invoice]
    invoices_path: str
    next_invoice: NextInvoice | None


class Ahead(NamedTuple):
    """A subscription with what it waits for, its open invoices, and what comes next."""

    row: listing_rows.Subscription
    prospect: Prospect
    open_invoices: list[Invoice]
    next_invoice: NextInvoice | None


class Life(NamedTuple):
    """A subscription with its newest invoices, and the events of it and its wallets.

    `earlier` counts the invoices that are left out, and what was paid of them.
    """

    subscription: Subscription
    events: list[listing_rows.LifeEvent]
    wallets: list[listing_rows.Wallet]
    since: datetime
    earlier: listing_rows.Invoiced


class Engine(NamedTuple):
    """The state of the engine, and who stopped charging."""

    row: Inline[engine.EngineState]
    stopped_by: str | None


class ForecastLine(NamedTuple):
    """A charge that will be made; `needs_link`: no wallet can be charged by then.

    `plan` is that of an open invoice, or the present one of a subscription.
    """

    due_at: datetime
    customer: str
    subscription: UUID
    period_index: int
    amount: int
    cause: Reason
    needs_link: bool
    plan: Hidden[str]


def local(row: R, timezone: str | None = None) -> R:
    """Return a row with its instants in a timezone, or in the engine's own."""
    place = zone(timezone or HOME_TIMEZONE)
    return row._make(value.astimezone(place) if _is_instant(value) else value for value in row)


def _is_instant(value: object) -> TypeGuard[datetime]:
    return isinstance(value, datetime) and value.tzinfo is not None

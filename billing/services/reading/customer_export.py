"""Customer export: everything that is stored of one person, with phone and e-mail in full.

It is for the person who asks what is stored. Nothing of it goes into a log. Nothing is written.
"""

from typing import NamedTuple, TypeVar

from billing.domain.documents import Inline
from billing.domain.filters import (
    ChargeFilter,
    CreditFilter,
    EventFilter,
    InvoiceFilter,
    RefundFilter,
    SubscriptionFilter,
    WalletFilter,
)
from billing.domain.paging import Listed, Page
from billing.services.context import Context
from billing.services.operating import token_keys
from billing.services.reading import read_models
from billing.services.reading.results import local
from billing.store.queries import balances, listing, listing_rows, lists, personal_data
from billing.store.queries.personal_data import Imported

R = TypeVar("R", bound=NamedTuple)

ROWS_MAX = 10_000
"""Maximum number of rows of each kind; the newest are exported, of credits the oldest."""


class ExportedCustomer(NamedTuple):
    """A customer with phone and e-mail in full."""

    row: Inline[listing_rows.Customer]
    phone: str
    email: str


class ExportedWallet(NamedTuple):
    """A wallet without its token; `phone` is null when none is stored or no key decrypts it."""

    row: Inline[listing_rows.Wallet]
    phone: str | None


class CustomerExport(NamedTuple):
    """Everything that is stored of one person; `cut` names the lists that were too long."""

    customer: ExportedCustomer
    wallets: list[ExportedWallet]
    subscriptions: list[listing_rows.Subscription]
    invoices: list[listing_rows.Invoice]
    charges: list[listing_rows.Charge]
    refunds: list[listing_rows.Refund]
    credits: list[balances.ShownCredit]
    events: list[listing_rows.Event]
    imports: list[Imported]
    cut: list[str]


def export(context: Context, customer_id: str, rows_max: int = ROWS_MAX) -> CustomerExport:
    """Return everything that is stored of a customer. Raises NotKnown."""
    page, cut = Page(rows_max), list[str]()

    def whole(name: str, found: Listed[R]) -> list[R]:
        if found.next_cursor is not None:
            cut.append(name)
        return [local(row, getattr(row, "timezone", None)) for row in found.rows]

    with context.database.transaction() as connection:
        row = listing.customer(connection, customer_id)
        if row is None:
            raise read_models.no_customer(customer_id)
        phones = personal_data.sealed_phones(connection, customer_id)
        wallets = lists.wallets(connection, WalletFilter(customer_id), page)
        subscribed = lists.subscriptions(connection, SubscriptionFilter(customer_id), page)
        invoices = lists.invoices(connection, InvoiceFilter(customer_id), page)
        charges = lists.charges(connection, ChargeFilter(customer_id), page)
        refunds = lists.refunds(connection, RefundFilter(customer_id), page)
        credits_of = lists.credits_of(connection, CreditFilter(customer_id), page)
        events = lists.events(connection, EventFilter(customer_id), page)
        imported = personal_data.imported(connection, customer_id, rows_max + 1)
    if len(imported) > rows_max:
        cut.append("imports")
    return CustomerExport(
        customer=ExportedCustomer(local(row), row.phone, row.email),
        wallets=[
            ExportedWallet(each, _opened(context, phones.get(each.id)))
            for each in whole("wallets", wallets)
        ],
        subscriptions=whole("subscriptions", subscribed),
        invoices=whole("invoices", invoices),
        charges=whole("charges", charges),
        refunds=whole("refunds", refunds),
        credits=whole("credits", credits_of),
        events=whole("events", events),
        imports=imported[:rows_max],
        cut=cut,
    )


def _opened(context: Context, sealed: bytes | None) -> str | None:
    if not sealed or not token_keys.opens(context, sealed):
        return None
    return context.vault.open(sealed).decode() or None

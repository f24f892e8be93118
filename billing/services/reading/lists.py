"""Lists: pages of plans, customers, subscriptions, money and events, limited by filters.

Each function returns one page, newest first unless it says otherwise, and the cursor of the next
page. An unknown customer, plan, subscription or invoice in a filter raises NotKnown, a wrong cursor
or span InvalidValue. Details of one row are in `read_models`. Nothing is written.
"""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import NotKnown
from billing.domain.filters import (
    ChargeFilter,
    CouponFilter,
    CreditFilter,
    CustomerFilter,
    EventFilter,
    InvoiceFilter,
    PlanFilter,
    RefundFilter,
    SubscriptionFilter,
    WalletFilter,
)
from billing.domain.paging import Listed, Page, checked_span
from billing.services.reading import read_models, results
from billing.services.reading.results import local
from billing.store.queries import balances, catalog
from billing.store.queries import coupons as coupon_rows
from billing.store.queries import listing_rows as rows
from billing.store.queries import lists as statements
from billing.store.session import Database

R = TypeVar("R")
S = TypeVar("S")


def plans(database: Database, wanted: PlanFilter, page: Page) -> Listed[rows.Plan]:
    """Return plans, in the order of their codes."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        found = statements.plans(connection, wanted, page)
    return _shown(found, lambda row: local(row, row.timezone))


def coupons(database: Database, wanted: CouponFilter, page: Page) -> Listed[coupon_rows.Coupon]:
    """Return coupons, in the order of their codes."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        found = statements.coupons(connection, wanted, page)
    return _shown(found, local)


def customers(database: Database, wanted: CustomerFilter, page: Page) -> Listed[results.Customer]:
    """Return customers."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        found = statements.customers(connection, wanted, page)
    return _shown(found, read_models.masked)


def wallets(database: Database, wanted: WalletFilter, page: Page) -> Listed[rows.Wallet]:
    """Return wallets."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(connection, customer=wanted.customer)
        found = statements.wallets(connection, wanted, page)
    return _shown(found, local)


def subscriptions(
    database: Database, wanted: SubscriptionFilter, page: Page
) -> Listed[rows.Subscription]:
    """Return subscriptions, without their invoices."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(connection, customer=wanted.customer, plan=wanted.plan)
        found = statements.subscriptions(connection, wanted, page)
    return _shown(found, lambda row: local(row, row.timezone))


def invoices(database: Database, wanted: InvoiceFilter, page: Page) -> Listed[results.Invoice]:
    """Return invoices, with their charges and refunds."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(
            connection, customer=wanted.customer, plan=wanted.plan,
            subscription=wanted.subscription,
        )  # fmt: skip
        found = statements.invoices(connection, wanted, page)
        return Listed(read_models.with_charges(connection, found.rows), found.next_cursor)


def invoice_rows(database: Database, wanted: InvoiceFilter, page: Page) -> Listed[rows.Invoice]:
    """Return invoices, without their charges and refunds."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(
            connection, customer=wanted.customer, plan=wanted.plan,
            subscription=wanted.subscription,
        )  # fmt: skip
        found = statements.invoices(connection, wanted, page)
    return _shown(found, lambda row: local(row, row.timezone))


def charges(database: Database, wanted: ChargeFilter, page: Page) -> Listed[results.Charge]:
    """Return charges."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(
            connection, customer=wanted.customer, plan=wanted.plan, invoice=wanted.invoice,
            subscription=wanted.subscription,
        )  # fmt: skip
        found = statements.charges(connection, wanted, page)
    return _shown(found, read_models.of_charge)


def refunds(database: Database, wanted: RefundFilter, page: Page) -> Listed[rows.Refund]:
    """Return refunds."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(connection, customer=wanted.customer, plan=wanted.plan, invoice=wanted.invoice)
        found = statements.refunds(connection, wanted, page)
    return _shown(found, lambda row: local(row, row.timezone))


def credits_of(
    database: Database, wanted: CreditFilter, page: Page
) -> Listed[balances.ShownCredit]:
    """Return a customer's credits, oldest first."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(connection, customer=wanted.customer)
        found = statements.credits_of(connection, wanted, page)
    return _shown(found, local)


def events(database: Database, wanted: EventFilter, page: Page) -> Listed[rows.Event]:
    """Return events."""
    checked_span(wanted.since, wanted.until)
    with database.transaction() as connection:
        _check(connection, customer=wanted.customer, subscription=wanted.subscription)
        found = statements.events(connection, wanted, page)
    return _shown(found, lambda row: local(row, row.timezone))


def _check(
    connection: Connection,
    *,
    customer: str | None = None,
    plan: str | None = None,
    subscription: UUID | None = None,
    invoice: UUID | None = None,
) -> None:
    """Refuse a filter by a row that does not exist: an empty list would hide the mistake."""
    if customer is not None and (
        not customer.isprintable() or catalog.customer(connection, customer) is None
    ):
        raise read_models.no_customer(customer)
    if plan is not None and (not plan.isprintable() or catalog.plan(connection, plan) is None):
        raise NotKnown(
            f"no plan has the code {plan!r}", field="plan", hint="see: billing plan list"
        )
    if subscription is not None:
        read_models.known_subscription(connection, subscription)
    if invoice is not None:
        read_models.known_invoice(connection, invoice)


def _shown(found: Listed[R], shown: Callable[[R], S]) -> Listed[S]:
    return Listed([shown(row) for row in found.rows], found.next_cursor)

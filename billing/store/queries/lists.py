"""Statements of the lists: one page of rows by filters, with the names that users see.

Each filter has an index that finds its rows in the order of the list, or all rows of one customer;
for a status that most rows have, the list is read in its own order. The plan of invoices, charges
and refunds is the one that the invoice was opened for. The rows and their columns are in
`listing_rows`.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import filters
from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.invoice import InvoiceStatus
from billing.domain.paging import Listed, Page
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.store.expressions import listed
from billing.store.queries import balances, counted, listing
from billing.store.queries import coupons as coupon_rows
from billing.store.queries import listing_rows as rows
from billing.store.queries.paging import NEWEST, Order, Search

PLANS = Order("plans", "plans", "p", {"code": str}, descending=False)
COUPONS = Order("coupons", "coupons", "k", {"code": str}, descending=False)
CUSTOMERS = Order("customers", "customers", "c", {"created_at": datetime, "id": str})
WALLETS = Order("wallets", "wallets", "w", NEWEST)
SUBSCRIPTIONS = Order("subscriptions", "subscriptions", "s", NEWEST)
INVOICES = Order(
    "invoices", "invoices", "i",
    {"created_at": datetime, "period_index": int, "change_index": int, "id": UUID},
)  # fmt: skip
# Rows of the days ahead, in the order in which they are due.
SUBSCRIPTIONS_AHEAD = Order(
    "subscriptions ahead", "subscriptions", "s", {"next_due_at": datetime, "id": UUID},
    descending=False,
)  # fmt: skip
INVOICES_AHEAD = Order(
    "invoices ahead", "invoices", "i", {"next_attempt_at": datetime, "id": UUID}, descending=False
)
CHARGES = Order("charges", "charges", "c", {"created_at": datetime, "attempt": int, "id": UUID})
REFUNDS = Order("refunds", "refunds", "r", {"created_at": datetime, "sequence": int, "id": UUID})
# Those of one plan.
INVOICES_OF, CHARGES_OF, REFUNDS_OF = (
    order._replace(of_few=True) for order in (INVOICES, CHARGES, REFUNDS)
)
CREDITS = Order("credits", "credits", "b", {"id": int}, descending=False)
EVENTS = Order(
    "events", "events", "e", {"timestamp": datetime, "id": int}, columns={"timestamp": "at"}
)

_OF_CUSTOMER = "SELECT id FROM subscriptions WHERE customer_id = :customer"
_EVENTS_OF_CUSTOMER = f"""SELECT id FROM events WHERE subscription_id IN ({_OF_CUSTOMER})
    UNION ALL SELECT id FROM events WHERE customer_id = :customer AND subscription_id IS NULL"""  # noqa: S608 - the same

# By the customer's index: no index finds the charges of one subscription.
_CHARGES_OF_SUBSCRIPTION = """c.customer_id = (
    SELECT customer_id FROM subscriptions WHERE id = :subscription)
    AND c.subscription_id = :subscription"""

# The statuses that most rows have, and those on the path of a plain charge, have no index of their
# own. An index's condition is repeated here, for a planner that does not know the value.
_RARE_WALLETS = "w.status <> 'active'"
_EXPIRING_WALLETS = "w.status = 'active' AND w.expires_at < :expires_before"
_RARE_SUBSCRIPTIONS = "s.status <> 'active'"
_CLOSED_INVOICES = listed("i.status", (InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.VOID))
_OPEN_INVOICES = "i.status = 'open'"
# The words of an index that only this list may use: see DECISIONS 97.
_OPEN_INVOICES_OF_PLAN = "(i.status || '') = 'open'"
_RARE_CHARGES = "c.status NOT IN ('in_flight', 'succeeded')"
_UNRESOLVED_CHARGES = listed("c.status", UNRESOLVED)
_RARE_REFUNDS = "r.status <> 'succeeded'"


def _in_catalog(search: Search, alias: str, status: filters.CatalogStatus | None) -> Search:
    if status is filters.CatalogStatus.ACTIVE:
        search.where(f"{alias}.archived_at IS NULL")
    elif status is filters.CatalogStatus.ARCHIVED:
        search.where(f"{alias}.archived_at IS NOT NULL")
    return search


def _counted(
    search: Search, name: filters.Counted | None, at: datetime | None, **more: object
) -> None:
    if name is None:
        return
    parts = {"fault": counted.OF_FAULT, "code": counted.OF_CODE, "before": counted.BEFORE}
    condition = counted.CONDITIONS[name].format(
        **{key: "" if more.get(key) is None else part for key, part in parts.items()}
    )
    values = {"at": at, **more}
    search.where(condition, **{key: each for key, each in values.items() if f":{key}" in condition})


def plans(connection: Connection, wanted: filters.PlanFilter, page: Page) -> Listed[rows.Plan]:
    """Read a page of plans, in the order of their codes."""
    search = Search(PLANS, wanted, page).created(wanted.since, wanted.until)
    _in_catalog(search, "p", wanted.status)
    return search.read(connection, rows.Plan, listing.PLANS)


def coupons(
    connection: Connection, wanted: filters.CouponFilter, page: Page
) -> Listed[coupon_rows.Coupon]:
    """Read a page of coupons, in the order of their codes."""
    search = Search(COUPONS, wanted, page).created(wanted.since, wanted.until)
    _in_catalog(search, "k", wanted.status)
    return search.read(connection, coupon_rows.Coupon, coupon_rows.SHOWN)


def customers(
    connection: Connection, wanted: filters.CustomerFilter, page: Page
) -> Listed[rows.Customer]:
    """Read a page of customers, newest first, with the status of their wallets."""
    search = Search(CUSTOMERS, wanted, page).created(wanted.since, wanted.until)
    return search.read(connection, rows.Customer, listing.CUSTOMERS)


def wallets(
    connection: Connection, wanted: filters.WalletFilter, page: Page
) -> Listed[rows.Wallet]:
    """Read a page of wallets, newest first."""
    search = Search(WALLETS, wanted, page).created(wanted.since, wanted.until)
    search.where("w.customer_id = :customer", customer=wanted.customer)
    if wanted.status not in {None, WalletStatus.ACTIVE}:
        search.where(_RARE_WALLETS)
    search.where("w.status = :status", status=wanted.status)
    search.where(_EXPIRING_WALLETS, expires_before=wanted.expires_before)
    return search.read(connection, rows.Wallet, listing.WALLETS)


def subscriptions(
    connection: Connection, wanted: filters.SubscriptionFilter, page: Page
) -> Listed[rows.Subscription]:
    """Read a page of subscriptions, newest first, or those of the days ahead as they are due."""
    order = SUBSCRIPTIONS_AHEAD if wanted.counted in filters.OF_PERIODS_AHEAD else SUBSCRIPTIONS
    search = Search(order, wanted, page).created(wanted.since, wanted.until)
    search.where("s.customer_id = :customer", customer=wanted.customer)
    search.where("s.plan_code = :plan", plan=wanted.plan)
    if wanted.status not in {None, SubscriptionStatus.ACTIVE}:
        search.where(_RARE_SUBSCRIPTIONS)
    search.where("s.status = :status", status=wanted.status)
    _counted(search, wanted.counted, wanted.at, before=wanted.before)
    return search.read(connection, rows.Subscription, listing.SUBSCRIPTIONS)


def invoices(
    connection: Connection, wanted: filters.InvoiceFilter, page: Page
) -> Listed[rows.Invoice]:
    """Read a page of invoices, newest first; of one moment, the latest period first.

    Those of the days ahead are in the order in which they are due.
    """
    order = INVOICES if wanted.plan is None else INVOICES_OF
    if wanted.counted in filters.OF_INVOICES_AHEAD:
        order = INVOICES_AHEAD
    search = Search(order, wanted, page).created(wanted.since, wanted.until)
    search.where("i.subscription_id = :subscription", subscription=wanted.subscription)
    search.where(f"i.subscription_id IN ({_OF_CUSTOMER})", customer=wanted.customer)
    if wanted.status is InvoiceStatus.OPEN:
        search.where(_OPEN_INVOICES if wanted.plan is None else _OPEN_INVOICES_OF_PLAN)
    elif wanted.status not in {None, InvoiceStatus.PAID}:
        search.where(_CLOSED_INVOICES)
    search.where("i.status = :status", status=wanted.status)
    search.where("i.plan_code = :plan", plan=wanted.plan)
    _counted(search, wanted.counted, wanted.at, before=wanted.before)
    return search.read(connection, rows.Invoice, listing.INVOICES)


def charges(
    connection: Connection, wanted: filters.ChargeFilter, page: Page
) -> Listed[rows.Charge]:
    """Read a page of charges, newest first."""
    order = CHARGES if wanted.plan is None else CHARGES_OF
    search = Search(order, wanted, page).created(wanted.since, wanted.until)
    search.where("c.invoice_id = :invoice", invoice=wanted.invoice)
    search.where("c.customer_id = :customer", customer=wanted.customer)
    search.where(_CHARGES_OF_SUBSCRIPTION, subscription=wanted.subscription)
    if wanted.status is ChargeStatus.IN_FLIGHT:
        search.where(_UNRESOLVED_CHARGES)
    elif wanted.status not in {None, ChargeStatus.SUCCEEDED}:
        search.where(_RARE_CHARGES)
    search.where("c.status = :status", status=wanted.status)
    search.where("c.plan_code = :plan", plan=wanted.plan)
    _counted(
        search, wanted.counted, wanted.at, before=wanted.before, fault=wanted.fault,
        code=wanted.code,
    )  # fmt: skip
    return search.read(connection, rows.Charge, listing.CHARGES)


def refunds(
    connection: Connection, wanted: filters.RefundFilter, page: Page
) -> Listed[rows.Refund]:
    """Read a page of refunds, newest first."""
    order = REFUNDS if wanted.plan is None else REFUNDS_OF
    search = Search(order, wanted, page).created(wanted.since, wanted.until)
    search.where("r.customer_id = :customer", customer=wanted.customer)
    search.where("r.invoice_id = :invoice", invoice=wanted.invoice)
    if wanted.status not in {None, RefundStatus.SUCCEEDED}:
        search.where(_RARE_REFUNDS)
    search.where("r.status = :status", status=wanted.status)
    search.where("r.plan_code = :plan", plan=wanted.plan)
    _counted(search, wanted.counted, wanted.at, before=wanted.before)
    return search.read(connection, rows.Refund, listing.REFUNDS)


def credits_of(
    connection: Connection, wanted: filters.CreditFilter, page: Page
) -> Listed[balances.ShownCredit]:
    """Read a page of a customer's credits, oldest first."""
    search = Search(CREDITS, wanted, page).created(wanted.since, wanted.until)
    search.where("b.customer_id = :customer", customer=wanted.customer)
    return search.read(connection, balances.ShownCredit, balances.SHOWN)


def events(connection: Connection, wanted: filters.EventFilter, page: Page) -> Listed[rows.Event]:
    """Read a page of events, newest first."""
    search = Search(EVENTS, wanted, page).created(wanted.since, wanted.until, "at")
    search.where("e.subscription_id = :subscription", subscription=wanted.subscription)
    search.where(f"e.id IN ({_EVENTS_OF_CUSTOMER})", customer=wanted.customer)
    search.where("e.kind = ANY(CAST(:kinds AS text[]))", kinds=list(wanted.kinds) or None)
    return search.read(connection, rows.Event, listing.EVENTS)

"""Read models: one customer, wallet, subscription, invoice, charge or refund in detail.

Every result is a row or one of `results`; `billing.domain.documents` makes them ready for JSON. An
instant is in the plan's timezone. Nothing is written, and the gateway is not called.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import dunning
from billing.domain.dunning import RetryTerms
from billing.domain.errors import NotKnown
from billing.domain.filters import InvoiceFilter, SubscriptionFilter
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.paging import Page
from billing.domain.periods import zone
from billing.domain.subscription import SubscriptionStatus
from billing.domain.waiting import CONFIRMING
from billing.services.collecting import charge_facts
from billing.services.reading import forecasting, next_steps, results
from billing.services.reading.double_charges import refunded_in_full, verdict
from billing.services.reading.results import local
from billing.store.queries import balances, engine, listing, lists, twins
from billing.store.queries import charges as charging
from billing.store.queries import listing_rows as rows
from billing.store.queries import refunds as returning
from billing.store.session import Database

PERIODS_SHOWN = 12
"""How many of a subscription's newest invoices are shown with it."""
PERIODS_MAX = 10_000
"""Maximum number of periods of one subscription; the newest are returned."""
DEBTS_MAX = 100
"""Maximum number of invoices that a customer owes besides those of running subscriptions."""
LIFE_MAX = 20_000
"""Maximum number of events of one subscription; the newest are returned."""
_EVER = datetime.min.replace(tzinfo=UTC)

T = TypeVar("T")


def customer(database: Database, customer_id: str, limit: int) -> results.CustomerInDetail:
    """Return one customer with wallet, subscriptions, and all payments and refunds by invoice."""
    with database.transaction() as connection:
        row = listing.customer(connection, customer_id)
        if row is None:
            raise no_customer(customer_id)
        wallet = listing.wallet_of(connection, customer_id)
        mine = SubscriptionFilter(customer=customer_id)
        subscribed = lists.subscriptions(connection, mine, Page(limit)).rows
        paid, totals = listing.payments_of(connection, customer_id, limit)
        doubles = twins.of_customer(connection, customer_id)
    return in_detail(row, wallet, subscribed, paid, totals, doubles)


def in_detail(
    row: rows.Customer,
    wallet: rows.Wallet | None,
    subscribed: Sequence[rows.Subscription],
    paid: Sequence[rows.Payment],
    totals: rows.Totals,
    doubles: list[twins.Twins],
) -> results.CustomerInDetail:
    """Return a customer in detail, from rows."""
    payments = [local(each, each.timezone) for each in paid]
    twice = totals.charged_twice or any(each.periods_count for each in doubles)
    return results.CustomerInDetail(
        customer=masked(row),
        wallet=_wallet(wallet) if wallet else None,
        subscriptions=[local(each, each.timezone) for each in subscribed],
        totals=totals,
        charged_twice=twice,
        refunded_in_full=twice and refunded_in_full(totals, doubles),
        twins=doubles,
        verdict=verdict(totals, payments, doubles),
        invoices=payments,
    )


def no_customer(customer_id: str) -> NotKnown:
    """Return the refusal of an unknown customer."""
    return NotKnown(
        f"no customer has the id {customer_id!r}",
        field="customer",
        hint="see: billing customer list",
    )


def masked(row: rows.Customer) -> results.Customer:
    """Return a customer with phone and e-mail address masked."""
    email = row.email
    return results.Customer(
        local(row),
        masked_phone=f"****{row.phone[-4:]}" if row.phone else "",
        masked_email=f"{email[0]}***{email[email.index('@') :]}" if email else "",
    )


def wallets_ending(database: Database, until: datetime, limit: int) -> list[rows.EndingWallet]:
    """Return wallets whose token expires by an instant, with the affected subscriptions.

    A wallet that no live subscription needs is left out.
    """
    with database.transaction() as connection:
        found = listing.wallets_ending(connection, until, limit)
    return [each._replace(row=local(each.row)) for each in found]


def wallet_of(database: Database, customer_id: str) -> results.Wallet:
    """Return a customer's live wallet, or the latest one. Raises NotKnown without any."""
    with database.transaction() as connection:
        if listing.customer(connection, customer_id) is None:
            raise no_customer(customer_id)
        row = listing.wallet_of(connection, customer_id)
    if row is None:
        remedy = f"link one with: billing wallet link {customer_id}"
        raise NotKnown(f"customer {customer_id!r} has no wallet", hint=remedy)
    return _wallet(row)


def _wallet(row: rows.Wallet) -> results.Wallet:
    return results.Wallet(local(row), next_steps.of_wallet(row))


def subscription(
    database: Database, subscription_id: UUID, periods: int = PERIODS_SHOWN
) -> results.Subscription:
    """Return one subscription with its newest invoices, oldest first, and their charges."""
    with database.transaction() as connection:
        return _subscription(connection, subscription_id, periods)


def life(database: Database, subscription_id: UUID, periods: int = PERIODS_MAX) -> results.Life:
    """Return a subscription with its newest invoices, and the events of it and its wallets."""
    with database.transaction() as connection:
        found = _subscription(connection, subscription_id, periods)
        all_of_it = listing.invoiced_of(connection, subscription_id)
        shown = [invoice.row for invoice in found.invoices]
        paid = sum(each.amount for each in shown if each.status is InvoiceStatus.PAID)
        left_out = all_of_it.invoices - len(shown)
        since = min(each.period_start_at for each in shown) if left_out else _EVER
        life = listing.life_of(connection, subscription_id, since, LIFE_MAX)
        wallets = listing.wallets_of(connection, found.row.customer, LIFE_MAX)
    return results.Life(
        subscription=found,
        events=[local(row, found.row.timezone) for row in life],
        wallets=[
            local(row, found.row.timezone)
            for row in wallets
            if _ends(row, since) >= found.row.created_at
        ],
        since=since,
        earlier=rows.Invoiced(left_out, all_of_it.amount - paid),
    )


def _ends(wallet: rows.Wallet, since: datetime) -> datetime:
    return wallet.closed_at or wallet.expires_at or since


def subscription_without_ways(
    connection: Connection, subscription_id: UUID
) -> results.Subscription:  # fmt: skip
    """Return one subscription as `subscription` does, without commands: fewer statements."""
    return _subscription(connection, subscription_id, PERIODS_SHOWN, ways=False)


def _subscription(
    connection: Connection, subscription_id: UUID, periods: int, *, ways: bool = True
) -> results.Subscription:
    row = known_subscription(connection, subscription_id)
    mine = InvoiceFilter(subscription=subscription_id)
    invoiced = lists.invoices(connection, mine, Page(periods)).rows
    owes = row.status in {SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID}
    if owes and len(invoiced) == periods:
        owed = mine._replace(status=InvoiceStatus.OPEN)
        known = {each.id for each in invoiced}
        others = lists.invoices(connection, owed, Page(PERIODS_MAX)).rows
        invoiced += [each for each in others if each.id not in known]
    in_order = with_charges(connection, sorted(invoiced, key=_place), ways=ways)
    coming = forecasting.next_invoice(connection, subscription_id)
    prospect = next_steps.of_subscription if ways else next_steps.waiting_of_subscription
    return results.Subscription(
        local(row, row.timezone),
        prospect(connection, row, in_order),
        in_order,
        f"/v1/invoices?subscription={subscription_id}",
        None if coming is None else local(coming, row.timezone),
    )


def ahead(database: Database, subscription_id: UUID) -> results.Ahead:
    """Return what a subscription waits for and what comes next; of its invoices the open ones."""
    with database.transaction() as connection:
        row = known_subscription(connection, subscription_id)
        owed = InvoiceFilter(subscription=subscription_id, status=InvoiceStatus.OPEN)
        found = lists.invoices(connection, owed, Page(PERIODS_MAX)).rows
        in_order = with_charges(connection, sorted(found, key=_place))
        coming = forecasting.next_invoice(connection, subscription_id)
        return results.Ahead(
            local(row, row.timezone),
            next_steps.of_subscription(connection, row, in_order),
            in_order,
            None if coming is None else local(coming, row.timezone),
        )


def debts(connection: Connection, customer_id: str, *, ways: bool) -> list[results.Invoice]:
    """Return what a customer owes besides the open invoices of running subscriptions."""
    found = listing.debts_of(connection, customer_id, DEBTS_MAX)
    return with_charges(connection, found, ways=ways) if found else []


def _place(invoice: rows.Invoice) -> tuple[int, int]:
    return invoice.period_index, invoice.change_index


def known_subscription(connection: Connection, subscription_id: UUID) -> rows.Subscription:
    """Read one subscription, or raise NotKnown."""
    row = listing.subscription(connection, subscription_id)
    if row is None:
        raise NotKnown(
            f"no subscription has the id {subscription_id}", hint="see: billing subscription list"
        )
    return row


def invoice(database: Database, invoice_id: UUID) -> results.Invoice:
    """Return one invoice with its charges, refunds and next attempts."""
    with database.transaction() as connection:
        return with_charges(connection, [known_invoice(connection, invoice_id)])[0]


def known_invoice(connection: Connection, invoice_id: UUID) -> rows.Invoice:
    """Read one invoice, or raise NotKnown."""
    row = listing.invoice(connection, invoice_id)
    if row is None:
        raise NotKnown(f"no invoice has the id {invoice_id}", hint="see: billing invoice list")
    return row


def with_charges(
    connection: Connection, found: Sequence[rows.Invoice], *, ways: bool = True
) -> list[results.Invoice]:
    """Return invoices with their charges, refunds and next attempts; `ways` are commands."""
    ids = [row.id for row in found]
    failed = [row.id for row in found if row.first_failed_at is not None]
    history = charging.history(connection, failed) if failed else {}
    made = listing.charges_of(connection, ids) if ids else []
    back = listing.refunds_of(connection, ids) if ids else []
    charges = _by(lambda each: each.row.invoice, map(of_charge, made))
    returned = (
        _refunds(connection, back)
        if ways
        else [results.Refund(local(row, row.timezone), []) for row in back]
    )
    refunds = _by(lambda each: each.row.invoice, returned)
    steps = next_steps.of_invoices if ways else next_steps.waiting_of_invoices
    ahead = steps(connection, found)
    return [
        results.Invoice(
            local(row, row.timezone),
            ahead[row.id],
            retries_at=retries_at(row, history.get(row.id)),
            charges=charges[row.id],
            refunds=refunds[row.id],
        )
        for row in found
    ]


def _by(invoice_of: Callable[[T], UUID], found: Iterable[T]) -> dict[UUID, list[T]]:
    by_invoice = defaultdict[UUID, list[T]](list)
    for each in found:
        by_invoice[invoice_of(each)].append(each)
    return by_invoice


def retries_at(invoice: rows.Invoice, past: charging.ChargeHistory | None) -> list[datetime]:
    """Return the next attempts of a declined open invoice, if each is declined like the last.

    Empty while a charge is unresolved or the invoice waits for a wallet: then no date is certain.
    """
    upcoming, first = invoice.next_attempt_at, invoice.first_failed_at
    if (
        past is None
        or upcoming is None
        or first is None
        or invoice.status is not InvoiceStatus.OPEN
        or invoice.blocked_on is Blocked.WALLET
    ):
        return []
    place, aside = zone(invoice.timezone), invoice.planned_at
    if invoice.reopened_at is not None:
        return [upcoming.astimezone(place)]  # one attempt, and no ladder
    terms = RetryTerms(
        invoice.retries, invoice.retries_for, invoice.declines_max, invoice.attempts_max,
        invoice.days_max,
    )  # fmt: skip
    policy, history = dunning.policy_of(terms), charge_facts.history(past, invoice.steps_short)
    by_hand = None
    if aside is not None and aside > upcoming:
        by_hand, upcoming = upcoming, aside
    deadline = invoice.step_deadline_at
    dates = dunning.upcoming(policy, history, first, upcoming, place, by_hand, deadline)
    return [date.astimezone(place) for date in dates]


def of_charge(row: rows.Charge) -> results.Charge:
    """Return a charge with what it waits for."""
    return results.Charge(local(row, row.timezone), CONFIRMING if row.confirming else None)


def charge(
    database: Database, name: str, horizon: timedelta | None = None
) -> results.ChargeInDetail:
    """Return one charge with its refunds; `name` is its id or its gateway number.

    `horizon` is the age from which an operator may resolve it.
    """
    with database.transaction() as connection:
        row = listing.charge(connection, name)
        if row is None:
            raise NotKnown(f"no charge has the id or gateway number {name!r}")
        mine = [
            each for each in listing.refunds_of(connection, [row.invoice]) if each.charge == row.id
        ]
        back = _refunds(connection, mine, horizon)
        ways = next_steps.of_charge(connection, row, horizon)
    return results.ChargeInDetail(of_charge(row), ways, back)


def refunds_waiting(database: Database, limit: int) -> list[returning.Waiting]:
    """Return refunds and charges whose money needs an operator, with the command for each."""
    with database.transaction() as connection:
        found = returning.waiting_for_a_person(connection, limit)
    return [local(row) for row in found]


def refund(database: Database, refund_id: UUID, horizon: timedelta | None = None) -> results.Refund:
    """Return one refund; `horizon` is as for `charge`."""
    with database.transaction() as connection:
        row = listing.refund(connection, refund_id)
        if row is None:
            raise NotKnown(f"no refund has the id {refund_id}", hint="see: billing refunds list")
        return _refunds(connection, [row], horizon)[0]


def credit(database: Database, credit_id: int) -> balances.ShownCredit:
    """Return one credit. Raises NotKnown."""
    with database.transaction() as connection:
        row = balances.shown(connection, credit_id)
    if row is None:
        raise NotKnown(f"no credit has the id {credit_id}")
    return local(row)


def _refunds(
    connection: Connection, refunds: Sequence[rows.Refund], horizon: timedelta | None = None
) -> list[results.Refund]:
    ways = next_steps.of_refunds(connection, refunds, horizon)
    return [results.Refund(local(row, row.timezone), ways[row.id]) for row in refunds]


def engine_state(database: Database) -> results.Engine:
    """Return test clock, kill switch, and the gateway that the database belongs to."""
    with database.transaction() as connection:
        return results.Engine(local(engine.state(connection)), engine.who_stopped(connection))

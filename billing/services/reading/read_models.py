"""Read models: plans, customers, wallets, subscriptions and money as commands and tasks show them.

Every result is a dict or a list of dicts, ready for JSON except for instants and ids, which are
still values; an instant is in the plan's timezone. Nothing is written, and the gateway is not
called.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from billing.domain import dunning
from billing.domain.errors import NotKnown
from billing.domain.instants import HOME_TIMEZONE
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.periods import zone
from billing.domain.waiting import CONFIRMING
from billing.services.collecting import charge_facts
from billing.services.money import discounts
from billing.services.reading import next_steps
from billing.services.reading.double_charges import given_back_in_full, verdict
from billing.store.queries import balances, engine, listing, twins
from billing.store.queries import charges as charging
from billing.store.queries import coupons as coupon_rows
from billing.store.queries import refunds as returning
from billing.store.session import Database

PERIODS_MAX = 10_000
"""Maximum number of periods of one subscription; the newest are returned."""
LIFE_MAX = 20_000
"""Maximum number of events of one subscription; the newest are returned."""
_EVER = datetime.min.replace(tzinfo=UTC)

DUNNING = (
    "steps_short", "step_deadline_at", "planned_at", "retries", "retries_for",
    "declines_max", "attempts_max", "days_max",
)  # fmt: skip
"""Columns from which an invoice's dates are computed; they are not shown."""

Shown = dict[str, Any]


def plans(database: Database, limit: int) -> list[Shown]:
    """Return plans, active ones first."""
    with database.transaction() as connection:
        return [_plan(row) for row in listing.plans(connection, limit)]


def plan(database: Database, code: str) -> Shown:
    """Return one plan, or raise NotKnown."""
    with database.transaction() as connection:
        row = listing.plan(connection, code)
    if row is None:
        raise NotKnown(f"no plan has the code {code!r}; see: billing plan list")
    return _plan(row)


def _plan(row: Mapping[Any, Any]) -> Shown:
    return _local(row) | {"timezone": row["timezone"]}


def customers(database: Database, limit: int) -> list[Shown]:
    """Return customers, newest first."""
    with database.transaction() as connection:
        return [_masked(row) for row in listing.customers(connection, limit)]


def customer(database: Database, customer_id: str, limit: int) -> Shown:
    """Return one customer with wallet, subscriptions, and all payments and refunds by invoice."""
    with database.transaction() as connection:
        row = listing.customer(connection, customer_id)
        if row is None:
            raise _no_customer(customer_id)
        wallet = listing.wallet_of(connection, customer_id)
        subscribed = listing.subscriptions(
            connection, status=None, customer_id=customer_id, limit=limit
        )
        payments = [_local(paid) for paid in listing.payments_of(connection, customer_id, limit)]
        totals = listing.totals_of(connection, customer_id)
        doubles = twins.of_customer(connection, customer_id)
    twice = totals["charged_twice"] or any(each.periods for each in doubles)
    return {
        **_masked(row),
        "wallet": _wallet(wallet) if wallet else None,
        "subscriptions": [_local(each) for each in subscribed],
        **totals,
        "charged_twice": twice,
        "given_back_in_full": twice and given_back_in_full(totals, doubles),
        "twins": [each._asdict() for each in doubles],
        "verdict": verdict(totals, payments, doubles),
        "invoices": payments,
    }


def _no_customer(customer_id: str) -> NotKnown:
    return NotKnown(f"no customer has the id {customer_id!r}; see: billing customer list")


def _masked(row: Mapping[Any, Any]) -> Shown:
    shown = _local(row)
    phone, email = shown.pop("phone"), shown.pop("email")
    return shown | {
        "masked_phone": f"****{phone[-4:]}" if phone else "",
        "masked_email": f"{email[0]}***{email[email.index('@') :]}" if email else "",
    }


def wallets(database: Database, status: str | None, limit: int) -> list[Shown]:
    """Return wallets, newest first."""
    with database.transaction() as connection:
        return [_local(row) for row in listing.wallets(connection, status, limit)]


def wallets_ending(database: Database, until: datetime, limit: int) -> list[Shown]:
    """Return wallets whose token expires by an instant, with the affected subscriptions.

    A wallet that no live subscription needs is left out.
    """
    with database.transaction() as connection:
        return [_local(row) for row in listing.wallets_ending(connection, until, limit)]


def wallet_of(database: Database, customer_id: str) -> Shown:
    """Return a customer's live wallet, or the latest one. Raises NotKnown without any."""
    with database.transaction() as connection:
        if listing.customer(connection, customer_id) is None:
            raise _no_customer(customer_id)
        row = listing.wallet_of(connection, customer_id)
    if row is None:
        remedy = f"link one with: billing wallet bind {customer_id}"
        raise NotKnown(f"customer {customer_id!r} has no wallet; {remedy}")
    return _wallet(row)


def _wallet(row: Mapping[Any, Any]) -> Shown:
    return _local(row) | {"ways_out": next_steps.of_wallet(row)}


def subscriptions(database: Database, status: str | None, limit: int) -> list[Shown]:
    """Return subscriptions, newest first, without their invoices."""
    with database.transaction() as connection:
        rows = listing.subscriptions(connection, status=status, customer_id=None, limit=limit)
    return [_local(row) for row in rows]


def subscription(database: Database, subscription_id: UUID) -> Shown:
    """Return one subscription with its invoices, oldest first, and their charges and refunds."""
    with database.transaction() as connection:
        return _subscription(connection, subscription_id, PERIODS_MAX)


def life(database: Database, subscription_id: UUID, periods: int = PERIODS_MAX) -> Shown:
    """Return a subscription with its newest invoices, and the events of it and its wallets.

    `earlier` counts the invoices that are left out, and what was paid of them.
    """
    with database.transaction() as connection:
        found = _subscription(connection, subscription_id, periods)
        all_of_it = listing.invoiced_of(connection, subscription_id)
        invoices = found["invoices"]
        paid = sum(each["amount"] for each in invoices if each["status"] == InvoiceStatus.PAID)
        left_out = all_of_it["invoices"] - len(invoices)
        since = min(each["period_start"] for each in invoices) if left_out else _EVER
        life = listing.life_of(connection, subscription_id, since, LIFE_MAX)
        wallets = listing.wallets_of(connection, found["customer"], LIFE_MAX)
    place = {"timezone": found["timezone"]}
    return found | {
        "life": [_local({**row, **place}) for row in life],
        "wallets": [
            _local({**row, **place})
            for row in wallets
            if (row["closed_at"] or row["expires_at"]) >= found["created_at"]
        ],
        "since": since,
        "earlier": {"invoices": left_out, "amount": all_of_it["amount"] - paid},
    }


def _subscription(connection: Connection, subscription_id: UUID, periods: int) -> Shown:
    row = _known_subscription(connection, subscription_id)
    invoiced = listing.invoices(
        connection, subscription_id=subscription_id, status=None, limit=periods
    )
    in_order = _with_charges(connection, sorted(invoiced, key=_place))
    return {
        **_local(row),
        "timezone": row["timezone"],
        **next_steps.of_subscription(connection, row, in_order),
        "invoices": in_order,
    }


def _place(invoice: Mapping[Any, Any]) -> tuple[int, int]:
    return invoice["period_index"], invoice["change_index"]


def coupons(database: Database, limit: int) -> list[Shown]:
    """Return coupons, active ones first."""
    with database.transaction() as connection:
        return [_local(row._asdict()) for row in coupon_rows.page(connection, limit)]


def coupon(database: Database, code: str) -> Shown:
    """Return one coupon, or raise NotKnown."""
    with database.transaction() as connection:
        return _local(discounts.known_coupon(connection, code)._asdict())


def credits_of(database: Database, customer_id: str, limit: int) -> list[Shown]:
    """Return a customer's credits, oldest first."""
    with database.transaction() as connection:
        if listing.customer(connection, customer_id) is None:
            raise _no_customer(customer_id)
        held = balances.of_customer(connection, customer_id, limit)
    return [_local(each._asdict()) for each in held]


def _known_subscription(connection: Connection, subscription_id: UUID) -> Mapping[Any, Any]:
    row = listing.subscription(connection, subscription_id)
    if row is None:
        raise NotKnown(
            f"no subscription has the id {subscription_id}; see: billing subscription list"
        )
    return row


def invoices(
    database: Database, subscription_id: UUID | None, status: str | None, limit: int
) -> list[Shown]:
    """Return invoices, newest first, with their charges and refunds."""
    with database.transaction() as connection:
        if subscription_id is not None:
            _known_subscription(connection, subscription_id)
        rows = listing.invoices(
            connection, subscription_id=subscription_id, status=status, limit=limit
        )
        return _with_charges(connection, rows)


def invoice(database: Database, invoice_id: UUID) -> Shown:
    """Return one invoice with its charges, refunds and next attempts."""
    with database.transaction() as connection:
        return _with_charges(connection, [_known_invoice(connection, invoice_id)])[0]


def _known_invoice(connection: Connection, invoice_id: UUID) -> Mapping[Any, Any]:
    row = listing.invoice(connection, invoice_id)
    if row is None:
        raise NotKnown(f"no invoice has the id {invoice_id}; see: billing invoice list")
    return row


def _with_charges(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> list[Shown]:
    ids = [row["id"] for row in rows]
    failed = [row["id"] for row in rows if row["first_failed_at"] is not None]
    history = charging.history(connection, failed) if failed else {}
    charges = _by_invoice(map(_charge, listing.charges_of(connection, ids) if ids else []))
    refunds = _by_invoice(_refunds(connection, listing.refunds_of(connection, ids) if ids else []))
    ahead = next_steps.of_invoices(connection, rows)
    return [
        {
            **_local(row, without=DUNNING),
            **ahead[row["id"]],
            "retries_at": retries_at(row, history.get(row["id"])),
            "charges": charges[row["id"]],
            "refunds": refunds[row["id"]],
        }
        for row in rows
    ]


def _by_invoice(rows: Iterable[Shown]) -> dict[UUID, list[Shown]]:
    found = defaultdict(list)
    for row in rows:
        found[row["invoice"]].append(row)
    return found


def retries_at(invoice: Mapping[Any, Any], past: charging.ChargeHistory | None) -> list[datetime]:
    """Return the next attempts of a declined open invoice, if each is declined like the last.

    Empty while a charge is unresolved or the invoice waits for a wallet: then no date is certain.
    """
    upcoming = invoice["next_attempt_at"]
    if (
        past is None
        or upcoming is None
        or invoice["status"] != InvoiceStatus.OPEN
        or invoice["blocked_on"] == Blocked.WALLET
    ):
        return []
    if invoice["reopened_at"] is not None:
        return [upcoming.astimezone(zone(invoice["timezone"]))]  # one attempt, and no ladder
    place, aside = zone(invoice["timezone"]), invoice["planned_at"]
    terms = dunning.RetryTerms(*(invoice[name] for name in dunning.RetryTerms._fields))
    policy, history = dunning.policy_of(terms), charge_facts.history(past, invoice["steps_short"])
    is_aside = aside is not None and aside > upcoming
    by_hand, upcoming = (upcoming, aside) if is_aside else (None, upcoming)
    first, deadline = invoice["first_failed_at"], invoice["step_deadline_at"]
    dates = dunning.upcoming(policy, history, first, upcoming, place, by_hand, deadline)
    return [date.astimezone(place) for date in dates]


def charges(
    database: Database, invoice_id: UUID | None, status: str | None, limit: int
) -> list[Shown]:
    """Return charges, newest first."""
    with database.transaction() as connection:
        if invoice_id is not None:
            _known_invoice(connection, invoice_id)
        rows = listing.charges(connection, invoice_id=invoice_id, status=status, limit=limit)
    return [_charge(row) for row in rows]


def _charge(row: Mapping[Any, Any]) -> Shown:
    shown = _local(row)
    return shown | {"waits_for": CONFIRMING if shown.pop("confirming") else None}


def charge(database: Database, name: str, horizon: timedelta | None = None) -> Shown:
    """Return one charge with its refunds; `name` is its id or its gateway number.

    `horizon` is the age from which an operator may resolve it.
    """
    with database.transaction() as connection:
        row = listing.charge(connection, name)
        if row is None:
            raise NotKnown(f"no charge has the id or gateway number {name!r}")
        refunds = listing.refunds_of(connection, [row["invoice"]])
        mine = [refund for refund in refunds if refund["charge"] == row["id"]]
        back = _refunds(connection, mine, horizon)
        ways = next_steps.of_charge(connection, row, horizon)
    return _charge(row) | {"ways_out": ways, "refunds": back}


def refunds(
    database: Database, customer_id: str | None, status: str | None, limit: int
) -> list[Shown]:
    """Return refunds, newest first."""
    with database.transaction() as connection:
        if customer_id is not None and listing.customer(connection, customer_id) is None:
            raise _no_customer(customer_id)
        rows = listing.refunds(connection, status=status, customer_id=customer_id, limit=limit)
    return [_local(row) for row in rows]


def refunds_waiting(database: Database, limit: int) -> list[Shown]:
    """Return refunds and charges whose money needs an operator, with the command for each."""
    with database.transaction() as connection:
        rows = returning.waiting_for_a_person(connection, limit)
    return [_local(row._asdict()) for row in rows]


def refund(database: Database, refund_id: UUID, horizon: timedelta | None = None) -> Shown:
    """Return one refund; `horizon` is as for `charge`."""
    with database.transaction() as connection:
        row = listing.refund(connection, refund_id)
        if row is None:
            raise NotKnown(f"no refund has the id {refund_id}; see: billing refunds list")
        return _refunds(connection, [row], horizon)[0]


def _refunds(
    connection: Connection, rows: Sequence[Mapping[Any, Any]], horizon: timedelta | None = None
) -> list[Shown]:
    ways = next_steps.of_refunds(connection, rows, horizon)
    return [_local(row) | {"ways_out": ways[row["id"]]} for row in rows]


def events(database: Database, subscription_id: UUID | None, limit: int) -> list[Shown]:
    """Return the latest events in chronological order."""
    with database.transaction() as connection:
        if subscription_id is not None:
            _known_subscription(connection, subscription_id)
        return [_local(row) for row in listing.last_events(connection, subscription_id, limit)]


def engine_state(database: Database) -> Shown:
    """Return test clock, kill switch, and the gateway that the database belongs to."""
    with database.transaction() as connection:
        return {**_local(engine.state(connection)), "stopped_by": engine.who_stopped(connection)}


def _local(row: Mapping[Any, Any], without: Sequence[str] = ()) -> Shown:
    """Convert a row to a dict with instants in its timezone."""
    place: ZoneInfo = zone(row.get("timezone") or HOME_TIMEZONE)
    return {
        name: value.astimezone(place) if _is_instant(value) else value
        for name, value in row.items()
        if name not in without and name != "timezone"
    }


def _is_instant(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None

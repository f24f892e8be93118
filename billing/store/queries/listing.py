"""Statements of the read side: single rows and their details, with the names that users see.

No encrypted column is selected, and the details of a page come in one more statement for the whole
page. The texts in capitals select from a table or from a page of it (`lists`), which is put between
their braces. The rows are in `listing_rows`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED
from billing.domain.refund import RETURNED, UNSETTLED
from billing.domain.wallet import LIVE
from billing.store.expressions import listed
from billing.store.queries import events
from billing.store.queries.listing_rows import (
    Charge,
    Customer,
    EndingWallet,
    Event,
    Invoice,
    Invoiced,
    LifeEvent,
    Payment,
    Plan,
    Refund,
    Running,
    Subscription,
    Totals,
    Wallet,
)
from billing.store.queries.prospects import CONFIRMING
from billing.store.selecting import at_most_one, columns, every, of_values
from billing.store.statements import text

R = TypeVar("R", bound=NamedTuple)

PLANS = f"SELECT {columns(Plan, 'p')} FROM {{}} AS p"  # noqa: S608 - a constant of ours

_NEWEST_WALLET = f"""(SELECT status FROM wallets WHERE customer_id = {{}}
    ORDER BY ({listed("status", LIVE)}) DESC, created_at DESC LIMIT 1)"""  # noqa: S608 - the same
_OF_CUSTOMER = {
    "wallet_status": "w.status",
    "credit_balance": """(SELECT CAST(coalesce(sum(remaining), 0) AS bigint) FROM credits
        WHERE customer_id = c.id AND remaining > 0)""",
    "subscriptions_count": """(SELECT count(*) FROM subscriptions s
        WHERE s.customer_id = c.id AND s.ended_at IS NULL)""",
}
CUSTOMERS = f"""
SELECT {columns(Customer, "c", **_OF_CUSTOMER)}
FROM {{}} AS c LEFT JOIN LATERAL {_NEWEST_WALLET.format("c.id")} AS w ON true"""  # noqa: S608 - the same

_OF_WALLET = {
    "customer": "w.customer_id", "attempts_count": "w.attempts", "cause": "w.reason",
    "held_cause": "w.held_why",
}  # fmt: skip
WALLETS = f"SELECT {columns(Wallet, 'w', **_OF_WALLET)} FROM {{}} AS w"  # noqa: S608 - the same

# The end of the newest paid period, of the trial, or of what was paid before an import.
_PAID_THROUGH = """(SELECT CASE WHEN paid.at IS NOT NULL THEN least(paid.at, s.ended_at) END
    FROM (SELECT greatest(
        (SELECT i.period_end FROM invoices i WHERE i.subscription_id = s.id AND i.status = 'paid'
            ORDER BY i.period_index DESC, i.change_index DESC LIMIT 1),
        CASE WHEN s.first_paid_at IS NOT NULL THEN s.start_at END,
        CASE WHEN s.status = 'trialing' THEN s.next_due_at END) AS at) AS paid)"""
_OF_SUBSCRIPTION = {
    "paid_through_at": _PAID_THROUGH,
    "customer": "s.customer_id", "plan": "s.plan_code", "coupon": "s.coupon_code",
    "next_plan": "s.next_plan_code", "timezone": "p.timezone", "anchor": "s.anchor_local",
    "wallet_status": "w.status", "coupon_left_count": "s.coupon_left", "held_cause": "s.held_why",
}  # fmt: skip
SUBSCRIPTIONS = f"""
SELECT {columns(Subscription, "s", **_OF_SUBSCRIPTION)}
FROM {{}} AS s JOIN plans p ON p.code = s.plan_code
LEFT JOIN LATERAL {_NEWEST_WALLET.format("s.customer_id")} AS w ON true"""  # noqa: S608 - the same

_OF_PLAN = {
    name: f"p.{name}" for name in (
        "retries", "retries_for", "declines_max", "attempts_max", "days_max", "timezone",
    )
}  # fmt: skip
_OF_INVOICE = {
    "subscription": "i.subscription_id",
    "customer": "i.customer_id",
    "plan": "i.plan_code",
    "period_start_at": "i.period_start",
    "period_end_at": "i.period_end",
    "amount_from_credit": "i.credited",
    "cause": "i.reason",
    "held_cause": "i.held_why",
    "amount_refunding": f"""(SELECT CAST(coalesce(sum(r.amount), 0) AS bigint)
        FROM refunds r WHERE r.invoice_id = i.id AND {listed("r.status", UNSETTLED)})""",  # noqa: S608 - the same
}
INVOICES = f"""
SELECT {columns(Invoice, "i", **_OF_INVOICE, **_OF_PLAN)}
FROM {{}} AS i JOIN subscriptions s ON s.id = i.subscription_id
JOIN plans p ON p.code = s.plan_code"""  # noqa: S608 - the same

_OF_CHARGE = {
    "invoice": "c.invoice_id", "subscription": "c.subscription_id", "customer": "c.customer_id",
    "request_id": "CAST(c.id AS text)", "amount_refunded": "b.returned",
    "amount_refunding": "c.refunded - b.returned", "amount_credited": "c.credited",
    "amount_kept": "c.kept", "confirming": CONFIRMING, "invoice_status": "i.status",
    "timezone": "p.timezone", "sends_count": "c.sends",
    "status_queries_count": "c.status_queries", "held_cause": "c.held_why",
}  # fmt: skip
CHARGES = f"""
SELECT {columns(Charge, "c", **_OF_CHARGE)}
FROM {{}} AS c JOIN invoices i ON i.id = c.invoice_id
JOIN subscriptions s ON s.id = c.subscription_id
JOIN plans p ON p.code = s.plan_code
CROSS JOIN LATERAL (SELECT CAST(coalesce(sum(r.amount), 0) AS bigint) AS returned FROM refunds r
    WHERE r.charge_id = c.id AND {listed("r.status", RETURNED)}) AS b"""  # noqa: S608 - the same

_OF_REFUND = {
    "charge": "r.charge_id", "invoice": "r.invoice_id", "subscription": "i.subscription_id",
    "customer": "r.customer_id", "credit": "r.credit_id", "attempts_count": "r.attempts",
    "held_cause": "r.held_why", "timezone": "p.timezone",
}  # fmt: skip
REFUNDS = f"""
SELECT {columns(Refund, "r", **_OF_REFUND)}
FROM {{}} AS r JOIN invoices i ON i.id = r.invoice_id
JOIN subscriptions s ON s.id = i.subscription_id JOIN plans p ON p.code = s.plan_code"""  # noqa: S608 - the same

_OF_EVENT = {
    **events.SHOWN,
    "position": "(SELECT f.position FROM event_feed f WHERE f.event_id = e.id)",
    "timezone": "p.timezone",
}
EVENTS = f"""
SELECT {columns(Event, "e", **_OF_EVENT)}
FROM {{}} AS e LEFT JOIN subscriptions s ON s.id = e.subscription_id
LEFT JOIN plans p ON p.code = s.plan_code"""  # noqa: S608 - the same

_OF_LIFE = columns(LifeEvent, **{name: events.SHOWN[name] for name in LifeEvent._fields})

_PLANS = PLANS.format("plans")
_CUSTOMERS = CUSTOMERS.format("customers")
_WALLETS = WALLETS.format("wallets")
_SUBSCRIPTIONS = SUBSCRIPTIONS.format("subscriptions")
_INVOICES = INVOICES.format("invoices")
_CHARGES = CHARGES.format("charges")
_REFUNDS = REFUNDS.format("refunds")

_PAYMENTS = f"""
FROM subscriptions s JOIN plans p ON p.code = s.plan_code
JOIN invoices i ON i.subscription_id = s.id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status = 'succeeded') AS payments,
           count(*) FILTER (WHERE surplus) AS surplus,
           count(*) FILTER (WHERE {listed("status", UNRESOLVED)}) AS unresolved,
           CAST(coalesce(sum(amount) FILTER (WHERE status = 'succeeded'), 0) AS bigint) AS taken,
           CAST(coalesce(sum(kept), 0) AS bigint) AS kept,
           CAST(coalesce(sum(credited), 0) AS bigint) AS credited
    FROM charges WHERE invoice_id = i.id) AS c
CROSS JOIN LATERAL (
    SELECT CAST(coalesce(sum(amount) FILTER (
               WHERE {listed("status", RETURNED)}), 0) AS bigint) AS returned,
           count(*) FILTER (WHERE status IN ('in_flight', 'unknown') OR parked_at IS NOT NULL
               OR status = 'unreturned') AS unresolved,
           CAST(coalesce(sum(amount) FILTER (
               WHERE {listed("status", UNSETTLED)}), 0) AS bigint) AS on_its_way
    FROM refunds WHERE invoice_id = i.id) AS r
WHERE s.customer_id = :customer"""  # noqa: S608 - a constant of ours


def _page(connection: Connection, row: type[R], statement: str, **parameters: object) -> list[R]:
    return every(row, connection.execute(text(statement), parameters))


def _row(connection: Connection, row: type[R], statement: str, **parameters: object) -> R | None:
    return at_most_one(row, connection.execute(text(statement), parameters))


def plan(connection: Connection, code: str) -> Plan | None:
    """Read one plan."""
    return _row(connection, Plan, f"{_PLANS} WHERE p.code = :code", code=code)


def customer(connection: Connection, customer_id: str) -> Customer | None:
    """Read one customer."""
    return _row(connection, Customer, f"{_CUSTOMERS} WHERE c.id = :id", id=customer_id)


def wallets_ending(connection: Connection, until: datetime, limit: int) -> list[EndingWallet]:
    """Read active wallets whose token expires by an instant, with the affected subscriptions."""
    statement = text(f"""
        SELECT {columns(Wallet, "w")}, s.subscriptions FROM (SELECT * FROM ({_WALLETS}) AS shown
            WHERE status = 'active' AND expires_at <= :until) AS w
        CROSS JOIN LATERAL (SELECT array_agg(s.id ORDER BY s.created_at, s.id) AS subscriptions
            FROM subscriptions s WHERE s.customer_id = w.customer AND s.ended_at IS NULL) AS s
        WHERE s.subscriptions IS NOT NULL ORDER BY w.expires_at, w.id LIMIT :limit
    """)  # noqa: S608 - a constant of ours
    found = connection.execute(statement, {"until": until, "limit": limit})
    return [EndingWallet(of_values(Wallet, values[:-1]), values[-1]) for values in found]


def wallet_of(connection: Connection, customer_id: str) -> Wallet | None:
    """Read the customer's live wallet, or the latest one if none is live."""
    ending = f"""WHERE customer_id = :customer
        ORDER BY ({listed("status", LIVE)}) DESC, created_at DESC LIMIT 1"""
    return _row(connection, Wallet, f"{_WALLETS} {ending}", customer=customer_id)


def subscription(connection: Connection, subscription_id: UUID) -> Subscription | None:
    """Read one subscription."""
    return _row(connection, Subscription, f"{_SUBSCRIPTIONS} WHERE s.id = :id", id=subscription_id)


def running_of(connection: Connection, customer_id: str, limit: int) -> Running:
    """Read a customer's subscriptions that have not ended, newest first, and count them."""
    statement = text("""
        SELECT id, count(*) OVER () FROM subscriptions
        WHERE customer_id = :customer AND ended_at IS NULL
        ORDER BY created_at DESC, id DESC LIMIT :limit
    """)
    values = {"customer": customer_id, "limit": limit}
    found = connection.execute(statement, values).all()
    return Running([row[0] for row in found], found[0][1] if found else 0)


def debts_of(connection: Connection, customer_id: str, limit: int) -> list[Invoice]:
    """Read what a customer owes besides the open invoices of running subscriptions, oldest first.

    These are uncollectible invoices, and an open one of a subscription that has ended.
    """
    ending = """WHERE s.customer_id = :customer AND (i.status = 'uncollectible'
            OR i.status = 'open' AND s.ended_at IS NOT NULL)
        ORDER BY i.created_at, i.period_index, i.change_index LIMIT :limit"""
    return _page(connection, Invoice, f"{_INVOICES} {ending}", customer=customer_id, limit=limit)


def invoice(connection: Connection, invoice_id: UUID) -> Invoice | None:
    """Read one invoice."""
    return _row(connection, Invoice, f"{_INVOICES} WHERE i.id = :id", id=invoice_id)


def charge(connection: Connection, name: str) -> Charge | None:
    """Read one charge, by its id or its gateway number."""
    ending = "WHERE c.gateway_number = :name OR c.id = CAST(:id AS uuid)"
    return _row(connection, Charge, f"{_CHARGES} {ending}", name=name, id=_uuid(name))


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def charges_of(connection: Connection, invoice_ids: Sequence[UUID]) -> list[Charge]:
    """Read the charges of a page of invoices, in the order in which they were made."""
    ending = "WHERE c.invoice_id = ANY(:ids) ORDER BY c.invoice_id, c.attempt"
    return _page(connection, Charge, f"{_CHARGES} {ending}", ids=list(invoice_ids))


def refunds_of(connection: Connection, invoice_ids: Sequence[UUID]) -> list[Refund]:
    """Read the refunds of a page of invoices, oldest first."""
    ending = "WHERE r.invoice_id = ANY(:ids) ORDER BY r.created_at, r.charge_id, r.sequence"
    return _page(connection, Refund, f"{_REFUNDS} {ending}", ids=list(invoice_ids))


def refund(connection: Connection, refund_id: UUID) -> Refund | None:
    """Read one refund."""
    return _row(connection, Refund, f"{_REFUNDS} WHERE r.id = :id", id=refund_id)


def life_of(
    connection: Connection, subscription_id: UUID, since: datetime, limit: int
) -> list[LifeEvent]:
    """Read a subscription's events since an instant, oldest first, except movements of money.

    Charges and refunds, and events that only repeat them, are read from their own rows.
    """
    statement = f"""
        SELECT {_OF_LIFE} FROM (
            SELECT * FROM events WHERE subscription_id = :subscription AND at >= :since
              AND kind NOT LIKE 'charge.%' AND kind NOT LIKE 'refund.%'
              AND kind NOT IN ('invoice.opened', 'invoice.paid', 'subscription.fell_behind',
                               'subscription.recovered')
            ORDER BY id DESC LIMIT :limit) AS e
        ORDER BY id"""  # noqa: S608 - a constant of ours
    return _page(
        connection, LifeEvent, statement, subscription=subscription_id, since=since, limit=limit
    )


def wallets_of(connection: Connection, customer_id: str, limit: int) -> list[Wallet]:
    """Read a customer's wallets that were linked, newest first."""
    ending = """WHERE customer_id = :customer AND linked_at IS NOT NULL
        ORDER BY linked_at DESC LIMIT :limit"""
    return _page(connection, Wallet, f"{_WALLETS} {ending}", customer=customer_id, limit=limit)


_INVOICED = columns(
    Invoiced,
    invoices="count(*)",
    amount="CAST(coalesce(sum(amount) FILTER (WHERE status = 'paid'), 0) AS bigint)",
)


def invoiced_of(connection: Connection, subscription_id: UUID) -> Invoiced:
    """Count a subscription's invoices, and add up what was paid of them."""
    statement = text(f"SELECT {_INVOICED} FROM invoices WHERE subscription_id = :id")  # noqa: S608 - a constant of ours
    return of_values(Invoiced, connection.execute(statement, {"id": subscription_id}).one())


_OF_PAYMENT = {
    "subscription": "i.subscription_id", "customer": "s.customer_id",
    "period_start_at": "i.period_start", "payments_count": "c.payments",
    "surplus_count": "c.surplus", "unresolved_count": "c.unresolved",
    "amount_taken": "c.taken", "amount_refunded": "r.returned",
    "amount_refunding": "r.on_its_way", "amount_credited": "c.credited", "amount_kept": "c.kept",
    "unresolved_refunds_count": "r.unresolved", "timezone": "p.timezone",
}  # fmt: skip


_SUM = "CAST(coalesce(sum({}) OVER (), 0) AS bigint)"
_TOTALS = columns(
    Totals,
    amount_taken=_SUM.format("c.taken"),
    amount_refunded=_SUM.format("r.returned"),
    amount_refunding=_SUM.format("r.on_its_way"),
    amount_credited=_SUM.format("c.credited"),
    amount_kept=_SUM.format("c.kept"),
    unresolved_count=_SUM.format("c.unresolved"),
    unresolved_refunds_count=_SUM.format("r.unresolved"),
    charged_twice="bool_or(c.payments > 1) OVER ()",
    kept_twice="bool_or(c.payments > 1 AND (c.taken - r.returned) * c.payments > c.taken) OVER ()",
)
_NOTHING = Totals(0, 0, 0, 0, 0, 0, 0, charged_twice=False, kept_twice=False)


def payments_of(
    connection: Connection, customer_id: str, limit: int
) -> tuple[list[Payment], Totals]:
    """Count the payments of each invoice of a customer; those paid more than once first.

    The totals add up all of its payments and refunds, also those beyond the limit.
    """
    found = f"SELECT {columns(Payment, 'i', **_OF_PAYMENT)}, {_TOTALS} {_PAYMENTS}"
    ending = "ORDER BY c.payments > 1 DESC, i.period_start DESC, i.id LIMIT :limit"
    values = {"customer": customer_id, "limit": limit}
    rows = connection.execute(text(f"{found} {ending}"), values).all()
    end = len(Payment._fields)
    totals = of_values(Totals, rows[0][end:]) if rows else _NOTHING
    return [of_values(Payment, row[:end]) for row in rows], totals

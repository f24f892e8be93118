"""Statements of the read side: pages of rows, with the column names that users see.

No encrypted column is selected, every page has a limit, and the details of a page come in one more
statement for the whole page. Rows that belong to a plan include the plan's `timezone`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from billing.domain.charge import UNRESOLVED
from billing.domain.refund import RETURNED, UNSETTLED
from billing.domain.wallet import LIVE
from billing.store.columns import listed
from billing.store.queries.prospects import CONFIRMING
from billing.store.statements import text

_PLANS = """
SELECT code, name, amount, every, cron, timezone, trial, cycles, retries, retries_for,
       declines_max, attempts_max, days_max, on_exhausted, catch_up, use_points, created_at,
       archived_at
FROM plans"""

_CUSTOMERS = f"""
SELECT c.id, c.name, c.phone, c.email, c.created_at, w.status AS wallet_status,
       (SELECT CAST(coalesce(sum(remaining), 0) AS bigint) FROM credits
        WHERE customer_id = c.id AND remaining > 0) AS balance,
       (SELECT count(*) FROM subscriptions s
        WHERE s.customer_id = c.id AND s.ended_at IS NULL) AS subscriptions
FROM customers c LEFT JOIN LATERAL (
    SELECT status FROM wallets WHERE customer_id = c.id
    ORDER BY ({listed("status", LIVE)}) DESC, created_at DESC LIMIT 1
) AS w ON true"""  # noqa: S608 - a constant of ours

_WALLETS = """
SELECT id, customer_id AS customer, status, masked_phone, registration_url, bound_at, expires_at,
       created_at, closed_at, unbind_wanted_at, next_attempt_at, tries, reason, held_at, held_why
FROM wallets"""

_SUBSCRIPTIONS = f"""
SELECT s.id, s.customer_id AS customer, s.plan_code AS plan, s.status, s.quantity, s.amount,
       s.next_due_at, s.coupon_code AS coupon, s.coupon_left, s.extras, s.change_at,
       s.next_plan_code AS next_plan, s.next_quantity, s.next_amount,
       s.pause_at, s.resume_at, s.cancel_at, s.cancel_refund, s.cancel_unbind,
       s.reason, p.timezone,
       s.anchor_local AS anchor, s.start_at, s.first_paid_at, s.created_at, s.ended_at,
       s.held_at, s.held_why,
       w.status AS wallet_status
FROM subscriptions s JOIN plans p ON p.code = s.plan_code LEFT JOIN LATERAL (
    SELECT status FROM wallets WHERE customer_id = s.customer_id
    ORDER BY ({listed("status", LIVE)}) DESC, created_at DESC LIMIT 1
) AS w ON true"""  # noqa: S608 - a constant of ours

_INVOICES = f"""
SELECT i.id, i.subscription_id AS subscription, i.customer_id AS customer, i.period_index,
       i.change_index, i.period_start, i.period_end, i.amount, i.credited, i.lines,
       i.amount_refunded,
       (SELECT CAST(coalesce(sum(r.amount), 0) AS bigint) FROM refunds r WHERE r.invoice_id = i.id
        AND {listed("r.status", UNSETTLED)}) AS amount_refunding,
       i.status, i.next_attempt_at, i.blocked_on, i.shortfall, i.reason,
       i.first_failed_at, i.created_at, i.paid_at, i.closed_at, i.reopened_at, i.held_at,
       i.held_why, i.steps_short, i.step_deadline_at, i.planned_at,
       p.retries, p.retries_for, p.declines_max,
       p.attempts_max, p.days_max, p.timezone
FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
JOIN plans p ON p.code = s.plan_code"""  # noqa: S608 - a constant of ours

_CHARGES = f"""
SELECT c.id, c.invoice_id AS invoice, c.subscription_id AS subscription,
       c.customer_id AS customer, c.ordinal, c.gateway_number, CAST(c.id AS text) AS request_id,
       c.first_payment, c.trigger, c.amount,
       b.returned AS amount_refunded, c.refunded - b.returned AS amount_refunding,
       c.credited AS amount_credited, c.kept AS amount_kept,
       c.status, c.surplus, c.fault, c.code, c.message, c.waiting, c.sends, c.asks, c.created_at,
       c.settled_at, c.next_check_at, c.parked_at, c.resolved_at, c.contradicted_at,
       c.held_at, c.held_why,
       {CONFIRMING} AS confirming,
       i.status AS invoice_status, p.timezone
FROM charges c JOIN invoices i ON i.id = c.invoice_id
JOIN subscriptions s ON s.id = c.subscription_id
JOIN plans p ON p.code = s.plan_code
CROSS JOIN LATERAL (SELECT CAST(coalesce(sum(r.amount), 0) AS bigint) AS returned FROM refunds r
    WHERE r.charge_id = c.id AND {listed("r.status", RETURNED)}) AS b"""  # noqa: S608 - a constant of ours

_REFUNDS = """
SELECT r.id, r.charge_id AS charge, r.invoice_id AS invoice, r.customer_id AS customer, r.amount,
       r.status, r.purpose, r.source, r.credit_id AS credit, r.replaces, r.reason, r.code,
       r.message, r.tries, r.created_at, r.settled_at, r.next_attempt_at, r.parked_at, r.held_at,
       r.held_why, p.timezone
FROM refunds r JOIN invoices i ON i.id = r.invoice_id
JOIN subscriptions s ON s.id = i.subscription_id JOIN plans p ON p.code = s.plan_code"""

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


def _page(connection: Connection, statement: str, **parameters: Any) -> list[RowMapping]:
    return list(connection.execute(text(statement), parameters).mappings())


def _row(connection: Connection, statement: str, **parameters: Any) -> RowMapping | None:
    return connection.execute(text(statement), parameters).mappings().one_or_none()


def plans(connection: Connection, limit: int) -> list[RowMapping]:
    """Read plans, active ones first."""
    ending = "ORDER BY archived_at IS NOT NULL, code LIMIT :limit"
    return _page(connection, f"{_PLANS} {ending}", limit=limit)


def plan(connection: Connection, code: str) -> RowMapping | None:
    """Read one plan."""
    return _row(connection, f"{_PLANS} WHERE code = :code", code=code)


def customers(connection: Connection, limit: int) -> list[RowMapping]:
    """Read customers, newest first, with the status of their wallets."""
    ending = "ORDER BY c.created_at DESC, c.id LIMIT :limit"
    return _page(connection, f"{_CUSTOMERS} {ending}", limit=limit)


def customer(connection: Connection, customer_id: str) -> RowMapping | None:
    """Read one customer."""
    return _row(connection, f"{_CUSTOMERS} WHERE c.id = :id", id=customer_id)


def wallets(connection: Connection, status: str | None, limit: int) -> list[RowMapping]:
    """Read wallets, newest first."""
    ending = """WHERE CAST(:status AS text) IS NULL OR status = :status
        ORDER BY created_at DESC, id LIMIT :limit"""
    return _page(connection, f"{_WALLETS} {ending}", status=status, limit=limit)


def wallets_ending(connection: Connection, until: datetime, limit: int) -> list[RowMapping]:
    """Read active wallets whose token expires by an instant, with the affected subscriptions."""
    statement = """
        SELECT w.*, s.subscriptions FROM (SELECT * FROM ({wallets}) AS shown
            WHERE status = 'active' AND expires_at <= :until) AS w
        CROSS JOIN LATERAL (SELECT array_agg(s.id ORDER BY s.created_at, s.id) AS subscriptions
            FROM subscriptions s WHERE s.customer_id = w.customer AND s.ended_at IS NULL) AS s
        WHERE s.subscriptions IS NOT NULL ORDER BY w.expires_at, w.id LIMIT :limit"""
    return _page(connection, statement.format(wallets=_WALLETS), until=until, limit=limit)


def wallet_of(connection: Connection, customer_id: str) -> RowMapping | None:
    """Read the customer's live wallet, or the latest one if none is live."""
    ending = f"""WHERE customer_id = :customer
        ORDER BY ({listed("status", LIVE)}) DESC, created_at DESC LIMIT 1"""
    return _row(connection, f"{_WALLETS} {ending}", customer=customer_id)


def subscriptions(
    connection: Connection, *, status: str | None, customer_id: str | None, limit: int
) -> list[RowMapping]:
    """Read subscriptions, newest first."""
    ending = """WHERE (CAST(:status AS text) IS NULL OR s.status = :status)
        AND (CAST(:customer AS text) IS NULL OR s.customer_id = :customer)
        ORDER BY s.created_at DESC, s.id LIMIT :limit"""
    parameters = {"status": status, "customer": customer_id, "limit": limit}
    return _page(connection, f"{_SUBSCRIPTIONS} {ending}", **parameters)


def subscription(connection: Connection, subscription_id: UUID) -> RowMapping | None:
    """Read one subscription."""
    return _row(connection, f"{_SUBSCRIPTIONS} WHERE s.id = :id", id=subscription_id)


def invoices(
    connection: Connection, *, subscription_id: UUID | None, status: str | None, limit: int
) -> list[RowMapping]:
    """Read invoices, newest first."""
    ending = """WHERE (CAST(:subscription AS uuid) IS NULL OR i.subscription_id = :subscription)
        AND (CAST(:status AS text) IS NULL OR i.status = :status)
        ORDER BY i.created_at DESC, i.period_index DESC, i.change_index DESC, i.id LIMIT :limit"""
    parameters = {"subscription": subscription_id, "status": status, "limit": limit}
    return _page(connection, f"{_INVOICES} {ending}", **parameters)


def invoice(connection: Connection, invoice_id: UUID) -> RowMapping | None:
    """Read one invoice."""
    return _row(connection, f"{_INVOICES} WHERE i.id = :id", id=invoice_id)


def charges(
    connection: Connection, *, invoice_id: UUID | None, status: str | None, limit: int
) -> list[RowMapping]:
    """Read charges, newest first."""
    ending = """WHERE (CAST(:invoice AS uuid) IS NULL OR c.invoice_id = :invoice)
        AND (CAST(:status AS text) IS NULL OR c.status = :status)
        ORDER BY c.created_at DESC, c.ordinal DESC, c.id LIMIT :limit"""
    parameters = {"invoice": invoice_id, "status": status, "limit": limit}
    return _page(connection, f"{_CHARGES} {ending}", **parameters)


def charge(connection: Connection, name: str) -> RowMapping | None:
    """Read one charge, by its id or its gateway number."""
    ending = "WHERE c.gateway_number = :name OR c.id = CAST(:id AS uuid)"
    return _row(connection, f"{_CHARGES} {ending}", name=name, id=_uuid(name))


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def charges_of(connection: Connection, invoice_ids: Sequence[UUID]) -> list[RowMapping]:
    """Read the charges of a page of invoices, in the order in which they were made."""
    ending = "WHERE c.invoice_id = ANY(:ids) ORDER BY c.invoice_id, c.ordinal"
    return _page(connection, f"{_CHARGES} {ending}", ids=list(invoice_ids))


def refunds_of(connection: Connection, invoice_ids: Sequence[UUID]) -> list[RowMapping]:
    """Read the refunds of a page of invoices, oldest first."""
    ending = "WHERE r.invoice_id = ANY(:ids) ORDER BY r.created_at, r.charge_id, r.ordinal"
    return _page(connection, f"{_REFUNDS} {ending}", ids=list(invoice_ids))


def refunds(
    connection: Connection, *, status: str | None, customer_id: str | None, limit: int
) -> list[RowMapping]:
    """Read refunds, newest first."""
    ending = """WHERE (CAST(:status AS text) IS NULL OR r.status = :status)
        AND (CAST(:customer AS text) IS NULL OR r.customer_id = :customer)
        ORDER BY r.created_at DESC, r.ordinal DESC, r.id LIMIT :limit"""
    parameters = {"status": status, "customer": customer_id, "limit": limit}
    return _page(connection, f"{_REFUNDS} {ending}", **parameters)


def refund(connection: Connection, refund_id: UUID) -> RowMapping | None:
    """Read one refund."""
    return _row(connection, f"{_REFUNDS} WHERE r.id = :id", id=refund_id)


def last_events(
    connection: Connection, subscription_id: UUID | None, limit: int
) -> list[RowMapping]:
    """Read the latest events in chronological order."""
    statement = """
        SELECT * FROM (
            SELECT e.id, e.at AS created_at, e.kind, e.actor, e.reason, e.customer_id AS customer,
                   e.subscription_id AS subscription, e.invoice_id AS invoice,
                   e.charge_id AS charge, e.data, p.timezone
            FROM events e LEFT JOIN subscriptions s ON s.id = e.subscription_id
            LEFT JOIN plans p ON p.code = s.plan_code
            WHERE CAST(:subscription AS uuid) IS NULL OR e.subscription_id = :subscription
            ORDER BY e.id DESC LIMIT :limit) AS newest
        ORDER BY id"""
    return _page(connection, statement, subscription=subscription_id, limit=limit)


def life_of(
    connection: Connection, subscription_id: UUID, since: datetime, limit: int
) -> list[RowMapping]:
    """Read a subscription's events since an instant, oldest first, except movements of money.

    Charges and refunds, and events that only repeat them, are read from their own rows.
    """
    statement = """
        SELECT id, at, kind, actor, reason, invoice_id AS invoice, data FROM (
            SELECT * FROM events WHERE subscription_id = :subscription AND at >= :since
              AND kind NOT LIKE 'charge.%' AND kind NOT LIKE 'refund.%'
              AND kind NOT IN ('invoice.opened', 'invoice.paid', 'subscription.fell_behind',
                               'subscription.recovered')
            ORDER BY id DESC LIMIT :limit) AS newest
        ORDER BY id"""
    return _page(connection, statement, subscription=subscription_id, since=since, limit=limit)


def wallets_of(connection: Connection, customer_id: str, limit: int) -> list[RowMapping]:
    """Read a customer's wallets that were linked, newest first."""
    ending = """WHERE customer_id = :customer AND bound_at IS NOT NULL
        ORDER BY bound_at DESC LIMIT :limit"""
    return _page(connection, f"{_WALLETS} {ending}", customer=customer_id, limit=limit)


def invoiced_of(connection: Connection, subscription_id: UUID) -> RowMapping:
    """Count a subscription's invoices, and add up what was paid of them."""
    statement = text(
        "SELECT count(*) AS invoices,"
        " CAST(coalesce(sum(amount) FILTER (WHERE status = 'paid'), 0) AS bigint) AS amount"
        " FROM invoices WHERE subscription_id = :id"
    )
    return connection.execute(statement, {"id": subscription_id}).mappings().one()


def payments_of(connection: Connection, customer_id: str, limit: int) -> list[RowMapping]:
    """Count the payments of each invoice of a customer; those paid more than once first."""
    columns = """SELECT i.id, i.subscription_id AS subscription, i.period_index, i.period_start,
        i.amount, i.status, c.payments, c.surplus, c.unresolved, c.taken AS amount_taken,
        r.returned AS amount_refunded, r.on_its_way AS amount_refunding,
        c.credited AS amount_credited, c.kept AS amount_kept,
        r.unresolved AS unresolved_refunds, p.timezone"""
    ending = "ORDER BY c.payments > 1 DESC, i.period_start DESC, i.id LIMIT :limit"
    return _page(connection, f"{columns} {_PAYMENTS} {ending}", customer=customer_id, limit=limit)


def totals_of(connection: Connection, customer_id: str) -> RowMapping:
    """Add up a customer's payments and refunds, and report double payments.

    `kept_twice` says that more is kept of an invoice than one payment of it.
    """
    columns = """SELECT CAST(coalesce(sum(c.taken), 0) AS bigint) AS amount_taken,
        CAST(coalesce(sum(r.returned), 0) AS bigint) AS amount_refunded,
        CAST(coalesce(sum(r.on_its_way), 0) AS bigint) AS amount_refunding,
        CAST(coalesce(sum(c.credited), 0) AS bigint) AS amount_credited,
        CAST(coalesce(sum(c.kept), 0) AS bigint) AS amount_kept,
        CAST(coalesce(sum(c.unresolved), 0) AS bigint) AS unresolved,
        CAST(coalesce(sum(r.unresolved), 0) AS bigint) AS unresolved_refunds,
        coalesce(bool_or(c.payments > 1), false) AS charged_twice,
        coalesce(bool_or(c.payments > 1 AND (c.taken - r.returned) * c.payments > c.taken), false)
            AS kept_twice"""
    parameters = {"customer": customer_id}
    return connection.execute(text(f"{columns} {_PAYMENTS}"), parameters).mappings().one()

"""Statements that read the resources of webhooks, many at once, by their ids."""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.wallet import LIVE
from billing.store.expressions import listed
from billing.store.queries import balances, coupons, listing
from billing.store.queries import listing_rows as rows
from billing.store.selecting import every
from billing.store.statements import text

R = TypeVar("R", bound=NamedTuple)

_PLANS = f"{listing.PLANS.format('plans')} WHERE p.code = ANY(:keys)"
_COUPONS = f"{coupons.SHOWN.format('coupons')} WHERE k.code = ANY(:keys)"
_CUSTOMERS = f"{listing.CUSTOMERS.format('customers')} WHERE c.id = ANY(:keys)"
_WALLETS = f"{listing.WALLETS.format('wallets')} WHERE w.id = ANY(CAST(:keys AS uuid[]))"
_SUBSCRIPTIONS = f"""{listing.SUBSCRIPTIONS.format("subscriptions")}
    WHERE s.id = ANY(CAST(:keys AS uuid[]))"""
_INVOICES = f"{listing.INVOICES.format('invoices')} WHERE i.id = ANY(CAST(:keys AS uuid[]))"
_CHARGES = f"{listing.CHARGES.format('charges')} WHERE c.id = ANY(CAST(:keys AS uuid[]))"
_REFUNDS = f"{listing.REFUNDS.format('refunds')} WHERE r.id = ANY(CAST(:keys AS uuid[]))"
_CREDITS = f"{balances.SHOWN.format('credits')} WHERE b.id = ANY(CAST(:keys AS bigint[]))"
_NEWEST_WALLETS = f"""
    SELECT k.id AS customer, w.id FROM unnest(CAST(:keys AS text[])) AS k (id)
    CROSS JOIN LATERAL (SELECT id FROM wallets WHERE customer_id = k.id
        ORDER BY ({listed("status", LIVE)}) DESC, created_at DESC LIMIT 1) AS w"""  # noqa: S608 - a constant of ours


def _read(connection: Connection, row: type[R], statement: str, keys: Iterable[object]) -> list[R]:
    return every(row, connection.execute(text(statement), {"keys": list(keys)}))


def plans(connection: Connection, codes: Iterable[str]) -> list[rows.Plan]:
    """Read plans."""
    return _read(connection, rows.Plan, _PLANS, codes)


def coupons_of(connection: Connection, codes: Iterable[str]) -> list[coupons.Coupon]:
    """Read coupons."""
    return _read(connection, coupons.Coupon, _COUPONS, codes)


def customers(connection: Connection, ids: Iterable[str]) -> list[rows.Customer]:
    """Read customers."""
    return _read(connection, rows.Customer, _CUSTOMERS, ids)


def wallets(connection: Connection, ids: Iterable[UUID]) -> list[rows.Wallet]:
    """Read wallets."""
    return _read(connection, rows.Wallet, _WALLETS, ids)


def newest_wallets(connection: Connection, customer_ids: Iterable[str]) -> dict[str, UUID]:
    """Find the live wallet of each customer, or the latest one."""
    found = connection.execute(text(_NEWEST_WALLETS), {"keys": list(customer_ids)})
    return {row.customer: row.id for row in found}


def subscriptions(connection: Connection, ids: Iterable[UUID]) -> list[rows.Subscription]:
    """Read subscriptions."""
    return _read(connection, rows.Subscription, _SUBSCRIPTIONS, ids)


def invoices(connection: Connection, ids: Iterable[UUID]) -> list[rows.Invoice]:
    """Read invoices."""
    return _read(connection, rows.Invoice, _INVOICES, ids)


def charges(connection: Connection, ids: Iterable[UUID]) -> list[rows.Charge]:
    """Read charges."""
    return _read(connection, rows.Charge, _CHARGES, ids)


def refunds(connection: Connection, ids: Iterable[UUID]) -> list[rows.Refund]:
    """Read refunds."""
    return _read(connection, rows.Refund, _REFUNDS, ids)


def credits_of(connection: Connection, ids: Iterable[int]) -> list[balances.ShownCredit]:
    """Read credits."""
    return _read(connection, balances.ShownCredit, _CREDITS, ids)

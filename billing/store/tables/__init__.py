"""The tables, and the constraints that hold regardless of the code.

Each table is an SQLModel class; statements use the Core tables that are named in capitals here.
Enums are text with a CHECK, money is BIGINT, instants are timestamptz. There are no relationships:
joins are written in the statements.
"""

from sqlmodel import SQLModel

from billing.store.tables import (
    approvals,
    balance,
    billing,
    catalog,
    people,
    refunds,
    upkeep,
    webhooks,
)

__all__ = [
    "approvals", "balance", "billing", "catalog", "people", "refunds", "upkeep", "webhooks",
]  # fmt: skip

_TABLES = SQLModel.metadata.tables
PLANS = _TABLES["plans"]
CUSTOMERS = _TABLES["customers"]
WALLETS = _TABLES["wallets"]
SUBSCRIPTIONS = _TABLES["subscriptions"]
INVOICES = _TABLES["invoices"]
CHARGES = _TABLES["charges"]
REFUNDS = _TABLES["refunds"]
COUPONS = _TABLES["coupons"]
CREDITS = _TABLES["credits"]
CREDIT_USES = _TABLES["credit_uses"]
EVENTS = _TABLES["events"]
COMMANDS = _TABLES["commands"]
ENGINE = _TABLES["engine"]
IMPORTS = _TABLES["imports"]
HEARTBEATS = _TABLES["heartbeats"]
API_KEYS = _TABLES["api_keys"]
WEBHOOK_ENDPOINTS = _TABLES["webhook_endpoints"]

"""Examples: a made-up webhook of each main type, for the documents. Nothing is read."""

import json
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints
from uuid import NAMESPACE_URL, uuid5

from billing.domain.charge import ChargeStatus
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import Fault
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.services.reading import results
from billing.services.webhooks import payloads, resources
from billing.store.queries import listing_rows as rows
from billing.store.queries.deliveries import Sequenced
from billing.store.queries.event_feed import FeedEvent

R = TypeVar("R", bound=NamedTuple)

_AT = datetime(2026, 2, 28, 2, tzinfo=UTC)
_EXPIRES_AT = datetime(2027, 1, 31, 2, tzinfo=UTC)
_COUNTS = {"amount": 50_000, "attempt": 1, "quantity": 1, "sends": 1, "period_index": 1}
_TEXTS = {
    "customer": "cust-1", "name": "Siti Rahma", "code": "gold", "plan": "gold",
    "masked_phone": "****6789", "masked_email": "s***@mail.example", "timezone": "Asia/Jakarta",
    "gateway_number": "B7Q2M4K9T1", "retries": "2d 5d 7d 7d",
}  # fmt: skip


def _id(name: str) -> object:
    return uuid5(NAMESPACE_URL, name)


def _value(name: str, hint: Any) -> Any:
    """Make a value of a type; what may be missing is missing."""
    if hasattr(hint, "__metadata__"):
        hint = get_args(hint)[0]
    kind = get_origin(hint) or hint
    if kind is UnionType:
        return None
    if kind in (list, dict):
        return kind()
    if hasattr(kind, "_fields"):
        return _row(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    plain = {
        bool: False, int: _COUNTS.get(name, 0), str: _TEXTS.get(name, "…"), datetime: _AT,
    }  # fmt: skip
    return plain[kind] if kind in plain else _id(name)


def _row(kind: type[R], **known: object) -> R:
    hints = get_type_hints(kind, include_extras=True)
    return kind._make(
        known[name] if name in known else _value(name, hint) for name, hint in hints.items()
    )


def _wallet(status: WalletStatus) -> rows.Wallet:
    return _row(rows.Wallet, id=_id("wallet"), status=status, linked_at=_AT, expires_at=_EXPIRES_AT)


def _invoice(status: InvoiceStatus, **known: object) -> rows.Invoice:
    return _row(rows.Invoice, id=_id("invoice"), status=status, **known)


def _charge(status: ChargeStatus, **known: object) -> results.Charge:
    charge = _row(
        rows.Charge, id=_id("charge"), status=status, request_id=str(_id("charge")), **known
    )
    return results.Charge(charge, None)


def _refund(status: RefundStatus) -> rows.Refund:
    return _row(rows.Refund, id=_id("refund"), status=status, amount=10_000, reason="sorry")


_SUBSCRIPTION = _row(
    rows.Subscription, id=_id("subscription"), status=SubscriptionStatus.ACTIVE,
    wallet_status=WalletStatus.ACTIVE, next_due_at=_AT,
)  # fmt: skip
_WALLET_ID, _REFUND_ID = str(_id("wallet")), str(_id("refund"))
_MAIN: "dict[str, tuple[dict[str, object], NamedTuple | None]]" = {
    "invoice.upcoming": (
        {"plan": "gold", "period_index": 1, "amount": 45_000, "credited": 5_000, "currency": "IDR",
         "charge_at": _AT.isoformat(), "wallet_status": "active",
         "wallet_expires_at": _EXPIRES_AT.isoformat()},
        _SUBSCRIPTION,
    ),
    "invoice.paid": ({"amount": 50_000}, _invoice(InvoiceStatus.PAID, paid_at=_AT)),
    "invoice.short": (
        {"shortfall": 12_500, "asked_again_at": "2026-03-01T02:00:00+00:00"},
        _invoice(InvoiceStatus.OPEN, shortfall=12_500),
    ),
    "charge.succeeded": (
        {"source": "answer"}, _charge(ChargeStatus.SUCCEEDED, amount_kept=50_000, settled_at=_AT)
    ),
    "charge.declined": (
        {"fault": "insufficient_funds", "code": "insufficient_funds", "source": "answer"},
        _charge(ChargeStatus.DECLINED, fault=Fault.INSUFFICIENT_FUNDS, settled_at=_AT),
    ),
    "subscription.activated": ({}, _SUBSCRIPTION),
    "wallet.linked": ({"wallet": _WALLET_ID}, _wallet(WalletStatus.ACTIVE)),
    "wallet.expiring": (
        {"wallet": _WALLET_ID, "expires_at": _EXPIRES_AT.isoformat(), "days": 30,
         "subscriptions": 1},
        _wallet(WalletStatus.ACTIVE),
    ),
    "wallet.link_needed": (
        {"wallet": _WALLET_ID, "why": "token_expired"}, _wallet(WalletStatus.EXPIRED)
    ),
    "refund.succeeded": (
        {"refund": _REFUND_ID, "amount": 10_000}, _refund(RefundStatus.SUCCEEDED)
    ),
    "refund.failed": ({"refund": _REFUND_ID, "amount": 10_000}, _refund(RefundStatus.DECLINED)),
    "customer.updated": (
        {"changed": ["phone"]}, _row(results.Customer, row=_row(rows.Customer, id="cust-1"))
    ),
    "engine.charging_stopped": ({}, None),
}  # fmt: skip


def made() -> dict[str, dict[str, Any]]:
    """Return the body of an example of each main type."""
    return {kind: _body(kind, *parts) for kind, parts in _MAIN.items()}


def _body(kind: str, details: dict[str, object], resource: "NamedTuple | None") -> dict[str, Any]:
    noun = kind.partition(".")[0]
    of_subscription = noun in {"invoice", "charge", "refund", "subscription"}
    invoiced = noun in {"charge", "refund"} or kind in {"invoice.paid", "invoice.short"}
    recorded = _row(
        FeedEvent, id=4_720, position=4_711, type=kind, actor="scheduler", details=details,
        customer=None if noun == "engine" else "cust-1",
        subscription=_id("subscription") if of_subscription else None,
        invoice=_id("invoice") if invoiced else None,
        charge=_id("charge") if noun in {"charge", "refund"} or kind == "invoice.paid" else None,
    )  # fmt: skip
    key = resources.key_of(recorded)
    found = {} if key is None or resource is None else {key: resource}
    body = payloads.body(Sequenced(recorded, 5 if of_subscription else None), found)
    read: dict[str, Any] = json.loads(body)
    return read

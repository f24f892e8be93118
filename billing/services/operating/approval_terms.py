"""Approval terms: the money and days that a request was made for, and whether they are the same.

A request waits for hours, in which a subscription may renew. Only what changes its own effect ends
it: of a refund its invoice and the money that is kept, of a cancellation its money and days.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.approvals import Approvable
from billing.domain.payloads import Json
from billing.domain.periods import day_ends_at, zone
from billing.domain.subscription import RefundPolicy, SubscriptionStatus
from billing.services.reading.effects import Effect
from billing.store.queries import approvals, charges

TERMS = "terms"
"""Where they are among the arguments of a request."""


class Standing(NamedTuple):
    """What a refund is based on: rupiah that are kept of the invoice, and its newest event."""

    kept: int
    newest: int


def standing(
    connection: Connection, kind: Approvable, subscription_id: UUID, subject: str
) -> Standing | None:
    """Read it before the action runs; a cancellation has none."""
    if kind is not Approvable.REFUND:
        return None
    invoice_id = UUID(subject)
    paid = charges.refundable(connection, invoice_id)
    newest = approvals.newest_of_invoice(connection, subscription_id, invoice_id)
    return Standing(0 if paid is None else paid.kept, newest)


def of(base: Standing | None, effect: Effect) -> Json:
    """Return the terms of an action that was measured."""
    effect = effect.measured or effect
    terms: dict[str, object] = {
        "refunded": effect.amount_refunded, "credited": effect.amount_credited,
        "charged": effect.amount_charged, "voided": effect.amount_voided,
    }  # fmt: skip
    if base is not None:
        return terms | {"kept": base.kept, "newest": base.newest}
    before, after = effect.before.row, effect.after.row
    return terms | {
        "status": before.status.value, "status_after": after.status.value,
        "paid_until": _said(before.paid_through_at),
        "paid_until_after": _said(after.paid_through_at),
        "ends_at": _said(after.ended_at or after.cancel_at),
    }  # fmt: skip


def is_based_on(terms: Json, base: Standing | None) -> bool:
    """Whether a refund still has the invoice and the money that were shown."""
    return base is None or all(terms.get(name) == value for name, value in base._asdict().items())


def given(arguments: Json) -> Json:
    """Return the arguments of the action itself."""
    return {name: value for name, value in arguments.items() if name != TERMS}


def shown(arguments: Json) -> Json:
    """Return the terms that were shown to who asked; empty when none were stored."""
    found = arguments.get(TERMS)
    return found if isinstance(found, dict) else {}


def is_same(one: Json, other: Json) -> bool:
    """Whether money and days are the same: what happens now happens later than it was shown."""
    return bool(one) and _by_day(one) == _by_day(other)


def ends_at(arguments: Json, effect: Effect | None, now: datetime, hours: int) -> datetime:
    """Return the instant at which a request ends: after `hours`, or earlier.

    A refund of unused days is right until the end of the local day on which it was measured. That
    day may be over already.
    """
    latest = now + timedelta(hours=hours)
    of_days = arguments.get("refund") == RefundPolicy.PRORATED and arguments.get("when") == "now"
    if effect is None or not of_days:
        return latest
    measured_at = (effect.measured or effect).after.row.ended_at or now
    return min(latest, day_ends_at(measured_at, zone(effect.before.row.timezone)))


def _said(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _by_day(terms: Json) -> dict[str, object]:
    days = {"paid_until_after", "ends_at"}
    if terms.get("status_after") == SubscriptionStatus.CANCELED:
        # It ends when it is approved, as the request says; what it refunds is compared.
        return {name: value for name, value in terms.items() if name not in days}
    return {
        name: value[:10] if name in days and isinstance(value, str) else value
        for name, value in terms.items()
    }

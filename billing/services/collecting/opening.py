"""Opening: create the invoice of each period that has begun, and set the next due date.

Both happen in one transaction, and an invoice is unique for its subscription and period index,
so that opening twice is the same as opening once. The amount of the invoice is computed here:
a planned change of plan, a coupon, extra lines, and what the customer's credit covers.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import charge, intents, periods, pricing, subscription
from billing.domain.events import event
from billing.domain.intents import COLUMNS, Action, Intent
from billing.domain.subscription import CatchUp, Skipped, SubscriptionMove, SubscriptionStatus
from billing.store.queries import balances, catalog, events, invoices, subscriptions

PERIODS_A_PASS = 1_000
"""How many missed periods of one subscription are skipped in one transaction."""


class Batch(NamedTuple):
    """What one transaction opened."""

    invoices: int
    still_due: list[UUID]
    """Subscriptions that missed more than one period."""


@dataclass(slots=True)
class _Plan:
    """What opening the next period of one subscription writes."""

    change: dict[str, Any]
    more: dict[str, Any]
    invoice: dict[str, Any] | None = None
    facts: list[dict[str, Any]] = field(default_factory=list)


def open_begun(connection: Connection, subscription_id: UUID, now: datetime) -> None:
    """Open all begun periods of one subscription that is about to pause or end.

    The caller holds its lock. A late tick bills every period that began before.
    """
    due = [subscription_id]
    while due:
        due = open_in(connection, due, now).still_due


def open_in(connection: Connection, ids: Sequence[UUID], now: datetime) -> Batch:
    """Open one period of each subscription that is due and not locked."""
    due = subscriptions.lock_due_to_open(connection, ids, now)
    owing = subscriptions.owing(connection, [row["id"] for row in due])
    left = _credits(connection, due)
    plans = [_plan(connection, row, now, left, owes=row["id"] in owing) for row in due]
    new = invoices.open_periods(connection, [p.invoice for p in plans if p.invoice is not None])
    # First what is planned: a subscription that ends by this has nothing planned any more.
    for plan in plans:
        if plan.more:
            subscriptions.change(connection, plan.change["key"], **plan.more)
    subscriptions.change_opened(connection, [p.change for p in plans])
    balances.use(connection, [use for use in left.used if use[1] in new])
    told = {None, *new}
    facts = [fact for p in plans for fact in p.facts if fact["invoice_id"] in told]
    events.record(connection, facts)
    return Batch(len(new), [plan.change["key"] for plan in plans if _is_due(plan, now)])


def _is_due(plan: _Plan, now: datetime) -> bool:
    due = plan.change["next_due_at"]
    return due is not None and due <= now


@dataclass(slots=True)
class _Balance:
    """The remaining credits of customers in this transaction, and which invoice uses them."""

    left: dict[str, list[pricing.CreditLeft]]
    used: list[tuple[int, UUID, int]] = field(default_factory=list)

    def cover(self, customer_id: str, invoice_id: UUID, amount: int) -> int:
        """Use credits for an invoice, oldest first, and return how much they cover."""
        mine = self.left.get(customer_id)
        if not mine:
            return 0
        parts = pricing.allocate(mine, amount)
        taken = dict(parts)
        self.left[customer_id] = [
            credit._replace(remaining=credit.remaining - taken.get(credit.id, 0)) for credit in mine
        ]
        self.used += [(credit_id, invoice_id, part) for credit_id, part in parts]
        return sum(taken.values())


def _credits(connection: Connection, due: Iterable[Mapping[Any, Any]]) -> _Balance:
    left = defaultdict[str, list[pricing.CreditLeft]](list)
    for row in balances.lock_left(connection, list({row["customer_id"] for row in due})):
        left[row.customer_id].append(row)
    return _Balance(left)


def _plan(
    connection: Connection, row: Mapping[Any, Any], now: datetime, left: _Balance, *, owes: bool
) -> _Plan:
    about = {"at": now, "customer_id": row["customer_id"], "subscription_id": row["id"]}
    facts, more = [], dict[str, Any]()
    if row["change_at"] is not None and row["next_due_at"] >= row["change_at"]:
        row, more, fact = _turn(connection, row)
        facts.append(event(fact[0], **about, **fact[1]))
    dates = periods.calendar(row, row["anchor_local"])
    index, start = row["next_period_index"], row["next_due_at"]
    offset = row["anchor_index"]
    end = periods.following(dates, index - offset, start)
    skipped = index
    while _passes(row, start, end, now) and index - skipped < PERIODS_A_PASS:
        index, start = index + 1, end
        end = periods.following(dates, index - offset, start)
        if row["cycles"] is not None and index >= row["cycles"]:
            break
    if index > skipped:
        told = {"first": skipped, "last": index - 1, "why": Skipped.LATEST}
        facts.append(event("period.skipped", **about, **told))
    over = row["cycles"] is not None and index >= row["cycles"]
    invoice = None
    if not over and not periods.turns(row, start) and not _passes(row, start, end, now):
        invoice = _invoice(row, index, start, end, now, left, owes=owes)
        used = _used_up(row)
        more |= used | {"period_amount": invoice.pop("period")}
        facts += _told(invoice, about)
        if row["coupon_left"] is not None and used["coupon_left"] is None:
            facts.append(event("subscription.coupon_ended", **about, coupon=row["coupon_code"]))
        index, start = index + 1, end
        over = row["cycles"] is not None and index >= row["cycles"]
    status = row["status"]
    if status == SubscriptionStatus.TRIALING:
        status = subscription.advance(SubscriptionStatus.TRIALING, SubscriptionMove.ACTIVATE)
        facts.append(event("subscription.activated", **about))
    ends = over and not owes and (invoice is None or invoice["status"] == "paid")
    if ends:
        # Its last cycles went by unbilled, or cost nothing: no payment will complete it.
        met = intents.meet({**row, **more}, Action.COMPLETE)
        more |= met.columns
        facts += [event(kind, **about, **data) for kind, data in met.facts]
        facts.append(event("subscription.completed", **about, before=status))
        status = subscription.advance(SubscriptionStatus(status), SubscriptionMove.COMPLETE)
    change = {
        "key": row["id"],
        "next_period_index": index,
        "next_due_at": None if over else start,
        "status": status,
        "period_amount": more.pop("period_amount", row["period_amount"]),
        "ended_at": now if ends else None,
    }
    return _Plan(change, more, invoice, facts)


def as_changed(connection: Connection, row: Mapping[Any, Any], now: datetime) -> Mapping[Any, Any]:
    """Return the subscription with the due dates that a planned change gives it."""
    due, change_at = row["next_due_at"], row["change_at"]
    if not periods.change_is_late(row, now):
        return row
    if change_at > due:
        row = {**row, "next_period_index": row["change_period"], "next_due_at": change_at}
    return _turn(connection, row)[0]


def _turn(
    connection: Connection, row: Mapping[Any, Any]
) -> tuple[Mapping[Any, Any], dict[str, Any], tuple[str, dict[str, Any]]]:
    """Apply a planned change: return the changed subscription, its new columns, and the event.

    A change to a plan whose term would be over is dropped: it must not end the subscription.
    """
    plan = catalog.plan(connection, row["next_plan_code"])
    assert plan is not None  # noqa: S101 - a foreign key holds it
    if plan["cycles"] is not None and row["next_period_index"] >= plan["cycles"]:
        none = dict(COLUMNS[Intent.CHANGE])
        why = f"plan {plan['code']} ends after {plan['cycles']} periods"
        told = {"why": why, "change_at": row["change_at"].isoformat()}
        return {**row, **none}, none, ("subscription.change_dropped", told)
    more = periods.changed(row, plan, row["next_due_at"])
    told = {"plan": more["plan_code"], "quantity": more["quantity"], "amount": more["amount"]}
    turned = {**row, **{name: plan[name] for name in _OF_A_PLAN}, **more}
    return turned, more, ("subscription.changed", told)


_OF_A_PLAN = ("every", "cron", "timezone", "cycles", "catch_up")


def _passes(row: Mapping[Any, Any], start: datetime, end: datetime, now: datetime) -> bool:
    """Whether the period from `start` to `end` has passed and is not billed."""
    return (
        row["catch_up"] == CatchUp.LATEST
        and periods.goes_by(row, end, now)
        and not periods.turns(row, start)
    )


def _used_up(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what an invoice consumes of its subscription: extra lines, a cycle of a coupon."""
    more: dict[str, Any] = {}
    if row["extras"]:
        more["extras"] = []
    if row["coupon_left"] is not None:
        more["coupon_left"] = pricing.cycles_left(row["coupon_left"]) or None
        if more["coupon_left"] is None:
            more["coupon_code"] = None
    return more


def _invoice(
    row: Mapping[Any, Any], index: int, start: datetime, end: datetime, now: datetime,
    left: _Balance, *, owes: bool,
) -> dict[str, Any]:  # fmt: skip
    identity = charge.invoice_id(row["id"], index)
    price = pricing.price(row)
    pricing.check_largest((price.amount,))
    credited = left.cover(row["customer_id"], identity, price.amount)
    free = credited == price.amount
    return {
        "id": identity,
        "subscription_id": row["id"],
        "customer_id": row["customer_id"],
        "period_index": index,
        "change_index": 0,
        "period_start": start,
        "period_end": end,
        "amount": price.amount,
        "credited": credited,
        "lines": list(price.lines),
        "period": price.period,
        "status": "paid" if free else "open",
        "paid_at": now if free else None,
        "closed_at": now if free else None,
        # While an older invoice is unpaid, or a charge unresolved, this one waits; it follows
        # as soon as that has ended.
        "next_attempt_at": None if owes or free else now,
        "created_at": now,
    }


def _told(invoice: Mapping[str, Any], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    credited = {"credited": invoice["credited"]} if invoice["credited"] else {}
    facts = [
        event("invoice.opened", **about, invoice_id=invoice["id"],
              period_index=invoice["period_index"], amount=invoice["amount"], **credited)
    ]  # fmt: skip
    if invoice["status"] == "paid":
        facts.append(event("invoice.paid", **about, invoice_id=invoice["id"], amount=0))
    return facts

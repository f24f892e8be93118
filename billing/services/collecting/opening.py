"""Opening: create the invoice of each period that has begun, and set the next due date.

Both happen in one transaction, and an invoice is unique for its subscription and period index, so
that opening twice has the effect of opening once. The amount of the invoice is computed here, from
a planned change, a coupon, extra lines and the customer's credit.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import charge, intents, periods, pricing, subscription
from billing.domain.events import About, Event, NewEvent, event
from billing.domain.intents import Action
from billing.domain.invoice import InvoiceStatus
from billing.domain.payloads import Json
from billing.domain.periods import Changed
from billing.domain.subscription import CatchUp, Skipped, SubscriptionMove, SubscriptionStatus
from billing.domain.terms import Columns, is_last_cycle
from billing.store.queries import balances, catalog, events, invoices, subscriptions
from billing.store.queries.invoice_rows import NewInvoice
from billing.store.queries.subscription_rows import (
    DueSubscription,
    Standing,
    Subscription,
)

PERIODS_A_PASS = 1_000
"""How many missed periods of one subscription are skipped in one transaction."""

R = TypeVar("R", DueSubscription, Subscription)


class Batch(NamedTuple):
    """What one transaction opened."""

    invoices: int
    still_due: list[UUID]
    """Subscriptions that missed more than one period."""


@dataclass(slots=True)
class _Plan:
    """What opening the next period of one subscription writes."""

    change: Standing
    more: Changed
    dropped: Columns
    invoice: NewInvoice | None = None
    facts: list[Event] = field(default_factory=list)


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
    owing = subscriptions.owing(connection, [row.id for row in due])
    left = _credits(connection, due)
    plans = [_plan(connection, row, now, left, owes=row.id in owing) for row in due]
    new = invoices.open_periods(connection, [p.invoice for p in plans if p.invoice is not None])
    # Planned changes first: a subscription that ends here has no plans afterwards.
    for plan in plans:
        if plan.more:
            subscriptions.change(connection, plan.change.key, **plan.more)
        if plan.dropped:
            subscriptions.change(connection, plan.change.key, **plan.dropped)
    subscriptions.move(connection, [p.change for p in plans])
    balances.use(connection, [use for use in left.used if use[1] in new])
    recorded = {None, *new}
    facts = [fact for p in plans for fact in p.facts if fact.get("invoice_id") in recorded]
    events.record(connection, facts)
    return Batch(len(new), [plan.change.key for plan in plans if _is_due(plan, now)])


def _is_due(plan: _Plan, now: datetime) -> bool:
    due = plan.change.next_due_at
    return due is not None and due <= now


@dataclass(slots=True)
class _Balance:
    """The unused credits of customers in this transaction, and which invoice uses them."""

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


def _credits(connection: Connection, due: Iterable[DueSubscription]) -> _Balance:
    left = defaultdict[str, list[pricing.CreditLeft]](list)
    for row in balances.lock_left(connection, list({row.customer_id for row in due})):
        left[row.customer_id].append(row)
    return _Balance(left)


def _plan(
    connection: Connection, row: DueSubscription, now: datetime, left: _Balance, *, owes: bool
) -> _Plan:
    about: About = {"customer_id": row.customer_id, "subscription_id": row.id}
    facts, more = [], Changed()
    if periods.turns(row, row.next_due_at):
        row, more, fact = _turn(connection, row)
        facts.append(event(fact[0], at=now, data=fact[1], **about))
    dates = periods.dates_of(row)
    index, start = row.next_period_index, row.next_due_at
    offset = row.anchor_index
    end = periods.following(dates, index - offset, start)
    skipped = index
    while _passes(row, start, end, now) and index - skipped < PERIODS_A_PASS:
        index, start = index + 1, end
        end = periods.following(dates, index - offset, start)
        if is_last_cycle(row.cycles, index):
            break
    if index > skipped:
        data = {"first": skipped, "last": index - 1, "why": Skipped.LATEST}
        facts.append(event("period.skipped", at=now, data=data, **about))
    over = is_last_cycle(row.cycles, index)
    invoice, period_amount = None, row.period_amount
    if not over and not periods.turns(row, start) and not _passes(row, start, end, now):
        price = pricing.price(row)
        invoice = _invoice(row, price, index, (start, end), now, left, owes=owes)
        period_amount = price.period
        facts += _events_of(invoice, now, about)
        if _use_up(row, more):
            coupon = row.coupon_code
            facts.append(event("subscription.coupon_ended", at=now, coupon=coupon, **about))
        index, start = index + 1, end
        over = is_last_cycle(row.cycles, index)
    status, dropped = row.status, Columns()
    if status is SubscriptionStatus.TRIALING:
        status = subscription.advance(SubscriptionStatus.TRIALING, SubscriptionMove.ACTIVATE)
        facts.append(event("subscription.activated", at=now, **about))
    ends = over and not owes and (invoice is None or invoice.status is InvoiceStatus.PAID)
    if ends:
        # Its last periods were skipped or free: no payment will complete the subscription.
        coupon_left = more.get("coupon_left", row.coupon_left)
        met = intents.meet(row._replace(coupon_left=coupon_left), Action.COMPLETE)
        dropped = met.columns
        facts += [event(kind, at=now, data=data, **about) for kind, data in met.facts]
        facts.append(event("subscription.completed", at=now, before=status, **about))
        status = subscription.advance(status, SubscriptionMove.COMPLETE)
    change = Standing(
        row.id, status, index, None if over else start, period_amount,
        trial_left_seconds=None, ended_at=now if ends else None,
    )  # fmt: skip
    return _Plan(change, more, dropped, invoice, facts)


def as_changed(connection: Connection, row: Subscription, now: datetime) -> Subscription:
    """Return the subscription with the due dates that a planned change gives it."""
    due, change_at = row.next_due_at, row.change_at
    if due is None or change_at is None or not periods.change_is_late(row, now):
        return row
    if change_at > due and row.change_period is not None:
        row = row._replace(next_period_index=row.change_period, next_due_at=change_at)
    return _turn(connection, row)[0]


def _turn(connection: Connection, row: R) -> tuple[R, Changed, NewEvent]:
    """Apply a planned change: return the changed subscription, its new columns, and the event.

    A change to a plan whose term would be over is dropped: it must not end the subscription.
    """
    assert row.next_plan_code and row.change_at and row.next_due_at  # noqa: S101, PT018 - it is due
    plan = catalog.plan(connection, row.next_plan_code)
    assert plan is not None  # noqa: S101 - a foreign key ensures it
    data: Json
    none: Changed = {
        "change_at": None, "change_period": None, "next_plan_code": None,
        "next_quantity": None, "next_amount": None,
    }  # fmt: skip
    unplanned = row._replace(
        change_at=None, next_plan_code=None, next_quantity=None, next_amount=None
    )
    if is_last_cycle(plan.cycles, row.next_period_index):
        why = f"plan {plan.code} ends after {plan.cycles} periods"
        data = {"why": why, "change_at": row.change_at.isoformat()}
        return unplanned, none, ("subscription.change_dropped", data)
    more = periods.changed(row, plan, row.next_due_at)
    terms = periods.planned_terms(row)
    data = {"plan": terms.plan_code, "quantity": terms.quantity, "amount": terms.amount}
    turned = unplanned._replace(
        **plan.terms._asdict(),
        plan_code=terms.plan_code,
        amount=terms.amount,
        anchor_local=more.get("anchor_local", row.anchor_local),
        anchor_index=more.get("anchor_index", row.anchor_index),
    )
    return turned, more, ("subscription.changed", data)


def _passes(row: DueSubscription, start: datetime, end: datetime, now: datetime) -> bool:
    """Whether the period from `start` to `end` is over and is not billed."""
    return (
        row.catch_up is CatchUp.LATEST
        and periods.goes_by(row, end, now)
        and not periods.turns(row, start)
    )


def _use_up(row: DueSubscription, more: Changed) -> bool:
    """Write what an invoice uses of extra lines and a coupon; return whether the coupon ends."""
    if row.extras:
        more["extras"] = []
    if row.coupon_left is None:
        return False
    left = pricing.cycles_left(row.coupon_left) or None
    more["coupon_left"] = left
    if left is None:
        more["coupon_code"] = None
    return left is None


def _invoice(
    row: DueSubscription, price: pricing.Price, index: int, days: tuple[datetime, datetime],
    now: datetime, left: _Balance, *, owes: bool,
) -> NewInvoice:  # fmt: skip
    pricing.check_largest((price.amount,))
    identity = charge.invoice_id(row.id, index)
    credited = left.cover(row.customer_id, identity, price.amount)
    cost = price.amount, credited, list(price.lines)
    place = row.id, row.customer_id, row.plan_code, index, 0
    return NewInvoice.of(identity, place, days, cost, now, waits=owes)


def _events_of(invoice: NewInvoice, now: datetime, about: About) -> list[Event]:
    about = {**about, "invoice_id": invoice.id}
    credited = {"credited": invoice.credited} if invoice.credited else {}
    facts = [
        event("invoice.opened", at=now, data=credited, period_index=invoice.period_index,
              amount=invoice.amount, **about)
    ]  # fmt: skip
    if invoice.status is InvoiceStatus.PAID:
        facts.append(event("invoice.paid", at=now, amount=0, **about))
    return facts

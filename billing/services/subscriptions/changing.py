"""Changing: another plan, quantity or price for a running subscription, now or at period end.

Within a period the unused days are prorated: those of the old price are credited, those of the new
price charged, by one invoice over the difference. A plan with other due dates begins a new period
at once, and the unused days of the old one are credited. The table of intents decides about planned
intents.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Required, TypedDict
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import charge, periods, pricing, segments, subscription
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import About, Actor, event
from billing.domain.instants import spoken
from billing.domain.intents import Action
from billing.domain.invoice import InvoiceStatus
from billing.domain.money import MAX_AMOUNT, checked_amount
from billing.domain.subscription import SubscriptionStatus
from billing.domain.terms import Carried, is_last_cycle
from billing.services.context import Context, Request, once
from billing.services.subscriptions import intents, proration, subscribing
from billing.store.queries import balances, coupons, events, invoices, subscriptions
from billing.store.queries.catalog import Plan
from billing.store.queries.invoice_rows import Invoice, NewInvoice
from billing.store.queries.subscription_rows import Changes, Subscription
from schedules.walltime import local_anchor

NOW, PERIOD_END = "now", "period-end"
UNBILLED = (SubscriptionStatus.PENDING, SubscriptionStatus.TRIALING)
"""Nothing was charged in these states, so nothing is prorated."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The target of a change. `amount` is rupiah per period."""

    plan: Plan
    quantity: int
    amount: int


class Changed(TypedDict, total=False):
    """The answer to a change: its terms, and its date or its money in rupiah.

    `changed` is False when a planned change was withdrawn; then the terms are left out.
    """

    id: Required[str]
    changed: Required[bool]
    change_at: str
    plan: str
    quantity: int
    amount: int
    credit: int
    charge: int
    net: int


def change(
    context: Context,
    subscription_id: UUID,
    by: Actor,
    *,
    plan_code: str | None = None,
    quantity: int | None = None,
    amount: int | None = None,
    at: str = NOW,
    request: Request | None = None,
) -> Changed:
    """Change plan, quantity or price; terms that are not given stay unchanged.

    `amount` is the price per period instead of the plan's amount times the quantity. Naming
    the current terms withdraws a planned change. Raises NotKnown, IllegalMove
    (archived plan, ended or not paid up) or InvalidValue.
    """
    if at not in {NOW, PERIOD_END}:
        raise InvalidValue(f"at must be now or period-end, not {at!r}", field="at")
    if plan_code is None and quantity is None and amount is None:
        raise InvalidValue("say what to change: plan, quantity or amount", field="plan")
    if quantity is not None:
        subscribing.check_quantity(quantity)

    def act(connection: Connection, now: datetime) -> Changed:
        row = subscriptions.lock_one(connection, subscription_id)
        if row is None:
            raise NotKnown(f"no subscription has the id {subscription_id}")
        status = row.status
        if status in subscription.ENDED:
            raise IllegalMove(f"subscription {subscription_id} is {status}; nothing to change")
        now = invoices.not_before_period(connection, subscription_id, now)
        intents.check_nothing_is_late(row, now)
        wanted = _wanted(connection, row, plan_code, quantity, amount)
        if _is(row, wanted):
            return _withdraw(connection, row, by, now)
        pricing.check_largest((wanted.amount,), row.extras)
        if at == PERIOD_END and row.next_due_at is not None:
            return _plan(connection, row, wanted, by, now)
        _check_dates(row, wanted.plan, row.next_period_index)
        return _change_now(connection, row, wanted, by, now)

    return once(context, request, act)


def _wanted(
    connection: Connection, row: Subscription, plan_code: str | None, quantity: int | None,
    amount: int | None,
) -> _Wanted:  # fmt: skip
    plan = subscribing.known_plan(connection, plan_code or row.plan_code)
    times = quantity or row.quantity
    if plan.code != row.plan_code:
        if plan.archived_at is not None:
            raise IllegalMove(f"plan {plan.code!r} is archived; choose another one")
        cost = plan.amount * times
    else:
        # A running subscription has its own price; the plan's may be different now.
        cost, rest = divmod(row.amount * times, row.quantity)
        if rest and amount is None:
            said = f"its own price is not whole rupiah for {times:,}; give an amount"
            raise InvalidValue(said, field="amount")
    cost = cost if amount is None else amount
    return _Wanted(plan, times, checked_amount(cost, "the amount of a period"))


def _is(row: Subscription, wanted: _Wanted) -> bool:
    said = (wanted.plan.code, wanted.quantity, wanted.amount)
    return said == (row.plan_code, row.quantity, row.amount)


def _withdraw(connection: Connection, row: Subscription, by: Actor, now: datetime) -> Changed:
    if row.change_at is None:
        raise IllegalMove(f"subscription {row.id} already has these terms; nothing to change")
    intents.withdraw_change(connection, row, now, by)
    return {"id": str(row.id), "changed": False}


def _check_dates(row: Subscription, plan: Plan, index: int) -> None:
    """Refuse a change that leaves a gap between periods, or whose term is over already.

    `index` is the first period on the new plan.
    """
    begun = row.anchor_local is not None
    if begun and plan.cron is not None and not periods.same_schedule(row, plan):
        raise InvalidValue(
            f"plan {plan.code!r} has dates of its own (cron); end this subscription at its"
            " period's end and subscribe to that plan from then on"
        )
    if is_last_cycle(plan.cycles, index):
        raise IllegalMove(
            f"plan {plan.code!r} ends after {plan.cycles} periods, and this subscription"
            f" has had {index} by then"
        )


def _plan(
    connection: Connection, row: Subscription, wanted: _Wanted, by: Actor, now: datetime
) -> Changed:
    """Plan the change for the first period that begins after now."""
    place = periods.next_period(row, now)
    _check_dates(row, wanted.plan, place.period)
    if is_last_cycle(row.cycles, place.period):
        raise IllegalMove(
            f"its term of {row.cycles} periods ends on {spoken(place.at)}; change it"
            " now, or create a new subscription from then on"
        )
    intents.plan_change(connection, row, place, _terms(wanted), now, by)
    answer = _answer(row, wanted)
    answer["change_at"] = place.at.isoformat()
    return answer


def _carried(connection: Connection, row: Subscription, wanted: _Wanted) -> Carried | None:
    """Return the planned change after an immediate one: the terms that it names stay.

    None when no difference remains, or when it names a price and another of its terms changes,
    because its meaning would then be ambiguous.
    """
    code, before = row.next_plan_code, row.next_quantity
    assert code is not None and before is not None  # noqa: S101, PT018 - a CHECK ensures it
    planned = subscribing.known_plan(connection, code)
    plan = wanted.plan if planned.code == row.plan_code else planned
    quantity = wanted.quantity if before == row.quantity else before
    usual = _usual((row.plan_code, row.quantity, row.amount), planned, before)
    amount: int | None
    if row.next_amount != usual:
        same = (plan.code, quantity) == (planned.code, before)
        amount = row.next_amount if same else None
    else:
        amount = _usual(_terms(wanted), plan, quantity)
    if amount is None or amount + pricing.total(row.extras) > MAX_AMOUNT:
        return None
    if (plan.code, quantity, amount) == (wanted.plan.code, wanted.quantity, wanted.amount):
        return None
    return Carried(plan.code, quantity, amount)


def _usual(now: tuple[str, int, int], plan: Plan, quantity: int) -> int | None:
    """Return the price per period after a change without a price; None if not whole rupiah."""
    code, times, amount = now
    if plan.code != code:
        return plan.amount * quantity
    cost, rest = divmod(amount * quantity, times)
    return None if rest else cost


def _terms(wanted: _Wanted) -> Carried:
    return Carried(wanted.plan.code, wanted.quantity, wanted.amount)


def _answer(row: Subscription, wanted: _Wanted) -> Changed:
    return {
        "id": str(row.id), "changed": True, "plan": wanted.plan.code, "quantity": wanted.quantity,
        "amount": wanted.amount,
    }  # fmt: skip


def _change_now(
    connection: Connection, row: Subscription, wanted: _Wanted, by: Actor, now: datetime
) -> Changed:
    columns: Changes = {
        "plan_code": wanted.plan.code, "quantity": wanted.quantity, "amount": wanted.amount,
    }  # fmt: skip
    settled = pricing.Change(0, 0)
    current = _paid_up(connection, row, now)
    same = periods.same_schedule(row, wanted.plan)
    if current is not None and same:
        _check_nothing_given_up(connection, current)
    intents.meet(
        connection, row, _action(row, wanted, same=same), now, by,
        carried=lambda: _carried(connection, row, wanted),
    )  # fmt: skip
    if current is not None and same:
        left = proration.unused(connection, row, current, now)
        settled = _settled(row, wanted, _again(connection, current, wanted.amount), left)
        columns["period_amount"] = settled.after
        _collect(connection, row, wanted.plan.code, current, left, settled, by, now)
    elif current is not None:
        columns |= _from_now(row, wanted, current, now)
        settled = pricing.Change(proration.cut(connection, row, now, by, "change of plan"), 0)
    elif not same and row.anchor_local is not None and row.next_due_at is not None:
        columns["anchor_local"] = periods.anchor_from(row, wanted.plan, row.next_due_at)
        columns["anchor_index"] = row.next_period_index
    subscriptions.change(connection, row.id, **columns)
    answer = _answer(row, wanted)
    answer |= {"credit": settled.credit, "charge": settled.charge, "net": settled.net}
    data = {name: value for name, value in answer.items() if name not in {"id", "changed"}}
    intents.tell(connection, row, now, by, [("subscription.changed", data)])
    return answer


def _action(row: Subscription, wanted: _Wanted, *, same: bool) -> Action:
    if not same:
        return Action.CHANGE_SCHEDULE
    other_plan = wanted.plan.code != row.plan_code
    return Action.CHANGE_NOW if other_plan else Action.CHANGE_QUANTITY


def _paid_up(connection: Connection, row: Subscription, now: datetime) -> Invoice | None:
    """Return the invoice of the current period; None when there is nothing to prorate.

    Raises IllegalMove while something is owed: unpaid days cannot be credited.
    """
    status = row.status
    late = row.next_due_at is not None and row.next_due_at <= now
    if status in UNBILLED and not late:
        return None
    if status not in subscription.OPENING:
        raise IllegalMove(
            f"subscription {row.id} is {status}; it can be changed when it runs again"
        )
    if late or subscriptions.owing(connection, [row.id]):
        raise IllegalMove(
            f"an invoice of subscription {row.id} is not paid yet; try again when it is, or"
            " change it at period-end"
        )
    if row.next_due_at is None:
        raise IllegalMove("its last period has been billed; there is nothing to change")
    return invoices.current_of(connection, row.id, now)


def _check_nothing_given_up(connection: Connection, current: Invoice) -> None:
    """Raise IllegalMove if an invoice of the current period is uncollectible.

    It may still be paid, and a change would charge or credit the same days a second time.
    """
    of_it = invoices.of_period(connection, current.subscription_id, current.period_index)
    for each in of_it:
        if each.invoice.status is InvoiceStatus.UNCOLLECTIBLE:
            known = each.invoice.id
            raise IllegalMove(
                f"invoice {known} of the current period is uncollectible; retry it or void it"
                " first, or change it at period-end",
                hint=f"billing invoice retry {known}, or: billing invoice void {known}",
            )


def _again(connection: Connection, current: Invoice, amount: int) -> int:
    """Return the current period's full price on other terms, with the same coupon."""
    code = pricing.coupon_of(current.lines)
    if code is None:
        return amount
    coupon = coupons.one(connection, code)
    assert coupon is not None  # noqa: S101 - coupons are never deleted
    return amount - pricing.discount(amount, coupon.percent, coupon.amount)


def _from_now(row: Subscription, wanted: _Wanted, current: Invoice, now: datetime) -> Changes:
    """Return the columns of a subscription whose next period begins at this instant."""
    begins = now.replace(microsecond=0)
    if begins <= current.period_start:
        raise IllegalMove("its period has only just begun; try again in a second")
    return {
        "anchor_local": local_anchor(begins, periods.zone(wanted.plan.timezone)),
        "anchor_index": row.next_period_index,
        "next_due_at": begins,
        "period_amount": 0,
    }


def _settled(
    row: Subscription, wanted: _Wanted, after: int, left: segments.Unused
) -> pricing.Change:
    """Return the price difference of the remaining days; `after` is the new price."""
    made = pricing.change(left.price, after, left.days, left.whole, paid=left.returnable)
    if made.net > 0 and wanted.amount <= row.amount:
        # A period that cost nothing, or one paid at a lower price before a change whose invoice is
        # void, keeps its price: a change that does not raise the price charges nothing.
        return pricing.Change(0, 0, left.price, left.price)
    return made


def _collect(
    connection: Connection, row: Subscription, plan_code: str, current: Invoice,
    left: segments.Unused, settled: pricing.Change, by: Actor, now: datetime,
) -> None:  # fmt: skip
    """Charge the price difference of a change, or add it to the customer's credit.

    Its invoice is of the plan after the change.
    """
    if settled.net < 0:
        proration.give(connection, row, current, left, -settled.net, "change of plan", by, now)
    if settled.net <= 0:
        return
    paid = invoices.of_period(connection, row.id, current.period_index)
    index, change_index = current.period_index, paid[0].invoice.change_index + 1
    identity = charge.invoice_id(row.id, index, change_index)
    used = pricing.allocate(balances.lock_left(connection, [row.customer_id]), settled.net)
    credited = sum(part for _, part in used)
    days = min(now, current.period_end - timedelta(seconds=1)), current.period_end
    cost = settled.net, credited, settled.lines
    place = row.id, row.customer_id, plan_code, index, change_index
    opened = NewInvoice.of(identity, place, days, cost, now)
    invoices.open_periods(connection, [opened])
    balances.use(connection, [(credit, identity, part) for credit, part in used])
    about: About = {
        "customer_id": row.customer_id, "subscription_id": row.id, "invoice_id": identity,
    }  # fmt: skip
    facts = [
        event(
            "invoice.opened", at=now, by=by, **about, period_index=index,
            change_index=change_index, amount=settled.net, credited=credited,
        )
    ]  # fmt: skip
    if opened.status is InvoiceStatus.PAID:
        facts.append(event("invoice.paid", at=now, by=by, **about, amount=0))
    events.record(connection, facts)

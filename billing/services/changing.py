"""Changing: another plan, quantity or price for a running subscription, now or at period end.

Within a period the days that are left are settled: those of the old price are credited, those of
the new one charged, by one invoice over the difference. A plan with other due dates begins a new
period at once, and what is left of the old one is the customer's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import charge, periods, pricing, subscription
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.money import checked_amount
from billing.domain.periods import NO_CHANGE
from billing.domain.subscription import SubscriptionStatus
from billing.services import crediting, subscribing
from billing.services.context import Context, Request, once
from billing.store.queries import balances, coupons, events, invoices, subscriptions
from schedules.walltime import local_anchor

NOW, PERIOD_END = "now", "period-end"
UNBILLED = (SubscriptionStatus.PENDING, SubscriptionStatus.TRIALING)
"""Nothing has been charged in these, so that nothing is settled."""
Row = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a subscription is to become. `amount` is rupiah a period."""

    plan: Row
    quantity: int
    amount: int


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
) -> dict[str, Any]:
    """Change plan, quantity or price; what is not named stays as it is.

    `amount` is what a period costs instead of the plan's amount times the quantity. Naming what
    the subscription is already takes a planned change back. Raises NotKnown, IllegalMove
    (archived plan, ended or not paid up) or InvalidValue.
    """
    if at not in {NOW, PERIOD_END}:
        raise InvalidValue(f"--at must be now or period-end, not {at!r}")
    if plan_code is None and quantity is None and amount is None:
        raise InvalidValue("say what to change: --plan, --quantity or --amount")
    if quantity is not None:
        subscribing.check_quantity(quantity)

    def act(connection: Connection, now: datetime) -> dict[str, Any]:
        row = subscriptions.lock_one(connection, subscription_id)
        if row is None:
            raise NotKnown(f"no subscription has the id {subscription_id}")
        status = SubscriptionStatus(row["status"])
        if status in subscription.ENDED:
            raise IllegalMove(f"subscription {subscription_id} is {status}; nothing to change")
        wanted = _wanted(connection, row, plan_code, quantity, amount)
        if _is(row, wanted):
            return _withdraw(connection, row, by, now)
        _check_dates(row, wanted)
        if at == PERIOD_END and row["next_due_at"] is not None:
            return _plan(connection, row, wanted, by, now)
        return _change_now(connection, row, wanted, by, now)

    return once(context, request, act)


def _wanted(
    connection: Connection, row: Row, plan_code: str | None, quantity: int | None,
    amount: int | None,
) -> _Wanted:  # fmt: skip
    plan = subscribing.known_plan(connection, plan_code or row["plan_code"])
    times = quantity or row["quantity"]
    if plan["code"] != row["plan_code"]:
        if plan["archived_at"] is not None:
            raise IllegalMove(f"plan {plan['code']!r} is archived; choose another one")
        cost = plan["amount"] * times
    else:
        # The price of a running subscription is its own; the plan's may differ by now.
        cost, rest = divmod(row["amount"] * times, row["quantity"])
        if rest and amount is None:
            raise InvalidValue(f"its own price is no whole rupiah for {times:,}; say --amount")
    cost = cost if amount is None else amount
    return _Wanted(plan, times, checked_amount(cost, "the amount of a period"))


def _is(row: Row, wanted: _Wanted) -> bool:
    said = (wanted.plan["code"], wanted.quantity, wanted.amount)
    return said == (row["plan_code"], row["quantity"], row["amount"])


def _withdraw(connection: Connection, row: Row, by: Actor, now: datetime) -> dict[str, Any]:
    if row["change_at"] is None:
        raise IllegalMove(f"subscription {row['id']} is what you name already; nothing to change")
    subscriptions.change(connection, row["id"], **NO_CHANGE)
    _tell(connection, row, "subscription.change_withdrawn", by, now)
    return {"id": str(row["id"]), "changed": False}


def _check_dates(row: Row, wanted: _Wanted) -> None:
    """Refuse what would leave a gap between periods, or be over before it begins."""
    plan = wanted.plan
    begun = row["anchor_local"] is not None
    if begun and plan["cron"] is not None and not periods.same_schedule(row, plan):
        raise InvalidValue(
            f"plan {plan['code']!r} has dates of its own (cron); end this subscription at its"
            " period's end and subscribe to that plan from then on"
        )
    if plan["cycles"] is not None and row["next_period_index"] >= plan["cycles"]:
        raise IllegalMove(
            f"plan {plan['code']!r} ends after {plan['cycles']} periods, and this subscription"
            f" has had {row['next_period_index']}"
        )


def _plan(
    connection: Connection, row: Row, wanted: _Wanted, by: Actor, now: datetime
) -> dict[str, Any]:
    """Let the change take effect with the first period that begins after this moment."""
    _, begins = periods.next_start(row, row["anchor_local"], now)
    when = max(begins, row["next_due_at"])
    subscriptions.change(
        connection,
        row["id"],
        change_at=when,
        next_plan_code=wanted.plan["code"],
        next_quantity=wanted.quantity,
        next_amount=wanted.amount,
    )
    told = {"change_at": when.isoformat(), **_told(wanted)}
    _tell(connection, row, "subscription.change_planned", by, now, **told)
    return {"id": str(row["id"]), "changed": True, **told}


def _told(wanted: _Wanted) -> dict[str, Any]:
    return {"plan": wanted.plan["code"], "quantity": wanted.quantity, "amount": wanted.amount}


def _tell(
    connection: Connection, row: Row, kind: str, by: Actor, now: datetime, **data: Any
) -> None:
    told = event(
        kind, at=now, by=by, customer_id=row["customer_id"], subscription_id=row["id"], **data
    )
    events.record(connection, [told])


def _change_now(
    connection: Connection, row: Row, wanted: _Wanted, by: Actor, now: datetime
) -> dict[str, Any]:
    columns = {
        "plan_code": wanted.plan["code"],
        "quantity": wanted.quantity,
        "amount": wanted.amount,
        **NO_CHANGE,
    }
    settled = pricing.Change(0, 0)
    current = _paid_up(connection, row, now)
    if current is not None:
        if periods.same_schedule(row, wanted.plan):
            columns["period_amount"] = _again(connection, current, wanted.amount)
        else:
            columns |= _from_now(row, wanted, current, now)
        settled = _settled(connection, row, columns, current, now)
        _collect(connection, row, current, settled, by, now)
        if "anchor_local" in columns:
            invoices.cut_short(connection, row["id"], now)
    elif not periods.same_schedule(row, wanted.plan) and row["anchor_local"] is not None:
        columns["anchor_local"] = periods.anchor_from(row, wanted.plan, row["next_due_at"])
        columns["anchor_index"] = row["next_period_index"]
    subscriptions.change(connection, row["id"], **columns)
    money = {"credit": settled.credit, "charge": settled.charge, "net": settled.net}
    told = _told(wanted) | money
    _tell(connection, row, "subscription.changed", by, now, **told)
    return {"id": str(row["id"]), "changed": True, **told}


def _paid_up(connection: Connection, row: Row, now: datetime) -> Row | None:
    """The invoice of the running period; None when there is nothing to settle.

    Raises IllegalMove while something is owed: days that were not paid cannot be credited.
    """
    status = SubscriptionStatus(row["status"])
    if status in UNBILLED:
        return None
    if status not in subscription.OPENING:
        raise IllegalMove(
            f"subscription {row['id']} is {status}; it can be changed when it runs again"
        )
    late = row["next_due_at"] is not None and row["next_due_at"] <= now
    if late or subscriptions.owing(connection, [row["id"]]):
        raise IllegalMove(
            f"an invoice of subscription {row['id']} is not paid yet; try again when it is, or"
            " change --at period-end"
        )
    if row["next_due_at"] is None:
        raise IllegalMove("its last period has been billed; there is nothing to change")
    return invoices.current_of(connection, row["id"], now)


def _again(connection: Connection, current: Row, amount: int) -> int:
    """What the running period would cost whole at another price, with the coupon it had."""
    for line in current["lines"]:
        if line["kind"] == "coupon":
            coupon = coupons.one(connection, line["code"])
            assert coupon is not None  # noqa: S101 - coupons are never deleted
            amount -= pricing.discount(amount, coupon["percent"], coupon["rupiah"])
    return amount


def _from_now(row: Row, wanted: _Wanted, current: Row, now: datetime) -> dict[str, Any]:
    """The columns of a subscription whose next period begins at this instant."""
    begins = now.replace(microsecond=0)
    if begins <= current["period_start"]:
        raise IllegalMove("its period has only just begun; try again in a second")
    return {
        "anchor_local": local_anchor(begins, periods.zone(wanted.plan["timezone"])),
        "anchor_index": row["next_period_index"],
        "next_due_at": begins,
        "period_amount": 0,
    }


def _settled(
    connection: Connection, row: Row, columns: Row, current: Row, now: datetime
) -> pricing.Change:
    place = periods.zone(row["timezone"])
    unused, whole = periods.unused_days(current["period_start"], current["period_end"], now, place)
    paid = invoices.of_period(connection, row["id"], current["period_index"])
    before, after = row["period_amount"], columns["period_amount"]
    return pricing.change(before, after, unused, whole, paid=sum(i["kept"] for i in paid))


def _collect(
    connection: Connection, row: Row, current: Row, settled: pricing.Change, by: Actor,
    now: datetime,
) -> None:  # fmt: skip
    """Charge a change that costs something; keep what it brings as the customer's balance."""
    paid = invoices.of_period(connection, row["id"], current["period_index"])
    if settled.net < 0:
        left = -settled.net
        for source in paid:
            part = min(left, source["kept"])
            left -= part
            if part:
                crediting.give(connection, source, part, "change of plan", by, now)
    if settled.net <= 0:
        return
    index, change_index = current["period_index"], paid[0]["change_index"] + 1
    identity = charge.invoice_id(row["id"], index, change_index)
    used = pricing.allocate(balances.lock_left(connection, [row["customer_id"]]), settled.net)
    credited = sum(part for _, part in used)
    free = credited == settled.net
    invoice = {
        "id": identity,
        "subscription_id": row["id"],
        "customer_id": row["customer_id"],
        "period_index": index,
        "change_index": change_index,
        "period_start": min(now, current["period_end"] - timedelta(seconds=1)),
        "period_end": current["period_end"],
        "amount": settled.net,
        "credited": credited,
        "lines": settled.lines,
        "status": "paid" if free else "open",
        "paid_at": now if free else None,
        "closed_at": now if free else None,
        "next_attempt_at": None if free else now,
        "created_at": now,
    }
    invoices.open_periods(connection, [invoice])
    balances.use(connection, [(credit, identity, part) for credit, part in used])
    told = {"invoice_id": identity, "period_index": index, "change_index": change_index}
    _tell(connection, row, "invoice.opened", by, now, **told, amount=settled.net, credited=credited)
    if free:
        _tell(connection, row, "invoice.paid", by, now, invoice_id=identity, amount=0)

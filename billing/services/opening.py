"""Opening: each period that has begun gets its invoice, once, whatever happened meanwhile."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from billing.domain import charge, subscription
from billing.domain.events import event
from billing.domain.periods import calendar, following
from billing.domain.subscription import CatchUp, SubscriptionMove, SubscriptionStatus
from billing.services.context import Context
from billing.store.queries import events, invoices, subscriptions

BATCH = 1_000
OPENERS = 2
PERIODS_A_PASS = 1_000
"""How many missed periods of one subscription are skipped in one transaction."""


def open_due(context: Context, first_opened: Callable[[], object] | None = None) -> int:
    """Open every period that has begun, oldest first, and return how many invoices that made.

    `first_opened` is called when some are open and more are to come: they need not wait.

    A subscription that missed several periods gets one of them in each pass; passes go on
    until nothing is due, so that memory stays bounded after an outage of any length. When there
    is more than one pass, the database works on one while another is thought out.
    """
    opened, more = _open_some(context)
    if opened and more and first_opened is not None:
        first_opened()
    if more:
        opened += sum(context.pool.map(lambda _: _open_rest(context), range(OPENERS)))
    return opened


def _open_rest(context: Context) -> int:
    opened, more = 0, True
    while more:
        new, more = _open_some(context)
        opened += new
    return opened


def _open_some(context: Context) -> tuple[int, bool]:
    """Open one period of each of some subscriptions: how many were new, and whether more may be."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        due = subscriptions.lock_due_to_open(connection, now, BATCH)
        owing = subscriptions.owing(connection, [row["id"] for row in due])
        plans = [_plan(row, now, owes=row["id"] in owing) for row in due]
        new = invoices.open_periods(
            connection, [p["invoice"] for p in plans if p["invoice"] is not None]
        )
        subscriptions.change_opened(connection, [p["change"] for p in plans])
        told = {None, *new}
        facts = [fact for p in plans for fact in p["events"] if fact["invoice_id"] in told]
        events.record(connection, facts)
    return len(new), len(due) == BATCH or any(_more_to_come(plan, now) for plan in plans)


def _more_to_come(plan: dict[str, Any], now: datetime) -> bool:
    due = plan["change"]["next_due_at"]
    return due is not None and due <= now


def _plan(row: Mapping[Any, Any], now: datetime, *, owes: bool) -> dict[str, Any]:
    """What opening the next period of one subscription writes."""
    dates = calendar(row, row["anchor_local"])
    index, start = row["next_period_index"], row["next_due_at"]
    facts = []
    offset = row["anchor_index"]
    end = following(dates, index - offset, start)
    skipped = index
    while row["catch_up"] == CatchUp.LATEST and end <= now and index - skipped < PERIODS_A_PASS:
        index, start = index + 1, end
        end = following(dates, index - offset, start)
        if row["cycles"] is not None and index >= row["cycles"]:
            break
    about = {"at": now, "customer_id": row["customer_id"], "subscription_id": row["id"]}
    if index > skipped:
        facts.append(event("period.skipped", **about, first=skipped, last=index - 1))
    over = row["cycles"] is not None and index >= row["cycles"]
    missed = row["catch_up"] == CatchUp.LATEST and end <= now
    invoice = None
    if not over and not missed:
        invoice = _invoice(row, index, start, end, now, owes=owes)
        facts.append(
            event("invoice.opened", **about, invoice_id=invoice["id"], period_index=index,
                  amount=invoice["amount"])
        )  # fmt: skip
        index, start = index + 1, end
        over = row["cycles"] is not None and index >= row["cycles"]
    status = SubscriptionStatus(row["status"])
    if status is SubscriptionStatus.TRIALING:
        status = subscription.advance(status, SubscriptionMove.ACTIVATE)
        facts.append(event("subscription.activated", **about))
    ends = over and invoice is None and not owes
    if ends:
        # Its last cycles went by unbilled: no payment will come that could complete it.
        facts.append(event("subscription.completed", **about, before=status))
        status = subscription.advance(status, SubscriptionMove.COMPLETE)
    change = {
        "key": row["id"],
        "next_period_index": index,
        "next_due_at": None if over else start,
        "status": status,
        "ended_at": now if ends else None,
    }
    return {"invoice": invoice, "change": change, "events": facts}


def _invoice(
    row: Mapping[Any, Any], index: int, start: datetime, end: datetime, now: datetime, *, owes: bool
) -> dict[str, Any]:
    return {
        "id": charge.invoice_id(row["id"], index),
        "subscription_id": row["id"],
        "customer_id": row["customer_id"],
        "period_index": index,
        "period_start": start,
        "period_end": end,
        "amount": row["amount"],
        "status": "open",
        # While an older invoice is unpaid, or a charge unresolved, this one waits; it follows
        # as soon as that has ended.
        "next_attempt_at": None if owes else now,
        "created_at": now,
    }

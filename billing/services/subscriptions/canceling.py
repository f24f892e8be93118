"""Canceling: end a subscription, now or on a date, and refund what is due.

The order is: stop the schedule, resolve unknown charges, refund, then delete the token. The first
step happens here; the others follow from rows, and `unlinking` waits for them.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import subscription
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import SCHEDULER, Actor, event
from billing.domain.instants import spoken
from billing.domain.intents import Action
from billing.domain.invoice import InvoiceStatus
from billing.domain.payloads import Json
from billing.domain.periods import next_period, zone_of
from billing.domain.subscription import RefundPolicy, SubscriptionMove, SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.services.collecting import opening
from billing.services.context import Context, Request, once
from billing.services.money import charge_money, days_after_cancellation
from billing.services.operating import held_rows
from billing.services.subscriptions import intents, proration, transitions
from billing.store.queries import events, invoices, subscriptions, wallets
from billing.store.queries.holding import Kind
from billing.store.queries.subscription_rows import Subscription

BATCH = 200
NOW, PERIOD_END = "now", subscription.PERIOD_END


class Ended(NamedTuple):
    """The effect of a cancellation on money and wallet. `refunded` is in rupiah.

    `wallet` is `none`, `unlinks` (as soon as no charge or refund needs it) or `stays`, and
    `wallet_used_by` names the live subscriptions that use it then.
    """

    refunded: int
    invoices_voided: int
    wallet: str
    wallet_used_by: list[str]


def cancel(
    context: Context,
    subscription_id: UUID,
    by: Actor,
    *,
    at: str | datetime = NOW,
    refund: RefundPolicy = RefundPolicy.NONE,
    unlink: bool = False,
    request: Request | None = None,
) -> Json:
    """Cancel now, at the end of the current period, or at an instant.

    A planned cancellation that is overdue is applied first, as of its own date and with its own
    options. Raises NotKnown, IllegalMove (ended already, or an overdue plan comes first) or
    InvalidValue (an instant in the past).
    """

    def act(connection: Connection, now: datetime) -> Json:
        # All of the customer's subscriptions, because the wallet may be needed by another one.
        subscriptions.lock_with_siblings(connection, subscription_id)
        row = subscriptions.lock_one(connection, subscription_id)
        if row is None:
            raise NotKnown(f"no subscription has the id {subscription_id}")
        status = row.status
        if status in subscription.ENDED:
            raise IllegalMove(f"subscription {subscription_id} is {status}; nothing to cancel")
        now = invoices.not_before_period(connection, subscription_id, now)
        if row.cancel_at is not None and row.cancel_at <= now:
            if not subscriptions.may_end(connection, subscription_id):
                intents.check_nothing_is_late(row, now)
            return _answer(row, _end_as_planned(connection, row, now))
        period, when = _when(connection, row, at, now)
        if when <= now:
            ended = _end(connection, row, by, RefundPolicy(refund), now, unlink=unlink)
            return _answer(row, ended)
        policy = RefundPolicy(refund)
        intents.plan_cancel(connection, row, (period, when), policy, now, by, unlink=unlink)
        return {"id": str(subscription_id), "status": status, "cancel_at": when.isoformat()}

    return once(context, request, act)


def withdraw(context: Context, subscription_id: UUID, by: Actor) -> Json:
    """Withdraw a planned cancellation.

    Raises NotKnown, or IllegalMove when none is planned, when its date has come, or when the
    subscription has ended.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = subscriptions.lock_one(connection, subscription_id)
        if row is None:
            raise NotKnown(f"no subscription has the id {subscription_id}")
        if row.ended_at is not None or row.cancel_at is None:
            raise IllegalMove(f"subscription {subscription_id} has no cancellation to withdraw")
        if row.cancel_at <= now:
            intents.check_nothing_is_late(row, now)
        intents.withdraw_cancel(connection, row, now, by)
    return {"id": str(subscription_id), "status": row.status}


def _when(
    connection: Connection, row: Subscription, at: str | datetime, now: datetime
) -> tuple[int | None, datetime]:
    """Return when it ends, and with which period if at the current period's end."""
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidValue(f"{at.isoformat()} needs an offset, such as +07:00", field="at")
        if at <= now:
            raise InvalidValue(
                f"{spoken(at)} is in the past; use now, or a later instant", field="at"
            )
        return None, at
    if at == NOW or row.anchor_local is None:
        return None, now
    if at != PERIOD_END:
        raise InvalidValue(
            f"at must be now, period-end or an ISO 8601 instant, not {at!r}", field="at"
        )
    return next_period(opening.as_changed(connection, row, now), now)


def cancel_due(context: Context) -> int:
    """Cancel every subscription whose end has come, and return how many."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        due = subscriptions.due_to_cancel(connection, now, BATCH)

    def cancel_one(subscription_id: UUID) -> None:
        with context.database.transaction() as connection:
            subscriptions.lock_with_siblings(connection, subscription_id)
            row = subscriptions.lock_one(connection, subscription_id)
            if row is None or row.ended_at is not None or row.cancel_at is None:
                return
            if row.cancel_at <= now:
                _end_as_planned(connection, row, now)

    held_rows.each(context, Kind.SUBSCRIPTION, due, cancel_one)
    return len(due)


def _end_as_planned(connection: Connection, row: Subscription, now: datetime) -> Ended:
    """Cancel a subscription as of its planned date, with the planned refund."""
    by = Actor(SCHEDULER.name, row.reason)
    policy = row.cancel_refund or RefundPolicy.NONE
    unlink, ended_at = row.cancel_unlink, row.cancel_at
    return _end(connection, row, by, policy, now, unlink=unlink, used_until=ended_at)


def _end(
    connection: Connection,
    row: Subscription,
    by: Actor,
    policy: RefundPolicy,
    now: datetime,
    *,
    unlink: bool,
    used_until: datetime | None = None,
) -> Ended:
    """Cancel a subscription whose lock the caller holds; return the effect on money and wallet.

    Open invoices are voided. An unresolved charge stays unresolved: if its money turns out
    to have moved, settling refunds it. `used_until` is the planned end, if that has passed.
    """
    action = Action.CANCEL_NOW if used_until is None else Action.CANCEL_DUE
    transitions.move(
        connection, row.id, SubscriptionMove.CANCEL, now, by, action=action, at=used_until
    )
    owed = invoices.open_of(connection, row.id)
    transitions.close_all(connection, owed, InvoiceStatus.VOID, "subscription canceled", by, now)
    refunded = _refund_running_period(connection, row, by, policy, now, used_until or now)
    if row.status is SubscriptionStatus.UNPAID:
        why = by.reason or "subscription canceled"
        for invoice in invoices.given_up_with_credit(connection, row.id):
            # The money was withheld since then.
            since = invoice.closed_at
            place = zone_of(row)
            days_after_cancellation.return_credits(
                connection, place, [invoice], since, why, by, now
            )
    if unlink:
        others = subscriptions.lock_of_customer(connection, row.customer_id)
        if others:
            recorded = event(
                "wallet.kept", at=now, by=by, customer_id=row.customer_id,
                subscription_id=row.id, needed_by=[str(other.id) for other in others],
            )  # fmt: skip
            events.record(connection, [recorded])
        elif wallets.request_unlink(connection, row.customer_id, now):
            asked = event("wallet.unlink_requested", at=now, by=by, customer_id=row.customer_id)
            events.record(connection, [asked])
    return Ended(refunded, len(owed), *_wallet_left(connection, row))


def _wallet_left(connection: Connection, row: Subscription) -> tuple[str, list[str]]:
    """Return what happens to the wallet, and the ids of subscriptions that still use it."""
    wallet = wallets.latest_of(connection, row.customer_id)
    if wallet is None or wallet.status in {WalletStatus.UNLINKED, WalletStatus.FAILED}:
        return "none", []
    if wallet.unlink_requested_at is not None or wallet.status is WalletStatus.UNLINKING:
        return "unlinks", []
    if wallet.status is WalletStatus.EXPIRED:
        return "none", []
    others = subscriptions.lock_of_customer(connection, row.customer_id)
    return "stays", [str(other.id) for other in others]


def _answer(row: Subscription, ended: Ended) -> Json:
    return {"id": str(row.id), "status": "canceled", **ended._asdict()}


def _refund_running_period(
    connection: Connection,
    row: Subscription,
    by: Actor,
    policy: RefundPolicy,
    now: datetime,
    used_until: datetime,
) -> int:
    """Refund the value of the current period, from its newest payment to its oldest.

    Charged money is refunded; what credit paid is returned to the credit.
    """
    current = invoices.current_of(connection, row.id, used_until)
    if policy is RefundPolicy.NONE or current is None:
        return 0
    paid = invoices.of_period(connection, row.id, current.period_index)
    parts = [each.kept for each in paid]
    if policy is RefundPolicy.PRORATED:
        fresh = subscriptions.lock_one(connection, row.id) or row
        left = proration.unused(connection, fresh, current, used_until)
        parts = left.spread(left.worth)
    refunded = 0
    why = by.reason or "subscription canceled"
    for each, back in zip(paid, parts, strict=True):
        if back:
            source = charge_money.InvoiceIds.of(each.invoice)
            refunded += charge_money.refund(connection, source, back, why, by, now)
    return refunded

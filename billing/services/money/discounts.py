"""Discounts: create and apply coupons, and add extra lines to invoices."""

from datetime import datetime
from difflib import get_close_matches
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import periods, pricing, subscription
from billing.domain.errors import AlreadyExists, IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.intents import Action
from billing.domain.money import checked_amount
from billing.domain.subscription import SubscriptionStatus
from billing.domain.terms import is_last_cycle
from billing.domain.text import checked_id, checked_name
from billing.services.context import Context
from billing.services.subscriptions import intents
from billing.store.queries import coupons, events, subscriptions
from billing.store.queries.coupons import Coupon, NewCoupon
from billing.store.queries.subscription_rows import Subscription

CODE_MAX, TITLE_MAX = 50, 50
COUNT_MAX = 1_000_000
"""A larger number of invoices or redemptions of a coupon is a typing error."""


def create_coupon(
    context: Context,
    code: str,
    by: Actor,
    *,
    percent: int | None = None,
    rupiah_off: int | None = None,
    cycles: int | None = None,
    redeemed_max: int | None = None,
) -> None:
    """Create a coupon: percent or rupiah off, for `cycles` invoices or for all.

    Raises InvalidValue or AlreadyExists.
    """
    checked_id("coupon code", code, CODE_MAX)
    if (percent is None) == (rupiah_off is None):
        both = "" if percent is None else ", not both"
        raise InvalidValue(f"a coupon takes off either --percent or --amount{both}")
    if percent is not None and not 1 <= percent <= pricing.PERCENT_MAX:
        raise InvalidValue(f"percent must be 1 to {pricing.PERCENT_MAX}, not {percent:,}")
    if rupiah_off is not None:
        checked_amount(rupiah_off)
    for what, count in (("cycles", cycles), ("max-redemptions", redeemed_max)):
        if count is not None and not 1 <= count <= COUNT_MAX:
            raise InvalidValue(f"{what} must be 1 to {COUNT_MAX:,}, not {count:,}")
    now = context.clock.now()
    with context.database.transaction() as connection:
        new = NewCoupon(code, percent, rupiah_off, cycles, redeemed_max, now)
        if not coupons.add(connection, new):
            raise AlreadyExists(f"a coupon with the code {code!r} exists; coupons never change")
        recorded = event("coupon.created", at=now, by=by, coupon=code, percent=percent,
                     rupiah=rupiah_off, cycles=cycles)  # fmt: skip
        events.record(connection, [recorded])


def archive_coupon(context: Context, code: str, by: Actor) -> None:
    """Archive a coupon; subscriptions that use it keep it."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        known_coupon(connection, code)
        if coupons.archive(connection, code, now):
            events.record(connection, [event("coupon.archived", at=now, by=by, coupon=code)])


def known_coupon(connection: Connection, code: str) -> Coupon:
    """Return the coupon with this code, or raise NotKnown with a suggestion."""
    coupon = coupons.one(connection, code)
    if coupon is None:
        near = get_close_matches(code, [each.code for each in coupons.page(connection, 1000)], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; see: billing coupon list"
        raise NotKnown(f"no coupon has the code {code!r}{hint}")
    return coupon


def apply(context: Context, code: str, subscription_id: UUID, by: Actor) -> None:
    """Apply a coupon to a subscription from its next invoice, replacing an earlier one.

    Raises NotKnown, or IllegalMove: exhausted, archived, or the subscription has ended.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = _locked(connection, subscription_id)
        at = _next_invoice_at(row, now)
        redeem(connection, code, row.customer_id, subscription_id, by, now, counts_from=at)


def redeem(
    connection: Connection,
    code: str,
    customer_id: str,
    subscription_id: UUID,
    by: Actor,
    now: datetime,
    *,
    counts_from: datetime | None = None,
) -> None:
    """Count a redemption of a coupon, for a subscription whose lock the caller holds.

    `counts_from` is when the next invoice opens, if that is known: it is unknown without a wallet.
    """
    coupon = known_coupon(connection, code)
    if not coupons.redeem(connection, code):
        why = (
            "is archived"
            if coupon.archived_at is not None
            else f"has been redeemed {coupon.redeemed_max:,} times, which is all it may be"
        )
        raise IllegalMove(f"coupon {code!r} {why}; choose another one")
    row = subscriptions.lock_one(connection, subscription_id)
    if row is not None:
        intents.meet(connection, row, Action.COUPON_APPLIED, now, by, at=counts_from)
        if row.coupon_code is not None and row.coupon_left is None:
            # A coupon without a limit has no end that could be planned.
            which = {"why": "replaced by another coupon", "coupon": row.coupon_code}
            intents.tell(connection, row, now, by, [("subscription.coupon_dropped", which)])
    subscriptions.change(connection, subscription_id, coupon_code=code, coupon_left=coupon.cycles)
    recorded = event(
        "coupon.redeemed", at=now, by=by, customer_id=customer_id,
        subscription_id=subscription_id, coupon=code,
    )  # fmt: skip
    events.record(connection, [recorded])


def extra_line(title: str, amount: int) -> pricing.Line:
    """Build an extra line for one invoice. Raises InvalidValue."""
    checked_name("what it is for", title, TITLE_MAX)
    return {"kind": "extra", "title": title, "amount": checked_amount(amount)}


def add_extra(context: Context, subscription_id: UUID, title: str, amount: int, by: Actor) -> None:
    """Add an extra line to the next invoice of a subscription only.

    Raises InvalidValue, NotKnown, or IllegalMove when no invoice will come.
    """
    line = extra_line(title, amount)
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = _locked(connection, subscription_id)
        if row.status is SubscriptionStatus.UNPAID:
            raise IllegalMove(
                "it is unpaid, and no invoice comes before it resumes; first:"
                f" billing subscription resume {subscription_id}"
            )
        intents.meet(connection, row, Action.LINE_ADDED, now, by, at=_next_invoice_at(row, now))
        extras = [*row.extras, line]
        pricing.check_largest((row.amount, row.next_amount), extras)
        subscriptions.change(connection, subscription_id, extras=extras)
        recorded = event(
            "subscription.extra_added", at=now, by=by, customer_id=row.customer_id,
            subscription_id=subscription_id, title=title, amount=amount,
        )  # fmt: skip
        events.record(connection, [recorded])


def _next_invoice_at(row: Subscription, now: datetime) -> datetime | None:
    """Return when the next invoice opens at the earliest; None if that depends on a wallet.

    Raises IllegalMove when the last period of its term has been billed.
    """
    if row.status is SubscriptionStatus.PENDING or row.anchor_local is None:
        return None
    at = row.next_due_at
    if row.status in subscription.OPENING:
        is_over = at is None
    else:
        place = periods.next_period(row, max(now, row.resume_at or now))
        at, is_over = place.at, is_last_cycle(row.cycles, place.period)
    if is_over:
        raise IllegalMove(
            f"no further invoice will come for this subscription: its term of {row.cycles}"
            f" periods has been billed; charge it by a new one: billing subscribe"
            f" {row.customer_id} PLAN"
        )
    return at


def _locked(connection: Connection, subscription_id: UUID) -> Subscription:
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        raise NotKnown(f"no subscription has the id {subscription_id}")
    if row.status in subscription.ENDED:
        raise IllegalMove(f"subscription {subscription_id} is {row.status}")
    return row

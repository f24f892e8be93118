"""Coupons: create, archive and apply them; each invoice of a subscription then costs less."""

from datetime import datetime
from difflib import get_close_matches
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import pricing
from billing.domain.errors import AlreadyExists, IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.intents import Action
from billing.domain.money import checked_amount
from billing.domain.text import checked_id
from billing.services.context import Context
from billing.services.money import next_invoice
from billing.services.subscriptions import intents
from billing.store.queries import coupons as rows
from billing.store.queries import events, subscriptions
from billing.store.queries.coupons import Coupon, NewCoupon

CODE_MAX = 50
COUNT_MAX = 1_000_000
"""A larger number of invoices or redemptions of a coupon is a typing error."""


def create(
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
    checked_id("coupon code", code, CODE_MAX, field="code")
    if (percent is None) == (rupiah_off is None):
        both = "" if percent is None else ", not both"
        said = f"a coupon takes off either percent or amount{both}"
        raise InvalidValue(said, field="percent" if percent is None else "amount")
    if percent is not None and not 1 <= percent <= pricing.PERCENT_MAX:
        said = f"percent must be 1 to {pricing.PERCENT_MAX}, not {percent:,}"
        raise InvalidValue(said, field="percent")
    if rupiah_off is not None:
        checked_amount(rupiah_off)
    for what, count in (("cycles", cycles), ("redemptions_max", redeemed_max)):
        if count is not None and not 1 <= count <= COUNT_MAX:
            raise InvalidValue(f"{what} must be 1 to {COUNT_MAX:,}, not {count:,}", field=what)
    now = context.clock.now()
    with context.database.transaction() as connection:
        new = NewCoupon(code, percent, rupiah_off, cycles, redeemed_max, now)
        if not rows.add(connection, new):
            raise AlreadyExists(f"a coupon with the code {code!r} exists; coupons never change")
        recorded = event("coupon.created", at=now, by=by, coupon=code, percent=percent,
                     rupiah=rupiah_off, cycles=cycles)  # fmt: skip
        events.record(connection, [recorded])


def archive(context: Context, code: str, by: Actor) -> None:
    """Archive a coupon; subscriptions that use it keep it."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        known(connection, code)
        if rows.archive(connection, code, now):
            events.record(connection, [event("coupon.archived", at=now, by=by, coupon=code)])


def known(connection: Connection, code: str) -> Coupon:
    """Return the coupon with this code, or raise NotKnown with a suggestion."""
    coupon = rows.one(connection, code)
    if coupon is None:
        near = get_close_matches(code, rows.near_codes(connection), n=1)
        like = f"; did you mean {near[0]!r}?" if near else ""
        said = f"no coupon has the code {code!r}{like}"
        raise NotKnown(said, field="coupon", hint="" if near else "see: billing coupon list")
    return coupon


def apply(context: Context, code: str, subscription_id: UUID, by: Actor) -> None:
    """Apply a coupon to a subscription from its next invoice, replacing another one.

    A subscription that has this coupon already keeps it as it is, and nothing is written. Raises
    NotKnown, or IllegalMove: exhausted, archived, or the subscription has ended.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = next_invoice.locked(connection, subscription_id)
        if row.coupon_code == code:
            return
        at = next_invoice.opens_at(row, now)
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
    coupon = known(connection, code)
    if not rows.redeem(connection, code):
        why = (
            "is archived"
            if coupon.archived_at is not None
            else f"has been redeemed {coupon.redemptions_max:,} times, which is all it may be"
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

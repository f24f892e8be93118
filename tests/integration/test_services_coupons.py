"""Coupons that are applied more than once: a subscription uses one redemption."""

from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.services.money import coupons
from tests.integration.engine import Engine


def offered(engine: Engine, code: str = "HALF", **limits: Any) -> str:
    """A coupon of half the price."""
    coupons.create(engine.context, code, OPERATOR, percent=50, **limits)
    return code


def redeemed(engine: Engine, code: str) -> int:
    """How often a coupon was redeemed."""
    return int(engine.one("SELECT redeemed FROM coupons WHERE code = :code", code=code))


def left(engine: Engine, subscription: UUID) -> tuple[str | None, int | None]:
    """The coupon of a subscription, and for how many invoices it still counts."""
    row = engine.subscription(subscription)
    return row["coupon_code"], row["coupon_left"]


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("cycles", [None, 3])
def test_a_coupon_that_is_applied_again_is_a_repeat(
    engine: Engine, cycles: int | None, archived: bool
) -> None:
    """
    Nothing is written, and the number of invoices does not begin again.

    The only redemption of the coupon is used, and it may be archived: a repeat is not refused.
    """
    _, subscription = engine.begun()
    code = offered(engine, cycles=cycles, redeemed_max=1)
    coupons.apply(engine.context, code, subscription, OPERATOR)
    engine.run()
    if archived:
        coupons.archive(engine.context, code, OPERATOR)
    before, counts = left(engine, subscription), engine.counts()

    coupons.apply(engine.context, code, subscription, OPERATOR)

    assert redeemed(engine, code) == 1
    assert (left(engine, subscription), engine.counts()) == (before, counts)
    assert before == (code, cycles and cycles - 1)


def test_a_coupon_of_the_order_is_applied_already(engine: Engine) -> None:
    """A coupon given when subscribing counts like one that was applied later."""
    engine.plan()
    code = offered(engine)
    subscription = engine.subscribe(engine.customer(), coupon=code)

    coupons.apply(engine.context, code, subscription, OPERATOR)

    assert redeemed(engine, code) == 1


def test_a_coupon_that_ended_or_was_replaced_is_redeemed_again(engine: Engine) -> None:
    """It does not run any more, so that another application is another redemption."""
    _, subscription = engine.begun()
    code, other = offered(engine, cycles=1, redeemed_max=2), offered(engine, "OTHER")
    coupons.apply(engine.context, code, subscription, OPERATOR)
    engine.run()
    assert left(engine, subscription) == (None, None)

    coupons.apply(engine.context, code, subscription, OPERATOR)
    coupons.apply(engine.context, other, subscription, OPERATOR)
    assert redeemed(engine, code) == 2
    with pytest.raises(IllegalMove, match="which is all it may be"):
        coupons.apply(engine.context, code, subscription, OPERATOR)
    assert left(engine, subscription) == (other, None)

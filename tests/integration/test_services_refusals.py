"""Invalid input is refused: the right error, one line, and nothing written."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import (
    AlreadyExists,
    BillingError,
    IllegalMove,
    InvalidValue,
    NotKnown,
)
from billing.domain.events import OPERATOR
from billing.domain.money import MAX_AMOUNT
from billing.services.context import Request
from billing.services.money import refunding
from billing.services.operating import charge_resolution, invoice_actions
from billing.services.subscriptions import canceling, subscribing
from billing.services.wallets import linking, unlinking
from tests.integration.engine import START, Engine

NOBODY = UUID(int=42)


def refused(engine: Engine, error: type[BillingError], act: Callable[[], object]) -> str:
    """The one line with which an act is refused; it must not have written anything."""
    before = engine.counts()
    with pytest.raises(error) as told:
        act()
    assert engine.counts() == before
    line = str(told.value)
    assert line
    assert "\n" not in line
    assert len(line) < 400
    return line


PLANS: list[dict[str, Any]] = [
    {"amount": 0},
    {"amount": -1},
    {"amount": MAX_AMOUNT + 1},
    {"amount": 10**40},
    {"amount": True},
    {"amount": 12.5},
    {"code": ""},
    {"code": "   "},
    {"code": "x" * 51},
    {"code": "two\nlines"},
    {"code": "nul\0"},
    {"name": "x" * 51},
    {"every": None},
    {"every": "1 month", "cron": "0 9 1 * *"},
    {"every": "0 months"},
    {"every": "-1 month"},
    {"every": "1.5 months"},
    {"every": "month of sundays"},
    {"every": "1000 years"},
    {"every": None, "cron": "0 0 30 2 *"},
    {"every": None, "cron": "61 * * * *"},
    {"every": None, "cron": "* * * *"},
    {"every": None, "cron": "not a cron"},
    {"every": None, "cron": "*/7 * * * * * *"},
    {"timezone": "Asia/Jakatra"},
    {"timezone": ""},
    {"timezone": "../etc/passwd"},
    {"trial": "soon"},
    {"trial": "0 days"},
    {"trial": "999999999 days"},
    {"cycles": 0},
    {"cycles": -1},
    {"cycles": 10**12},
    {"retries": "tomorrow"},
    {"retries": "2d; 0 0 30 2 *"},
    {"retries": " ".join(["1d"] * 25)},
    {"retries": "0d"},
]


def test_a_plan_that_makes_no_sense(engine: Engine, subtests: pytest.Subtests) -> None:
    """Refused when it is made, not when it is first charged."""
    usual: dict[str, Any] = {"code": "P", "amount": 50_000, "every": "1 month", "by": OPERATOR}
    for wrong in PLANS:
        with subtests.test(repr(wrong)):
            make = partial(subscribing.create_plan, engine.context, **usual | wrong)
            refused(engine, InvalidValue, make)


def test_a_typing_error_is_answered_with_a_guess(engine: Engine) -> None:
    """A zone, a unit, a plan code: the nearest one that exists is named."""
    engine.plan("gold")
    customer = engine.customer()
    zone = refused(engine, InvalidValue, lambda: engine.plan("Q", timezone="Asia/Jakatra"))
    assert "Asia/Jakarta" in zone
    plan = refused(engine, NotKnown, lambda: engine.subscribe(customer, "golf"))
    assert "gold" in plan


def test_a_plan_is_never_changed(engine: Engine) -> None:
    """A code that exists is refused, with the same contents too."""
    engine.plan("gold")
    refused(engine, AlreadyExists, lambda: engine.plan("gold"))
    refused(engine, AlreadyExists, lambda: engine.plan("gold", amount=1))


CUSTOMERS: list[dict[str, Any]] = [
    {"customer_id": ""},
    {"customer_id": "x" * 51},
    {"customer_id": "a\0b"},
    {"name": ""},
    {"name": "x" * 51},
    {"name": "two\nlines"},
    {"phone": "+1812"},
    {"phone": "1" * 21},
    {"phone": "٣٣٣"},
    {"email": "nobody"},
    {"email": "x" * 250 + "@x.com"},
]


def test_a_customer_the_gateway_would_not_take(engine: Engine, subtests: pytest.Subtests) -> None:
    """The gateway's own limits are checked on input, not at the first charge."""
    usual: dict[str, Any] = {"customer_id": "C", "name": "Ani", "by": OPERATOR}
    for wrong in CUSTOMERS:
        with subtests.test(repr(wrong)):
            make = partial(subscribing.create_customer, engine.context, **usual | wrong)
            refused(engine, InvalidValue, make)


SUBSCRIPTIONS: list[dict[str, Any]] = [
    {"quantity": 0},
    {"quantity": -3},
    {"quantity": MAX_AMOUNT},
    {"quantity": 3_000_000_000},
    {"quantity": 200_000},
    {"start": datetime(2600, 1, 1, tzinfo=UTC)},
    {"start": datetime(1900, 1, 1, tzinfo=UTC)},
    {"start": datetime(2026, 2, 1)},  # noqa: DTZ001 - an offset is missing: that is the point
]


@pytest.mark.parametrize("linked", [True, False])
def test_a_subscription_that_could_not_begin(
    engine: Engine, linked: bool, subtests: pytest.Subtests
) -> None:
    """Refused at once, and not on the day when the customer's wallet is linked."""
    engine.plan(amount=50_000)
    customer = engine.customer(linked=linked)
    for wrong in SUBSCRIPTIONS:
        with subtests.test(repr(wrong)):
            refused(engine, InvalidValue, partial(engine.subscribe, customer, **wrong))


def test_a_quantity_that_no_column_holds_is_refused(engine: Engine) -> None:
    """A quantity of three billion at one rupiah each is refused, although its amount is not."""
    engine.plan(amount=1)
    customer = engine.customer(linked=False)
    refused(engine, InvalidValue, lambda: engine.subscribe(customer, quantity=3_000_000_000))
    engine.subscribe(customer, quantity=5)
    engine.link(customer)
    engine.run()
    assert [row["amount"] for row in engine.debits(customer)] == [5]


UNKNOWN: list[Callable[[Engine], object]] = [
    lambda e: e.subscribe("nobody", "gold"),
    lambda e: subscribing.archive_plan(e.context, "none", OPERATOR),
    lambda e: e.bind("nobody"),
    lambda e: linking.refresh(e.context, "nobody"),
    lambda e: linking.balance(e.context, "nobody"),
    lambda e: unlinking.unlink(e.context, "nobody", OPERATOR),
    lambda e: canceling.cancel(e.context, NOBODY, OPERATOR),
    lambda e: refunding.refund_invoice(e.context, NOBODY, 1, OPERATOR),
    lambda e: invoice_actions.retry_invoice(e.context, NOBODY, OPERATOR),
    lambda e: invoice_actions.void_invoice(e.context, NOBODY, OPERATOR),
    lambda e: charge_resolution.resolve_charge(e.context, NOBODY, True, OPERATOR),
]


def test_an_id_that_nobody_has(engine: Engine, subtests: pytest.Subtests) -> None:
    """Plan, customer, wallet, subscription, invoice, charge: unknown is said in one line."""
    engine.plan("gold")
    for number, act in enumerate(UNKNOWN):
        with subtests.test(number=number):
            refused(engine, NotKnown, partial(act, engine))


def test_a_closed_invoice_or_subscription_stays_closed(engine: Engine) -> None:
    """A paid invoice is neither retried nor voided, and a canceled subscription not canceled."""
    _customer, subscription = engine.begun()
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]
    context = engine.context
    refused(engine, IllegalMove, lambda: invoice_actions.retry_invoice(context, invoice, OPERATOR))
    refused(engine, IllegalMove, lambda: invoice_actions.void_invoice(context, invoice, OPERATOR))
    canceling.cancel(context, subscription, OPERATOR)
    refused(engine, IllegalMove, lambda: canceling.cancel(context, subscription, OPERATOR))


@pytest.mark.parametrize(
    "url", ["nonsense", "javascript:alert(1)", "https://a b.example", "ftp://x"]
)
def test_a_way_back_that_is_no_url(engine: Engine, url: str) -> None:
    """A link with such a URL is refused before a wallet is written."""
    customer = engine.customer(linked=False)
    for name in ("success_url", "failure_url"):
        refused(engine, InvalidValue, partial(engine.bind, customer, **{name: url}))


def test_the_test_clock_goes_forward_only(engine: Engine) -> None:
    """What was recorded cannot be undone by the clock."""
    engine.set_clock(START + timedelta(days=1))
    refused(engine, InvalidValue, lambda: engine.set_clock(START))


def test_a_refused_command_leaves_its_key_unused(engine: Engine) -> None:
    """The same key works after the input is corrected."""
    engine.plan("gold")
    customer = engine.customer()
    context = engine.context
    request = Request("k", "admin.subscribe", {"customer": customer})
    subscribing.archive_plan(context, "gold", OPERATOR)
    refused(
        engine,
        IllegalMove,
        lambda: subscribing.subscribe(context, customer, "gold", OPERATOR, request=request),
    )
    engine.plan("silver")
    made = subscribing.subscribe(context, customer, "silver", OPERATOR, request=request)
    assert subscribing.subscribe(context, customer, "silver", OPERATOR, request=request) == made
    engine.run()
    assert engine.counts()["subscriptions"] == 1

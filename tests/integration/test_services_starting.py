"""Starts: a backdated one and a duplicate need an explicit flag; a wall time is kept."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from billing.domain.errors import AlreadyExists, InvalidValue
from billing.domain.events import OPERATOR
from billing.services.context import Request
from billing.services.subscriptions import canceling, changing, subscribing
from tests.integration.command import Billing
from tests.integration.engine import START, Engine
from tests.integration.races import at_once

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
JAKARTA = ZoneInfo("Asia/Jakarta")


def refused(engine: Engine, act: Callable[[], Any], kind: type[Exception]) -> str:
    """Return the one line of a refusal, and check that nothing was written."""
    before = engine.counts()
    with pytest.raises(kind) as error:
        act()
    assert engine.counts() == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_mistyped_year_is_refused_with_the_sum(engine: Engine, billing: Billing) -> None:
    """The year 2020 would charge 73 periods at once; a typing error charges no customer."""
    engine.plan()
    customer = engine.customer()
    words = ("subscribe", customer, "P", "--start", "2020-01-31T09:00")

    told = billing(*words, code=1)

    assert "2,192 days ago: 73 periods, Rp 3,650,000 would be charged at once" in told
    assert "--backdate" in told
    assert "BILLING_BACKDATE_DAYS_MAX" in told
    assert engine.counts()["subscriptions"] == 0

    made = billing(*words, "--backdate")
    assert made["done"]["charged_now"] == {"periods_count": 73, "amount": 3_650_000, "more": False}
    [created] = engine.told("subscription.created")
    assert created["data"]["charged_now"]["periods"] == 73
    canceling.cancel(engine.context, UUID(made["id"]), OPERATOR)


def test_a_recent_start_is_accepted_and_says_what_is_charged(
    engine: Engine, billing: Billing
) -> None:
    """Within the days that are allowed; what it says is what is then charged."""
    engine.plan(every="10 days")
    customer = engine.customer()

    made = billing("subscribe", customer, "P", "--start", "2025-12-27T09:00")
    told = billing(
        "subscribe", customer, "P", "--start", "2026-01-15T09:00", "--again", people=True
    )
    engine.run()

    assert made["done"]["charged_now"] == {"periods_count": 4, "amount": 200_000, "more": False}
    assert "charged at once: 2 periods, Rp 100,000" in told
    assert sum(row["amount"] for row in engine.debits(customer)) == 300_000
    early = partial(engine.subscribe, customer, start=START - 35 * DAY - SECOND, again=True)
    refused(engine, early, InvalidValue)


@pytest.mark.parametrize("wallet", ["none", "link", "expired", "unopenable"])
def test_without_a_wallet_that_can_be_charged_nothing_is_charged_and_that_is_said(
    engine: Engine, billing: Billing, wallet: str
) -> None:
    """For people and programs: no sum as if it began now, and the command that brings a wallet."""
    engine.plan()
    customer = engine.customer(linked=wallet in {"expired", "unopenable"})
    if wallet == "link":
        engine.bind(customer)
    elif wallet == "expired":
        engine.lose_wallet(customer)
    elif wallet == "unopenable":
        engine.execute("UPDATE wallets SET token_sealed = 'x' WHERE customer_id = :c", c=customer)
    engine.audited = False

    words = ("subscribe", customer, "P", "--start", "2026-01-15T09:00", "--again")
    made, told = billing(*words), billing(*words, people=True)

    assert made["done"]["charged_now"] == {"periods_count": 0, "amount": 0, "more": False}
    assert made["done"]["waits_for"] == "a linked wallet"
    assert "charged at once" not in told
    command = "refresh" if wallet == "link" else "link"
    assert f"nothing is charged until a wallet is linked: billing wallet {command}" in told


def test_a_wallet_that_can_be_charged_waits_for_nothing(engine: Engine, billing: Billing) -> None:
    """What begins at once says so."""
    engine.plan()
    made = billing("subscribe", engine.customer(), "P")
    assert made["done"]["charged_now"] == {"periods_count": 1, "amount": 50_000, "more": False}
    assert made["done"]["waits_for"] is None


def test_a_task_needs_the_word_as_well(engine: Engine) -> None:
    """By every interface: without `backdate` nothing is written, also not the key."""
    engine.plan(catch_up="latest")
    customer = engine.customer()
    request = Request("k", "admin.subscribe", {"customer": customer})
    subscribe = partial(
        subscribing.subscribe, engine.context, customer, "P", OPERATOR,
        start=START - 400 * DAY, request=request,
    )  # fmt: skip

    told = refused(engine, subscribe, InvalidValue)
    made = subscribe(backdate=True)
    engine.run()

    assert "1 period, Rp 50,000" in told
    assert made["charged_now"]["periods"] == 1
    assert len(engine.debits(customer)) == 1


def test_a_second_click_makes_no_second_subscription(engine: Engine, billing: Billing) -> None:
    """The plan that a customer has is named with its subscription; one more takes --again."""
    engine.plan("gold")
    customer = engine.customer()
    first = billing("subscribe", customer, "gold")["id"]

    told = billing("subscribe", customer, "gold", code=1)
    assert f"has a subscription to plan 'gold' already: {first} (active)" in told
    assert "--again" in told
    assert engine.counts()["subscriptions"] == 1

    second = billing("subscribe", customer, "gold", "--again")["id"]
    assert first != second
    engine.run()
    assert len(engine.debits(customer)) == 2


def test_a_plan_that_is_over_or_another_one_is_no_second_click(engine: Engine) -> None:
    """A canceled one and another plan do not count; a planned change to the plan does."""
    for code in ("gold", "silver"):
        engine.plan(code)
    customer = engine.customer()
    gold = engine.subscribe(customer, "gold")
    engine.run()
    silver = engine.subscribe(customer, "silver")
    engine.run()
    changing.change(engine.context, silver, OPERATOR, plan_code="gold", at="period-end")
    canceling.cancel(engine.context, gold, OPERATOR)

    told = refused(engine, partial(engine.subscribe, customer, "gold"), AlreadyExists)
    assert str(silver) in told
    canceling.cancel(engine.context, silver, OPERATOR)
    engine.subscribe(customer, "gold")


def test_two_clicks_at_the_same_moment_make_one_subscription(engine: Engine, other: Engine) -> None:
    """The customer's lock decides: one is made, and the other call gets that one."""
    engine.plan()
    for _ in range(5):
        customer = engine.customer()

        told = at_once(*(partial(each.subscribe, customer) for each in (engine, other)))
        engine.run()

        assert [isinstance(each, AlreadyExists) for each in told].count(True) == 1
        assert len(engine.debits(customer)) == 1


def test_a_new_key_is_a_new_subscription_and_an_old_one_the_first(engine: Engine) -> None:
    """A program that means one more says so with another key; a repeat returns what was made."""
    engine.plan()
    customer = engine.customer()

    def subscribe(key: str) -> str:
        request = Request(key, "admin.subscribe", {"customer": customer, "plan": "P"})
        made = subscribing.subscribe(engine.context, customer, "P", OPERATOR, request=request)
        return str(made["id"])

    first, repeat, second = subscribe("one"), subscribe("one"), subscribe("two")

    assert first == repeat != second
    assert engine.counts()["subscriptions"] == 2


@pytest.mark.parametrize("linked", [True, False])
def test_an_anchor_inside_a_spring_gap_is_kept_until_there_is_a_wallet(
    engine: Engine, billing: Billing, linked: bool
) -> None:
    """02:30 that does not exist on one Sunday is 02:30 on every other day."""
    engine.plan(every="1 week", timezone="America/New_York")
    customer = engine.customer(linked=linked)
    made = billing("subscribe", customer, "P", "--start", "2026-03-08T02:30")
    engine.advance(datetime(2026, 2, 20, tzinfo=UTC))
    if not linked:
        engine.link(customer)

    engine.advance(datetime(2026, 3, 20, tzinfo=UTC))

    starts = [row["period_start"] for row in engine.invoices(made["id"])]
    assert starts == [
        datetime(2026, 3, 8, 7, tzinfo=UTC),  # 03:00, the first instant after the gap
        datetime(2026, 3, 15, 6, 30, tzinfo=UTC),
    ]
    shown = billing("schedule", "preview", "--start", "2026-03-08T02:30", "--every", "1 week",
                    "--timezone", "America/New_York", "--count", 2)  # fmt: skip
    assert [due[11:16] for due in shown["due"]] == ["03:00", "02:30"]


def test_a_change_before_the_wallet_leaves_a_wished_start_as_it_was(engine: Engine) -> None:
    """A pending one that goes to a plan elsewhere begins at the instant that was promised."""
    engine.plan(every="1 day", timezone="America/New_York")
    engine.plan("U", every="1 week", timezone="UTC")
    customer = engine.customer(linked=False)
    wall = datetime(2026, 3, 8, 2, 30)  # noqa: DTZ001 - a wall time
    subscription = engine.subscribe(customer, local_start=wall)
    changing.change(engine.context, subscription, OPERATOR, plan_code="U")

    engine.link(customer)

    row = engine.subscription(subscription)
    assert row["next_due_at"] == datetime(2026, 3, 8, 7, tzinfo=UTC)
    assert row["anchor_local"] == datetime(2026, 3, 8, 7)  # noqa: DTZ001 - a wall time


@pytest.mark.parametrize(
    ("to_start", "waits", "plan"),
    [
        (timedelta(0), 100 * DAY, {}),
        (DAY, 800 * DAY, {}),
        (DAY, 90 * DAY, {"trial": "14 days"}),
        (-3 * DAY, 5 * DAY, {"every": "1 day"}),
        (timedelta(0), 100 * DAY, {"cron": "0 9 1 * *"}),
    ],
)
def test_time_without_a_wallet_is_not_billed(
    engine: Engine, to_start: timedelta, waits: timedelta, plan: dict[str, Any]
) -> None:
    """Nothing was served before the link: it begins then, and an event says what was left out."""
    engine.plan(**plan)
    customer = engine.customer(linked=False)
    start = engine.now + to_start
    subscription = engine.subscribe(customer, start=start)
    engine.advance(waits)
    linked_at = engine.now

    engine.link(customer)
    engine.run()

    once = plan.keys() <= {"every"}
    assert len(engine.debits(customer)) == once
    assert [row["period_start"] for row in engine.invoices(subscription)] == [linked_at] * once
    due = engine.subscription(subscription)["next_due_at"]
    assert due > linked_at
    assert "cron" not in plan or (due.day, due.astimezone(JAKARTA).hour) == (1, 9)
    [told] = engine.told("subscription.start_moved")
    assert told["data"] == {
        "why": "no wallet was linked before",
        "start_at": start.isoformat(),
        "begins_at": linked_at.isoformat(),
    }


def test_a_start_to_come_is_kept_and_so_is_one_that_was_backdated(engine: Engine) -> None:
    """A date ahead is not moved by the link, nor is a past one that a person insisted on."""
    engine.plan(every="10 days")
    soon, past = engine.customer(linked=False), engine.customer(linked=False)
    ahead = engine.subscribe(soon, start=engine.now + 9 * DAY)
    begun = engine.now - DAY
    early = subscribing.subscribe(
        engine.context, past, "P", OPERATOR, start=begun, backdate=True
    )["id"]  # fmt: skip
    engine.advance(5 * DAY)

    for customer in (soon, past):
        engine.link(customer)
    engine.advance(10 * DAY)

    starts = [row["period_start"] for row in engine.invoices(early)]
    assert starts == [begun, begun + 10 * DAY]
    assert [row["period_start"] for row in engine.invoices(ahead)] == [START + 9 * DAY]
    assert engine.told("subscription.start_moved") == []

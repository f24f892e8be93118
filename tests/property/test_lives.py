"""After any acts in any order a subscription's periods join, and it continues or ends.

Each life runs on the real engine, database and gateway; the audit checks it. The clock only moves
forward, so that lives follow each other in one database.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR, Actor
from billing.domain.subscription import RefundPolicy
from billing.services.money import coupons, crediting, extra_lines, refunding
from billing.services.operating import invoice_actions
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration import checks
from tests.integration.engine import Engine

DAY = timedelta(days=1)
Deed = Callable[[Engine, str, UUID], object]

plans = st.fixed_dictionaries(
    {
        "amount": st.just(10_000),
        "timezone": st.sampled_from(["Asia/Jakarta", "America/New_York"]),
        "catch_up": st.sampled_from(["all", "latest"]),
        "on_exhausted": st.sampled_from(["cancel", "unpaid", "pause"]),
        "cycles": st.sampled_from([None, None, 1, 4]),
        "trial": st.sampled_from([None, None, "10 days"]),
        "retries": st.just("2d 5d"),
    }
)
schedules = st.sampled_from(
    [
        {"every": "1 month"}, {"every": "2 weeks"}, {"every": "10 days"}, {"every": "3 months"},
        {"cron": "0 10 25 * *"}, {"cron": "30 2 * * 1"}, {"cron": "0 9 L * *"},
    ]
)  # fmt: skip
days = st.integers(1, 45).map(lambda count: count * DAY)


def later(span: timedelta) -> Deed:
    return lambda engine, _, __: engine.advance(span)


def outage(span: timedelta) -> Deed:
    return lambda engine, _, __: engine.set_clock(engine.now + span)


def pause(at: str, span: timedelta | None) -> Deed:
    return lambda engine, _, subscription: pausing.pause(
        engine.context, subscription, OPERATOR, at=at, until=span and engine.now + span
    )


def resume(start: str) -> Deed:
    return lambda e, _, s: pausing.resume(e.context, s, OPERATOR, start=start)


def cancel(at: str | timedelta) -> Deed:
    return lambda engine, _, subscription: canceling.cancel(
        engine.context, subscription, OPERATOR, at=at if isinstance(at, str) else engine.now + at
    )


def withdraw(engine: Engine, _: str, subscription: UUID) -> None:
    canceling.withdraw(engine.context, subscription, OPERATOR)


def hold(cash: int) -> Deed:
    return lambda engine, customer, _: engine.put_cash(customer, cash)


def lose_wallet(engine: Engine, customer: str, _: UUID) -> None:
    if engine.wallets(customer)[-1]["status"] == "active":
        engine.lose_wallet(customer)


def link(engine: Engine, customer: str, _: UUID) -> None:
    if engine.wallets(customer)[-1]["status"] != "active":
        engine.link(customer)


def of_an_invoice(act: Callable[..., object]) -> Deed:
    def deed(engine: Engine, _: str, subscription: UUID) -> None:
        for invoice in engine.invoices(subscription)[-1:]:
            act(engine.context, invoice["id"], OPERATOR)

    return deed


def change(to: str | None, quantity: int | None, at: str) -> Deed:
    return lambda e, _, s: changing.change(
        e.context, s, OPERATOR, plan_code=to, quantity=quantity, at=at
    )


def give(amount: int) -> Deed:
    return lambda e, customer, _: crediting.grant(e.context, customer, amount, Actor("test", "x"))


def pay_out(engine: Engine, customer: str, _: UUID) -> None:
    last = "SELECT id FROM credits WHERE customer_id = :id AND remaining > 0 ORDER BY id DESC"
    for credit in engine.rows(last, id=customer)[:1]:
        crediting.refund(engine.context, credit["id"], OPERATOR)


def redeem(code: str) -> Deed:
    return lambda engine, _, s: coupons.apply(engine.context, code, s, OPERATOR)


def add_line(engine: Engine, _: str, subscription: UUID) -> None:
    extra_lines.add(engine.context, subscription, "a towel", 700, OPERATOR)


def give_back(engine: Engine, _: str, subscription: UUID) -> None:
    for invoice in engine.invoices(subscription)[-1:]:
        refunding.refund_invoice(engine.context, invoice["id"], None, OPERATOR)


OFFERS: dict[str, dict[str, object]] = {
    "MONTH": {"amount": 30_000, "every": "1 month"},
    "TEN": {"amount": 4_000, "every": "10 days", "cycles": 6},
    "NEW YORK": {"amount": 9_999, "every": "1 month", "timezone": "America/New_York"},
}
COUPONS: dict[str, dict[str, int]] = {
    "ALL": {"percent": 100, "cycles": 1}, "THIRD": {"percent": 33}, "FLAT": {"rupiah_off": 7_000},
}  # fmt: skip


def offer(engine: Engine) -> None:
    """Have the plans and coupons that a life may turn to."""
    if engine.one("SELECT count(*) FROM coupons"):
        return
    for code, options in OFFERS.items():
        engine.plan(code, **options)
    for code, values in COUPONS.items():
        coupons.create(engine.context, code, OPERATOR, **values)


pauses = st.builds(pause, st.sampled_from(["now", "period-end"]), st.none() | days)
resumes = st.builds(resume, st.sampled_from(["anchor", "now"]))
spans = st.builds(later, days) | st.builds(outage, st.integers(1, 120).map(lambda n: n * DAY))
prices = st.one_of(
    st.builds(change, st.sampled_from([None, *OFFERS]), st.sampled_from([None, 1, 3]),
              st.sampled_from(["now", "now", "period-end"])),
    st.builds(redeem, st.sampled_from(list(COUPONS))),
    st.builds(give, st.sampled_from([500, 45_000])),
    st.sampled_from([pay_out, add_line, give_back]),
)  # fmt: skip
deeds = st.one_of(
    spans,
    prices,
    pauses,
    resumes,
    st.builds(cancel, st.just("period-end") | days),
    st.builds(hold, st.sampled_from([0, 15_000, 1_000_000])),
    st.sampled_from([withdraw, lose_wallet, link]),
    st.sampled_from([invoice_actions.retry_invoice, invoice_actions.void_invoice]).map(
        of_an_invoice
    ),
)


def live(engine: Engine, plan: dict[str, object], life: list[Deed]) -> UUID:
    """Play one life: after each deed, what is due is done, and everything must hold."""
    code = f"P{engine.counts()['plans']}"
    offer(engine)
    engine.plan(code, **plan)
    customer = engine.customer()
    subscription = engine.subscribe(customer, code)
    for deed in life:
        with suppress(BillingError):  # what is refused changes nothing that the audit would find
            deed(engine, customer, subscription)
        engine.run()
        assert checks.findings(engine) == []
    return subscription


few = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(plan=plans, schedule=schedules, life=st.lists(pauses | resumes | spans, max_size=10))
def test_periods_join_over_pauses_returns_and_outages(
    engine: Engine, plan: dict[str, object], schedule: dict[str, str], life: list[Deed]
) -> None:
    """No two periods overlap, none is lost between, and those left out are on record."""
    subscription = live(engine, plan | schedule, life)

    rows = engine.invoices(subscription)
    for before, after in pairwise(rows):
        assert before["period_start"] < before["period_end"] <= after["period_start"]
        if after["period_index"] == before["period_index"] + 1:
            assert before["period_end"] == after["period_start"]


@few
@given(plan=plans, schedule=schedules, life=st.lists(deeds, max_size=12))
def test_no_order_of_deeds_leaves_a_subscription_hanging(
    engine: Engine, plan: dict[str, object], schedule: dict[str, str], life: list[Deed]
) -> None:
    """It has a date, or an invoice with one, or is in a state that is a named dead end."""
    live(engine, plan | schedule, life)


@few
@given(
    plan=plans, schedule=schedules,
    life=st.lists(prices | spans | pauses | resumes, max_size=12), end=st.booleans(),
)  # fmt: skip
def test_no_more_is_given_back_than_was_taken(
    engine: Engine,
    plan: dict[str, object],
    schedule: dict[str, str],
    life: list[Deed],
    *,
    end: bool,
) -> None:
    """Changes, coupons, credit and refunds in any order: the kept amount is never below zero."""
    subscription = live(engine, plan | schedule, life)
    if end:
        with suppress(BillingError):
            canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.FULL)
        engine.run()

    customer = engine.subscription(subscription)["customer_id"]
    taken = sum(row["amount"] for row in engine.debits(customer))
    back = sum(row["amount"] for row in engine.refunds(customer) if row["status"] == "succeeded")
    owned = engine.one(
        "SELECT coalesce(sum(remaining), 0) FROM credits"
        " WHERE customer_id = :id AND invoice_id IS NOT NULL", id=customer,
    )  # fmt: skip
    gifts = engine.one(
        "SELECT coalesce(sum(amount), 0) FROM credits"
        " WHERE customer_id = :id AND invoice_id IS NULL", id=customer,
    )  # fmt: skip
    assert back + owned <= taken + gifts
    assert checks.findings(engine) == []

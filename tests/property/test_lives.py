"""Whatever is done to a subscription, in whatever order: its periods join, and it goes on or ends.

The real engine, database and gateway play each life; the audit is the judge. The clock only goes
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
from billing.domain.events import OPERATOR
from billing.services import auditing, ending, operating, pausing
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
    return lambda engine, _, subscription: ending.cancel(
        engine.context, subscription, OPERATOR, at=at if isinstance(at, str) else engine.now + at
    )


def withdraw(engine: Engine, _: str, subscription: UUID) -> None:
    ending.withdraw(engine.context, subscription, OPERATOR)


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


pauses = st.builds(pause, st.sampled_from(["now", "period-end"]), st.none() | days)
resumes = st.builds(resume, st.sampled_from(["anchor", "now"]))
spans = st.builds(later, days) | st.builds(outage, st.integers(1, 120).map(lambda n: n * DAY))
deeds = st.one_of(
    spans,
    pauses,
    resumes,
    st.builds(cancel, st.just("period-end") | days),
    st.builds(hold, st.sampled_from([0, 15_000, 1_000_000])),
    st.sampled_from([withdraw, lose_wallet, link]),
    st.sampled_from([operating.retry_invoice, operating.void_invoice]).map(of_an_invoice),
)


def live(engine: Engine, plan: dict[str, object], life: list[Deed]) -> UUID:
    """Play one life: after each deed, what is due is done, and everything must hold."""
    code = f"P{engine.counts()['plans']}"
    engine.plan(code, **plan)
    customer = engine.customer()
    subscription = engine.subscribe(customer, code)
    for deed in life:
        with suppress(BillingError):  # what is refused changes nothing that the audit would find
            deed(engine, customer, subscription)
        engine.run()
        assert auditing.audit(engine.context) == []
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
    """It has a date, or an invoice that has one, or stands in a state that is a named dead end."""
    live(engine, plan | schedule, life)

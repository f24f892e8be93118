"""Money is of the plan that its invoice was opened for, also when the subscription leaves it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.charge import ChargeStatus
from billing.domain.errors import InvalidValue
from billing.domain.events import OPERATOR, Actor
from billing.domain.filters import (
    ChargeFilter,
    Counted,
    InvoiceFilter,
    RefundFilter,
    SubscriptionFilter,
)
from billing.domain.instants import HOME
from billing.domain.invoice import InvoiceStatus
from billing.domain.paging import Listed, Page
from billing.domain.refund import RefundStatus
from billing.services.money import refunding
from billing.services.operating import counting_ahead, invoice_actions
from billing.services.reading import ahead, invoice_page, lists
from billing.services.subscriptions import changing
from billing.store.queries import ahead as totals_of
from billing.store.session import Database
from tests.integration.engine import Engine

Read = Callable[[Database, Any, Page], Listed[Any]]
MONEY: tuple[tuple[Read, Any], ...] = (
    (lists.invoices, InvoiceFilter()), (lists.charges, ChargeFilter()),
    (lists.refunds, RefundFilter()),
)  # fmt: skip
APRIL = datetime(2026, 4, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)
WHY = Actor("operator", "test")


@pytest.fixture
def moved(engine: Engine) -> UUID:
    """A subscription that paid for April on SMALL, then a change to BIG, then May, all refunded."""
    engine.set_clock(APRIL)
    engine.plan("SMALL", amount=10_000)
    engine.plan("BIG", amount=30_000)
    subscription = engine.subscribe(engine.customer(), "SMALL")
    engine.run()
    engine.advance(15 * DAY)
    changing.change(engine.context, subscription, OPERATOR, plan_code="BIG")
    engine.run()
    engine.advance(20 * DAY)
    for invoice in engine.invoices(subscription):
        refunding.refund_invoice(engine.context, invoice["id"], 100, WHY)
    engine.run()
    return subscription


def plans(engine: Engine, subscription: UUID) -> list[str]:
    """The plan of each of its invoices, oldest first."""
    return [row["plan_code"] for row in engine.invoices(subscription)]


def pages(engine: Engine, read: Read, wanted: Any, limit: int = 1) -> Iterator[list[Any]]:
    """A list, page by page."""
    after = None
    while True:
        found = read(engine.context.database, wanted, Page(limit, after))
        yield [each.row if hasattr(each, "row") else each for each in found.rows]
        after = found.next_cursor
        if after is None:
            return


def listed(engine: Engine, read: Read, wanted: Any) -> list[Any]:
    """The ids of a list that is read row by row."""
    return [row.id for page in pages(engine, read, wanted) for row in page]


def test_old_money_stays_with_the_old_plan(engine: Engine, moved: UUID) -> None:
    """Invoice, charge and refund of before; those of the change and of later are of the new."""
    invoices = engine.invoices(moved)
    assert plans(engine, moved) == ["SMALL", "BIG", "BIG"]
    assert [row["change_index"] for row in invoices] == [0, 1, 0]
    of_small, *of_big = (row["id"] for row in invoices)
    for read, plain in MONEY:
        found = {
            plan: {
                getattr(row, "invoice", row.id)
                for page in pages(engine, read, plain._replace(plan=plan))
                for row in page
            }
            for plan in ("SMALL", "BIG")
        }
        assert found == {"SMALL": {of_small}, "BIG": set(of_big)}, read.__name__
    assert invoice_page.read(engine.context, of_small).plan == "SMALL"
    assert engine.subscription(moved)["plan_code"] == "BIG"


def test_the_lists_of_all_plans_are_the_list(engine: Engine, moved: UUID) -> None:
    """Nothing is in two of them, or in none; a cursor of one plan is refused by the other."""
    for read, plain in MONEY:
        of_plans = [listed(engine, read, plain._replace(plan=plan)) for plan in ("SMALL", "BIG")]
        everything = listed(engine, read, plain)
        assert [len(each) for each in of_plans] == [1, 2]
        assert sorted(everything) == sorted(each for rows in of_plans for each in rows)
        assert all([each for each in everything if each in rows] == rows for rows in of_plans)
        cursor = read(engine.context.database, plain._replace(plan="BIG"), Page(1)).next_cursor
        with pytest.raises(InvalidValue, match="cursor"):
            read(engine.context.database, plain._replace(plan="SMALL"), Page(1, cursor))


def test_each_filter_beside_a_plan_leaves_only_its_rows(engine: Engine, moved: UUID) -> None:
    """Status, dates, customer, subscription and invoice; all others leave nothing."""
    customer = engine.subscription(moved)["customer_id"]
    [first, *_] = engine.invoices(moved)
    done = (InvoiceStatus.PAID, ChargeStatus.SUCCEEDED, RefundStatus.SUCCEEDED)
    for (read, plain), status in zip(MONEY, done, strict=True):
        [[only]] = pages(engine, read, plain._replace(plan="SMALL"))
        row, made = only.id, only.created_at
        fitting: list[dict[str, Any]] = [
            {"customer": customer}, {"status": status}, {"since": made},
            {"until": made + DAY},
        ]  # fmt: skip
        wrong: list[dict[str, Any]] = [{"since": made + DAY}, {"until": made}]
        wrong += [{"status": each} for each in type(status) if each != status]
        if "subscription" in plain._fields:
            fitting.append({"subscription": moved})
        if "invoice" in plain._fields:
            fitting.append({"invoice": first["id"]})
            wrong.append({"invoice": engine.invoices(moved)[1]["id"]})
        for given in fitting:
            assert listed(engine, read, plain._replace(plan="SMALL", **given)) == [row], given
        for given in wrong:
            assert listed(engine, read, plain._replace(plan="SMALL", **given)) == [], given


def test_a_planned_change_counts_from_its_period_on(engine: Engine) -> None:
    """Also when a late tick opens the last old period and the first new one together."""
    engine.set_clock(APRIL)
    engine.plan("SMALL", amount=10_000)
    engine.plan("BIG", amount=30_000)
    subscription = engine.subscribe(engine.customer(), "SMALL")
    engine.run()
    engine.set_clock(APRIL + 20 * DAY)
    changing.change(engine.context, subscription, OPERATOR, plan_code="BIG", at="period-end")
    engine.set_clock(APRIL + 70 * DAY)
    engine.run()

    assert plans(engine, subscription) == ["SMALL", "BIG", "BIG"]


def test_a_plan_with_other_dates_counts_from_its_first_period_on(engine: Engine) -> None:
    """A change that begins a new period makes no invoice of its own."""
    engine.set_clock(APRIL)
    engine.plan("SMALL", amount=10_000)
    engine.plan("WEEK", amount=3_000, every="1 week")
    subscription = engine.subscribe(engine.customer(), "SMALL")
    engine.run()
    engine.advance(3 * DAY)
    changing.change(engine.context, subscription, OPERATOR, plan_code="WEEK")
    engine.run()

    assert plans(engine, subscription) == ["SMALL", "WEEK"]


def test_another_quantity_is_no_other_plan(engine: Engine, moved: UUID) -> None:
    """The invoice of a change of quantity is of the present plan."""
    changing.change(engine.context, moved, OPERATOR, quantity=3)
    engine.run()

    assert plans(engine, moved) == ["SMALL", "BIG", "BIG", "BIG"]


@pytest.fixture
def owing(engine: Engine) -> UUID:
    """A subscription that owes an invoice of SMALL and is on BIG now."""
    engine.set_clock(APRIL)
    engine.plan("SMALL", amount=10_000, retries="3d 3d 3d", on_exhausted="unpaid", every="1 week")
    engine.plan("BIG", amount=30_000, every="1 week")
    customer = engine.customer()
    subscription = engine.subscribe(customer, "SMALL")
    engine.run()
    engine.put_cash(customer, 0)
    engine.advance(7 * DAY)
    changing.change(engine.context, subscription, OPERATOR, plan_code="BIG", at="period-end")
    engine.advance(timedelta(days=7, hours=1))
    assert engine.subscription(subscription)["plan_code"] == "BIG"
    assert plans(engine, subscription) == ["SMALL", "SMALL", "BIG"]
    return subscription


def test_a_debt_ahead_is_counted_with_the_list_of_its_plan(
    engine: Engine, owing: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By charge on the page, and by the totals that a tick keeps: the links list as many rows."""
    [owed] = engine.rows("SELECT * FROM invoices WHERE next_attempt_at IS NOT NULL")
    assert owed["plan_code"] == "SMALL"
    found = ahead.read(engine.context, "SMALL", owed["next_attempt_at"].astimezone(HOME).date())
    assert [each.line.amount for each in found.of_day] == [10_000]

    assert counting_ahead.count(engine.context)
    monkeypatch.setattr(ahead, "LINES_MAX", 0)
    with engine.context.database.transaction() as connection:
        totals = totals_of.totals(connection)
    assert {(each.plan_code, each.kind, each.charges) for each in totals} == {
        ("SMALL", "invoice", 1), ("BIG", "period", 1),
    }  # fmt: skip
    parts = ahead.read(engine.context).plan_parts
    span = {"at": engine.now - 1000 * DAY, "before": engine.now + 60 * DAY}
    for plan in ("SMALL", "BIG"):
        invoices = InvoiceFilter(plan=plan, counted=Counted.INVOICES_AHEAD, **span)  # type: ignore[arg-type]
        periods = SubscriptionFilter(plan=plan, counted=Counted.PERIODS_AHEAD, **span)  # type: ignore[arg-type]
        assert len(listed(engine, lists.invoices, invoices)) == parts[plan].invoices
        assert len(listed(engine, lists.subscriptions, periods)) == parts[plan].periods


def test_a_late_payment_is_of_the_plan_that_was_owed(
    engine: Engine, owing: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry after the change charges for the old plan, and says so; its refund returns there."""
    described: list[str] = []
    client = type(engine.context.gateway)
    plain = client.compose

    def compose(gateway: Any, payment: Any) -> Any:
        described.append(payment.description)
        return plain(gateway, payment)

    monkeypatch.setattr(client, "compose", compose)
    engine.put_cash(engine.subscription(owing)["customer_id"], 1_000_000)
    [_, second, _] = engine.invoices(owing)
    invoice_actions.retry_invoice(engine.context, second["id"], OPERATOR)
    engine.run()
    refunding.refund_invoice(engine.context, second["id"], None, WHY)
    engine.run()

    assert "SMALL" in described[0]
    charges = ChargeFilter(plan="SMALL", invoice=second["id"])
    assert len(listed(engine, lists.charges, charges)) == 2
    assert len(listed(engine, lists.refunds, RefundFilter(plan="SMALL"))) == 1
    assert listed(engine, lists.refunds, RefundFilter(plan="BIG")) == []

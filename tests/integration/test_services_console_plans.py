"""What the console reads: no growing table as a whole, and figures that are those of the rows."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from billing.domain.events import OPERATOR, Actor
from billing.domain.filters import (
    OF_INVOICES_AHEAD,
    OF_PERIODS_AHEAD,
    ChargeFilter,
    Counted,
    InvoiceFilter,
    RefundFilter,
    SubscriptionFilter,
)
from billing.domain.paging import Page
from billing.domain.webhooks import DeliveryStatus
from billing.services.context import Context
from billing.services.money import crediting, refunding
from billing.services.operating import approvals
from billing.services.reading import (
    access_page,
    ahead,
    customer_page,
    filtered,
    inbox,
    invoice_page,
    now,
    subscription_page,
    webhook_pages,
)
from billing.services.webhooks import endpoints, fanout
from billing.store.queries.attention import Wanted
from billing.store.queries.engine import Heartbeat
from tests.integration.engine import Engine

GROWING = ("events", "charges", "invoices", "refunds", "subscriptions", "customers", "wallets",
           "credits", "webhook_deliveries")  # fmt: skip


def plans(engine: Engine, act: Callable[[Context], object]) -> list[str]:
    """The plans of all statements of a read, with an index used wherever there is one."""
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    with engine.context.database.transaction() as connection:
        event.listen(connection, "before_cursor_execute", note)
        act(engine.context.joined(connection))
        event.remove(connection, "before_cursor_execute", note)
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        found = []
        for statement, parameters in statements:
            if statement.startswith("SET "):
                found.append("")
                continue
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            found.append("\n".join(row[0] for row in plan))
    return found


def scanned(found: list[str]) -> list[str]:
    """The plans with a scan of a table that grows."""
    return [plan for plan in found if any(f"Seq Scan on {table} " in plan for table in GROWING)]


@pytest.fixture
def lived(engine: Engine) -> tuple[Engine, str]:
    """An engine, and a customer with a charge, a refund and a credit."""
    customer, subscription = engine.begun(amount=50_000)
    engine.run()
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], 10_000, OPERATOR)
    crediting.grant(engine.context, customer, 5_000, Actor("budi", "sorry"))
    engine.run()
    return engine, customer


def test_now_scans_no_table_that_grows(lived: tuple[Engine, str]) -> None:
    """With a past of years it reads the same few rows, and today's events."""
    found = plans(lived[0], now.read)
    assert 6 <= len(found) <= 12
    assert scanned(found) == []


def test_the_limit_of_refunds_scans_no_table_that_grows(lived: tuple[Engine, str]) -> None:
    """It reads the refunds and events of one subscription."""
    engine, _customer = lived
    subscription = engine.one("SELECT id FROM subscriptions")

    def act(context: Context) -> None:
        settings = context.settings.model_copy(update={"approval_refund_above": 20_000})
        assert not approvals.needs_second(replace(context, settings=settings), subscription, 1)

    found = plans(engine, act)
    assert len(found) == 1
    assert scanned(found) == []


def test_a_customer_page_scans_no_table_that_grows(lived: tuple[Engine, str]) -> None:
    """It reads the rows of one customer."""
    engine, customer = lived
    found = plans(engine, lambda context: customer_page.read(context, customer))
    assert scanned(found) == []
    assert len(found) <= 11


def test_attention_and_ahead_scan_no_table_that_grows(lived: tuple[Engine, str]) -> None:
    """At most 12 statements a page, with those of the session; each reads what waits or is due."""
    reads: list[Callable[[Context], object]] = [
        lambda context: inbox.read(context, Wanted(), Page(50)),
        lambda context: inbox.choose(context, Wanted("invoice", "uncollectible"), 200),
        ahead.read,
    ]
    for read in reads:
        found = plans(lived[0], read)
        assert 1 <= len(found) <= 9
        assert scanned(found) == []


def test_webhooks_and_access_scan_no_table_that_grows(engine: Engine) -> None:
    """At most 12 statements a page, with those of the session; deliveries are read by an index."""
    url = "https://shop.example/hook"
    endpoint = endpoints.create(engine.context, url, OPERATOR).endpoint.id
    engine.plan()
    fanout.fan_out(engine.context)
    delivery = engine.one("SELECT id FROM webhook_deliveries LIMIT 1")
    first, last = (
        webhook_pages.of_endpoint(engine.context, endpoint, None, Page(size)).listed
        for size in (1, 50)
    )
    assert last.next_cursor is None
    reads: list[Callable[[Context], object]] = [
        webhook_pages.overview,
        lambda context: webhook_pages.of_endpoint(context, endpoint, None, Page(50)),
        lambda context: webhook_pages.of_endpoint(
            context, endpoint, None, Page(50, first.next_cursor)
        ),
        lambda context: webhook_pages.of_endpoint(
            context, endpoint, DeliveryStatus.FAILED, Page(50)
        ),
        lambda context: webhook_pages.of_delivery(context, delivery),
        access_page.read,
    ]
    for read in reads:
        found = plans(engine, read)
        assert 1 <= len(found) <= 9
        assert scanned(found) == []


@pytest.mark.parametrize("name", Counted)
def test_the_rows_of_a_number_are_found_by_an_index(
    lived: tuple[Engine, str], name: Counted
) -> None:
    """No list of counted rows reads a table that grows as a whole."""
    engine, at = lived[0], lived[0].now
    wanted: filtered.Filter
    if name is Counted.DUE:
        wanted = InvoiceFilter(counted=name, at=at)
    elif name in OF_PERIODS_AHEAD:
        wanted = SubscriptionFilter(counted=name, at=at, before=at + timedelta(days=1))
    elif name is Counted.GIVEN_UP or name in OF_INVOICES_AHEAD:
        wanted = InvoiceFilter(counted=name, at=at, before=at + timedelta(days=1))
    elif name in {Counted.TO_OPEN, Counted.RUNNING}:
        wanted = SubscriptionFilter(counted=name, at=at)
    elif name in {Counted.UNSETTLED, Counted.REFUNDED}:
        wanted = RefundFilter(counted=name, at=at)
    else:
        wanted = ChargeFilter(
            counted=name, at=at, before=at + timedelta(days=1), fault="limit", code="x"
        )  # fmt: skip
    found = plans(engine, lambda context: filtered.read(context.database, wanted, Page(50)))
    assert len(found) == 1
    assert scanned(found) == []


def test_a_page_of_a_row_scans_no_table_that_grows(lived: tuple[Engine, str]) -> None:
    """An invoice and a subscription: at most 11 statements, and one for the session."""
    engine, customer = lived
    [row] = engine.rows("SELECT id FROM subscriptions WHERE customer_id = :id", id=customer)
    [invoice] = engine.invoices(row["id"])
    for found in (
        plans(engine, lambda context: subscription_page.read(context, row["id"])),
        plans(engine, lambda context: invoice_page.read(context, invoice["id"])),
    ):
        assert scanned(found) == []
        assert 0 < len(found) <= 11


def test_the_movements_are_those_of_the_rows(lived: tuple[Engine, str]) -> None:
    """A charge, a refund and a credit, newest first, with what each is about."""
    engine, customer = lived
    page = customer_page.read(engine.context, customer)
    assert sorted((each.kind, each.amount) for each in page.movements) == [
        ("charge", 50_000), ("credit", 5_000), ("refund", 10_000),
    ]  # fmt: skip
    [ahead] = page.ahead
    assert ahead.next_invoice is not None
    assert (ahead.next_invoice.amount, ahead.next_invoice.amount_from_credit) == (50_000, 5_000)
    assert page.cut == []


@pytest.mark.parametrize(
    ("interval", "ago", "error", "is_late"),
    [
        (10, None, None, True), (10, 40, None, False), (10, 41, None, True),
        (3600, None, None, False), (3600, None, "failed", True), (3600, 10_811, None, True),
        (3600, 10_810, "failed since", False),
    ],
)  # fmt: skip
def test_a_tick_is_late_after_three_intervals(
    interval: int, ago: int | None, error: str | None, *, is_late: bool
) -> None:
    """And ten seconds; one that never succeeded is late at once, unless it runs once an hour."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    succeeded_at = None if ago is None else at - timedelta(seconds=ago)
    beats = [Heartbeat("x", at, succeeded_at, at if error else None, error)]
    [tick] = now.ticks(beats, at, {"x": timedelta(seconds=interval)})
    assert tick.is_late is is_late
    assert tick.is_seldom is (interval == 3600)


@pytest.mark.parametrize(
    ("began", "ago", "error", "is_late"),
    [
        (0, None, None, False), (0, 900, None, False), (0, 10_801, None, True),
        (41, 45, None, True), (0, 41, "failed", True), (0, 40, "failed", False),
        (0, None, "failed", True),
    ],
)  # fmt: skip
def test_a_tick_that_skips_its_work_is_late_when_it_does_not_run(
    began: int, ago: int | None, error: str | None, *, is_late: bool
) -> None:
    """Or when its work has not been done for three hours, or failed and was not repeated."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    succeeded_at = None if ago is None else at - timedelta(seconds=ago)
    last = Heartbeat("count_ahead", at - timedelta(seconds=began), succeeded_at, None, error)
    [tick] = now.ticks([last], at, {"count_ahead": timedelta(seconds=10)})
    assert tick.is_paced
    assert tick.is_late is is_late

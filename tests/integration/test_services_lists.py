"""Lists: every page of every filter, joined, is the whole list, also while rows are added."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count
from random import randint
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from billing.domain.errors import InvalidValue, NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.domain.filters import (
    CatalogStatus,
    ChargeFilter,
    CouponFilter,
    CreditFilter,
    CustomerFilter,
    EventFilter,
    InvoiceFilter,
    PlanFilter,
    RefundFilter,
    SubscriptionFilter,
    WalletFilter,
)
from billing.domain.paging import Listed, Page
from billing.sandbox.process import SandboxProcess
from billing.services.money import coupons, crediting, refunding
from billing.services.operating import invoice_actions
from billing.services.reading import lists
from billing.services.subscriptions import canceling, changing, subscribing
from billing.services.wallets import unlinking
from billing.store.session import Database
from tests.integration.engine import START, Engine, running
from tests.integration.kept import Kept

WHY = Actor("operator", "test")
ALL = Page(10_000)
MINUTE = timedelta(minutes=1)
Read = Callable[[Database, Any, Page], Listed[Any]]
_codes = count(1)


@pytest.fixture
def engine(emptied: Kept, gateway: SandboxProcess) -> Iterator[Engine]:
    """An engine that charges a customer as often as these tests need."""
    with running(emptied, gateway, customer_charges_a_day_max=1_000) as made:
        yield made


class Case(NamedTuple):
    """A list with a filter, and the rows of the whole list that the filter must leave."""

    name: str
    read: Read
    wanted: Any
    plain: Any
    keeps: Callable[[Any], bool]


class World(NamedTuple):
    """Two customers, and what was made for them at three instants."""

    one: str
    two: str
    subscriptions: Sequence[UUID]
    middle: datetime


def row_of(shown: Any) -> Any:
    """The row inside a result, or the row itself."""
    return shown.row if hasattr(shown, "row") else shown


def key(shown: Any) -> Any:
    """The id of a row, or its code."""
    row = row_of(shown)
    return row.id if hasattr(row, "id") else row.code


def begin(engine: Engine) -> World:
    """Make rows of every list in several states, many of them at one instant."""
    engine.plan("P")
    engine.plan("Q")
    one, two, poor = engine.customer(), engine.customer(), engine.customer(cash=10)
    subscriptions = [engine.subscribe(who, plan) for who in (one, two) for plan in "PQ"]
    engine.subscribe(poor, "P")
    add(engine, one)
    engine.script("failed", one, "refund")
    engine.set_clock(START + MINUTE)
    for who in (one, two):
        add(engine, who)
    pending = engine.customer(linked=False)
    engine.bind(pending)
    engine.subscribe(pending, "Q")
    engine.set_clock(START + 2 * MINUTE)
    third = engine.customer()
    canceling.cancel(engine.context, engine.subscribe(third, "P"), OPERATOR)
    unlinking.unlink(engine.context, third, OPERATOR)
    number = add(engine, one)
    subscribing.archive_plan(engine.context, f"plan-{number}", OPERATOR)
    coupons.archive(engine.context, f"C{number}", OPERATOR)
    changing.change(engine.context, subscriptions[0], OPERATOR, plan_code="Q", quantity=2)
    [owed] = engine.rows("SELECT id FROM invoices WHERE status = 'open' LIMIT 1")
    invoice_actions.void_invoice(engine.context, owed["id"], WHY)
    engine.run()
    return World(one, two, subscriptions, START + MINUTE)


def add(engine: Engine, customer: str) -> int:
    """Add at least one row to each list, also to those of a customer and of a plan."""
    number = next(_codes)
    engine.plan(f"plan-{number}")
    coupons.create(engine.context, f"C{number}", OPERATOR, percent=10)
    crediting.grant(engine.context, customer, 1, WHY)
    engine.customer(linked=False)
    subscriptions = [engine.subscribe(customer, plan, again=True) for plan in ("P", "Q")]
    engine.run()
    for subscription in subscriptions:
        [invoice] = engine.invoices(subscription)
        refunding.refund_invoice(engine.context, invoice["id"], 100, WHY)
    return number


def cases(engine: Engine, world: World) -> Iterator[Case]:
    """Every list without a filter, with each single filter, and with some together."""
    plan_of = {row["id"]: row["plan_code"] for row in engine.rows("SELECT * FROM invoices")}
    kinds: list[tuple[str, Read, Any, Callable[[Any], Any]]] = [
        ("plans", lists.plans, PlanFilter(), lambda row: None),
        ("coupons", lists.coupons, CouponFilter(), lambda row: None),
        ("customers", lists.customers, CustomerFilter(), lambda row: None),
        ("wallets", lists.wallets, WalletFilter(), lambda row: None),
        ("subscriptions", lists.subscriptions, SubscriptionFilter(), lambda row: row.plan),
        ("invoices", lists.invoices, InvoiceFilter(), lambda row: plan_of[row.id]),
        ("charges", lists.charges, ChargeFilter(), lambda row: plan_of[row.invoice]),
        ("refunds", lists.refunds, RefundFilter(), lambda row: plan_of[row.invoice]),
        ("credits", lists.credits_of, CreditFilter(world.one), lambda row: None),
        ("events", lists.events, EventFilter(), lambda row: None),
    ]
    for name, read, plain, plan in kinds:
        for given in given_to(engine, world, plain, read):

            def keeps(
                row: Any, given: dict[str, Any] = given, plan: Callable[[Any], Any] = plan
            ) -> bool:
                return all(holds(row, each, value, plan) for each, value in given.items())

            yield Case(f"{name} {given}", read, plain._replace(**given), plain, keeps)


def given_to(engine: Engine, world: World, plain: Any, read: Read) -> Iterator[dict[str, Any]]:
    """The filters that a list is tried with."""
    fields = set(plain._fields)
    yield {}
    yield {"since": world.middle}
    yield {"until": world.middle}
    yield {"since": world.middle, "until": world.middle + MINUTE}
    if "customer" in fields and not plain.customer:
        yield {"customer": world.one}
        yield {"customer": world.two, "since": world.middle}
    if "plan" in fields:
        yield {"plan": "P"}
        yield {"plan": "Q", "customer": world.one}
    if "subscription" in fields:
        yield {"subscription": world.subscriptions[0]}
    if "invoice" in fields:
        yield {"invoice": engine.invoices(world.subscriptions[0])[0]["id"]}
    if "expires_before" in fields:
        yield {"expires_before": engine.one("SELECT max(expires_at) FROM wallets")}
    if "status" in fields:
        statuses: list[Any] = (
            list(CatalogStatus)
            if not hasattr(first(engine, read, plain), "status")
            else sorted({row_of(each).status for each in whole(engine, read, plain)})
        )
        for status in statuses:
            yield {"status": status}
            if "plan" in fields:
                yield {"status": status, "plan": "P", "until": world.middle}


def first(engine: Engine, read: Read, wanted: Any) -> Any:
    """The first row of a list."""
    return row_of(whole(engine, read, wanted)[0])


def whole(engine: Engine, read: Read, wanted: Any) -> list[Any]:
    """A list on one page."""
    found = read(engine.context.database, wanted, ALL)
    assert found.next_cursor is None
    return found.rows


def holds(row: Any, name: str, value: Any, plan: Callable[[Any], Any]) -> bool:
    """Whether a row is one that a filter wants, as a reader of the row would say."""
    match name:
        case "since":
            return bool(made_at(row) >= value)
        case "until":
            return bool(made_at(row) < value)
        case "expires_before":
            return bool(row.status == "active" and row.expires_at < value)
        case "plan":
            return bool(plan(row) == value)
        case "status" if not hasattr(row, "status"):
            return (row.archived_at is None) == (value is CatalogStatus.ACTIVE)
        case _:
            return bool(getattr(row, name) == value)


def made_at(row: Any) -> datetime:
    """When a row was made; an event calls it its timestamp."""
    made: datetime = row.timestamp if hasattr(row, "timestamp") else row.created_at
    return made


def test_a_filter_leaves_exactly_the_rows_that_it_wants(engine: Engine) -> None:
    """Compared with the whole list, row by row: nobody sees rows of another customer."""
    world = begin(engine)

    tried = list(cases(engine, world))
    for case in tried:
        everything = whole(engine, case.read, case.plain)
        expected = [key(each) for each in everything if case.keeps(row_of(each))]
        found = [key(each) for each in whole(engine, case.read, case.wanted)]
        assert found == expected, case.name
        assert case.wanted == case.plain or len(found) < len(everything), case.name
    assert len(tried) > 80


def test_pages_of_any_size_joined_are_the_whole_list_while_rows_are_added(engine: Engine) -> None:
    """No row is shown twice, and none that was there at the beginning is left out."""
    world = begin(engine)
    tried = list(cases(engine, world))
    before = [[key(each) for each in whole(engine, case.read, case.wanted)] for case in tried]
    shown: list[list[Any]] = [[] for _ in tried]
    after: dict[int, str | None] = dict.fromkeys(range(len(tried)))

    while after:
        for place, case in list(enumerate(tried)):
            if place in after:
                page = Page(randint(1, 9), after.pop(place))
                found = case.read(engine.context.database, case.wanted, page)
                assert len(found.rows) == page.limit or found.next_cursor is None
                shown[place] += [key(each) for each in found.rows]
                if found.next_cursor is not None:
                    after[place] = found.next_cursor
        if engine.now < START + 20 * MINUTE:
            if randint(0, 1):
                engine.set_clock(engine.now + MINUTE)
            add(engine, world.one)

    for case, expected, found in zip(tried, before, shown, strict=True):
        assert len(found) == len(set(found)), case.name
        assert [each for each in found if each in set(expected)] == expected, case.name


def test_a_cursor_is_refused_by_every_other_list(engine: Engine) -> None:
    """A cursor belongs to one list and its filters; a wrong one is refused before any row."""
    world = begin(engine)
    database = engine.context.database
    cursors = {}
    for case in cases(engine, world):
        found = case.read(database, case.wanted, Page(1))
        if found.next_cursor is not None:
            cursors[case.name] = (case, found.next_cursor)
    for name, (case, _) in cursors.items():
        for other, (_, cursor) in cursors.items():
            if other != name:
                with pytest.raises(InvalidValue, match="cursor"):
                    case.read(database, case.wanted, Page(1, cursor))


def test_rows_of_one_instant_have_an_order(engine: Engine) -> None:
    """Of many invoices opened at once for one subscription, the latest period comes first."""
    _, subscription = engine.begun(every="1 day")
    engine.set_clock(START + timedelta(days=5))
    engine.run()
    database, wanted = engine.context.database, InvoiceFilter(subscription=subscription)

    assert whole(engine, lists.invoices, wanted)[0].row.period_index == 5
    shown, after = [], None
    for _ in range(6):
        page = lists.invoices(database, wanted, Page(1, after))
        shown += [each.row.period_index for each in page.rows]
        after = page.next_cursor
    assert (shown, after) == ([5, 4, 3, 2, 1, 0], None)


@pytest.mark.parametrize(
    "read",
    [
        lambda d: lists.wallets(d, WalletFilter(customer="nope"), ALL),
        lambda d: lists.subscriptions(d, SubscriptionFilter(customer="a\x00b"), ALL),
        lambda d: lists.subscriptions(d, SubscriptionFilter(plan="nope"), ALL),
        lambda d: lists.invoices(d, InvoiceFilter(subscription=uuid4()), ALL),
        lambda d: lists.charges(d, ChargeFilter(invoice=uuid4()), ALL),
        lambda d: lists.charges(d, ChargeFilter(plan="\ud800"), ALL),
        lambda d: lists.refunds(d, RefundFilter(customer="nope"), ALL),
        lambda d: lists.credits_of(d, CreditFilter("nope"), ALL),
        lambda d: lists.events(d, EventFilter(subscription=uuid4()), ALL),
        lambda d: lists.events(d, EventFilter(customer="nope"), ALL),
    ],
)
def test_a_filter_by_an_unknown_id_is_refused(
    engine: Engine, read: Callable[[Database], object]
) -> None:
    """An empty list would hide a typing mistake."""
    with pytest.raises(NotKnown):
        read(engine.context.database)

"""The pages for people and programs: coming dates, money that moved, no secrets."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from billing.domain.documents import document
from billing.domain.errors import NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.domain.filters import EventFilter, InvoiceFilter
from billing.domain.outcomes import Succeeded
from billing.domain.paging import Page
from billing.domain.settlement import Source
from billing.services.collecting import settling
from billing.services.collecting.settling import News
from billing.services.money import refunding
from billing.services.operating import invoice_actions
from billing.services.reading import catalog, lists, read_models, results
from billing.services.subscriptions import canceling
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
SUBSCRIPTION_KEYS = {"id", "customer", "plan", "status", "amount", "next_due_at", "invoices"}
WALLET_KEYS = {
    "id", "customer", "status", "masked_phone", "registration_url", "linked_at", "expires_at",
}  # fmt: skip
INVOICE_KEYS = {
    "id", "subscription", "period_index", "period_start_at", "period_end_at", "amount",
    "amount_refunded", "status", "next_attempt_at", "charges",
}  # fmt: skip
CHARGE_KEYS = {
    "id", "invoice", "attempt", "gateway_number", "request_id", "first_payment", "status",
    "fault", "created_at", "settled_at",
}  # fmt: skip


def shown(engine: Engine, subscription: UUID) -> results.Subscription:
    """The subscription as it is shown."""
    return read_models.subscription(engine.context.database, subscription)


def invoices(engine: Engine) -> list[results.Invoice]:
    """The newest invoices of all customers."""
    return lists.invoices(engine.context.database, InvoiceFilter(), Page(100)).rows


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent to the database meanwhile."""
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    pool = engine.context.database._engine
    event.listen(pool, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(pool, "before_cursor_execute", note)


def test_every_promised_key_is_there(engine: Engine) -> None:
    """The keys of the design, in a subscription, its wallet, invoices and charges."""
    customer, subscription = engine.begun()
    engine.run()

    found = shown(engine, subscription)
    wallet = read_models.wallet_of(engine.context.database, customer)
    assert document(found).keys() >= SUBSCRIPTION_KEYS
    assert document(found.invoices[0]).keys() >= INVOICE_KEYS | {"refunds", "retries_at"}
    assert document(found.invoices[0].charges[0]).keys() >= CHARGE_KEYS
    assert document(wallet).keys() >= WALLET_KEYS


def test_instants_are_in_the_plans_timezone(engine: Engine) -> None:
    """A period of a plan in Jayapura begins at eleven there, which is nine in Jakarta."""
    _, subscription = engine.begun(timezone="Asia/Jayapura")
    engine.run()

    found = shown(engine, subscription)
    assert found.invoices[0].row.period_start_at.isoformat() == "2026-01-31T11:00:00+09:00"
    assert found.row.next_due_at is not None
    assert found.row.next_due_at.isoformat() == "2026-02-28T11:00:00+09:00"


def test_the_dates_that_are_shown_are_the_dates_that_happen(engine: Engine) -> None:
    """`retries_at` after the first decline is exactly when the later charges are made."""
    customer, subscription = engine.begun(retries="2d; 0 10 25 * *; 3d")
    engine.script("decline", customer, times=None)
    engine.run()
    planned = shown(engine, subscription).invoices[0].retries_at

    for number, date in enumerate(planned):
        assert shown(engine, subscription).invoices[0].retries_at == planned[number:]
        engine.advance(date)

    made = [charge["created_at"] for charge in engine.charges(subscription)]
    assert made == [START, *planned]
    assert shown(engine, subscription).invoices[0].retries_at == []


def test_a_retry_by_hand_is_shown_before_the_steps_that_stay(engine: Engine) -> None:
    """A manual retry moves no date, and the page shows that."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, times=None)
    engine.run()
    first = shown(engine, subscription).invoices[0]
    engine.set_clock(START + DAY)

    invoice_actions.retry_invoice(engine.context, first.row.id, OPERATOR)

    again = shown(engine, subscription).invoices[0]
    assert again.retries_at == [START + DAY, *first.retries_at]


def test_an_invoice_that_never_failed_has_no_retries(engine: Engine) -> None:
    """Only dates that are planned are shown."""
    _, subscription = engine.begun()
    engine.run()
    assert shown(engine, subscription).invoices[0].retries_at == []


def test_charges_and_refunds_stand_beside_their_invoice(engine: Engine) -> None:
    """A declined charge, the one that paid, and its refunds."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.advance(3 * DAY)
    invoice = shown(engine, subscription).invoices[0]
    refunding.refund_invoice(engine.context, invoice.row.id, 20_000, OPERATOR)
    engine.run()

    found = shown(engine, subscription).invoices[0]
    assert [(c.row.attempt, c.row.status) for c in found.charges] == [
        (1, "declined"),
        (2, "succeeded"),
    ]
    assert [c.row.amount_refunded for c in found.charges] == [0, 20_000]
    assert [(r.row.amount, r.row.status) for r in found.refunds] == [(20_000, "succeeded")]
    assert found.row.amount_refunded == 20_000
    paying = found.charges[1].row
    by_number = read_models.charge(engine.context.database, paying.gateway_number)
    assert by_number == read_models.charge(engine.context.database, str(paying.id))
    assert [r.row.amount for r in by_number.refunds] == [20_000]


def test_a_customer_who_was_charged_once_is_said_to_be(engine: Engine) -> None:
    """The question that a support person has, and the rupiah that were kept."""
    customer, _ = engine.begun()
    engine.advance(40 * DAY)

    found = read_models.customer(engine.context.database, customer, 10)
    assert found.charged_twice is False
    assert found.verdict == "charged twice: no"
    assert found.totals.amount_kept == 100_000
    assert [paid.payments_count for paid in found.invoices] == [1, 1]


def test_a_customer_who_was_charged_twice_is_said_to_be_and_what_came_back(
    engine: Engine,
) -> None:
    """A payment that turns up late beside another one is named, with its refund."""
    engine.audited = False  # the gateway's ledger knows nothing of the late payment
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.advance(3 * DAY)
    late = engine.charges(subscription)[0]["id"]

    settling.settle(engine.context, [News(late, Succeeded())], Source.STATUS)

    found = read_models.customer(engine.context.database, customer, 10)
    assert found.charged_twice is True
    assert found.verdict.startswith("charged twice: yes: invoice ")
    assert "paid 2 times, Rp 100,000 in all; refunded: Rp 0, Rp 50,000 on its way" in (
        found.verdict
    )
    assert (found.invoices[0].payments_count, found.invoices[0].surplus_count) == (2, 1)


def test_an_unresolved_charge_is_part_of_the_answer(engine: Engine) -> None:
    """While the outcome is unknown, the answer says so."""
    customer, _ = engine.begun()
    engine.script("drop_after", customer)
    engine.tick()

    verdict = read_models.customer(engine.context.database, customer, 10).verdict
    assert verdict == "charged twice: no (unresolved charges: 1)"
    engine.advance(DAY)


def test_a_list_needs_as_many_statements_for_many_rows_as_for_one(engine: Engine) -> None:
    """What belongs to a page of invoices is fetched for the whole of it."""
    customer, subscription = engine.begun(every="1 day", retries="30d")
    engine.script("decline", customer, times=1, skip=2)
    engine.run()
    with statements(engine) as few:
        assert len(invoices(engine)) == 1
    engine.advance(9 * DAY)
    with statements(engine) as many:
        assert len(invoices(engine)) == 10
    assert len(many) <= len(few) + 1  # the history of those that failed
    with statements(engine) as whole:
        assert len(shown(engine, subscription).invoices) == 10
    assert len(whole) <= len(many) + 3


def test_reasons_are_shown_with_events(engine: Engine) -> None:
    """The actor and the reason can be read afterwards."""
    _, subscription = engine.begun()
    engine.run()
    canceling.cancel(engine.context, subscription, Actor("operator", "asked by phone"))

    wanted = EventFilter(subscription=subscription)
    last = lists.events(engine.context.database, wanted, Page(1)).rows[0]
    assert (last.actor, last.reason) == ("operator", "asked by phone")


@pytest.mark.parametrize(
    "look",
    [
        lambda d: catalog.plan(d, "nope"),
        lambda d: read_models.customer(d, "nope", 1),
        lambda d: read_models.wallet_of(d, "nope"),
        lambda d: read_models.subscription(d, uuid4()),
        lambda d: read_models.invoice(d, uuid4()),
        lambda d: read_models.charge(d, "nope"),
        lambda d: read_models.charge(d, str(uuid4())),
        lambda d: read_models.refund(d, uuid4()),
    ],
)
def test_an_unknown_id_is_refused(engine: Engine, look: Any) -> None:
    """An unknown id is an error, not an empty list."""
    with pytest.raises(NotKnown):
        look(engine.context.database)


def test_the_paid_time_of_a_subscription_ends_exactly(engine: Engine) -> None:
    """`paid_through_at` answers whether the customer may use the service now."""

    def ends(subscription: UUID) -> datetime | None:
        return shown(engine, subscription).row.paid_through_at

    engine.plan("T", trial="7 days")
    customer, subscription = engine.begun(every="10 days")
    assert ends(subscription) is None
    engine.run()
    assert ends(subscription) == START + 10 * DAY
    on_trial = engine.subscribe(customer, "T")
    assert ends(on_trial) == START + 7 * DAY
    engine.lose_wallet(customer)
    engine.advance(START + 10 * DAY)
    engine.run()
    assert shown(engine, subscription).invoices[-1].row.status == "open"
    assert ends(subscription) == START + 10 * DAY
    engine.advance(DAY)
    canceling.cancel(engine.context, subscription, OPERATOR)
    assert ends(subscription) == START + 10 * DAY


def test_an_ended_subscription_is_paid_until_its_end_at_most(engine: Engine) -> None:
    """Canceled within a paid period, the service ends with the subscription."""
    _, subscription = engine.begun(every="10 days")
    engine.run()
    engine.advance(2 * DAY)
    canceling.cancel(engine.context, subscription, OPERATOR)

    row = shown(engine, subscription).row
    assert row.paid_through_at == row.ended_at == START + 2 * DAY


def test_a_subscription_is_shown_with_its_newest_invoices(engine: Engine) -> None:
    """Twelve of them, with the number of all and where these are listed."""
    _, subscription = engine.begun(every="1 day")
    engine.run()
    for _ in range(13):
        engine.advance(DAY)
        engine.run()

    found = shown(engine, subscription)

    assert [each.row.period_index for each in found.invoices] == list(range(2, 14))
    assert found.prospect.invoices_count == 14
    assert found.invoices_path == f"/v1/invoices?subscription={subscription}"

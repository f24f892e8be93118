"""A webhook carries what its event is about, as the HTTP interface shows it, the same each time."""

import json
from typing import Any
from uuid import UUID

from billing.domain.event_kinds import KINDS, Resource, resource_of
from billing.domain.events import OPERATOR, Actor
from billing.services.money import coupons, crediting, refunding
from billing.services.operating import kill_switch
from billing.services.reading import read_models
from billing.services.subscriptions import canceling, subscribing
from billing.services.wallets import erasing
from billing.services.webhooks import event_feed, payloads, resending
from billing.store.queries import listing, listing_rows
from billing.store.queries.event_feed import FeedEvent
from billing.web import answers, hooks
from billing.web.schemas import model_of
from tests.integration.engine import Engine
from tests.integration.hooked import create, later, rows, tick
from tests.integration.receiver import Receiver, status

OUTSIDE = {"type", "timestamp"}
ABOUT = {"sequence", "object_type", "object"}


def received(receiver: Receiver) -> dict[str, dict[str, Any]]:
    """The data of the last webhook of each type."""
    return {each.document["type"]: each.document["data"] for each in receiver.received}


def as_shown(row: object) -> Any:
    """A row as the HTTP interface answers with it."""
    return json.loads(answers.one(row).body)


def test_each_resource_is_that_of_the_interface(hooked: Engine, receiver: Receiver) -> None:
    """Plan, coupon, customer, wallet, subscription, invoice, charge, refund and credit."""
    create(hooked, receiver.url)
    hooked.plan()
    coupons.create(hooked.context, "TEN", OPERATOR, percent=10)
    customer = hooked.customer()
    subscription = hooked.subscribe(customer, coupon="TEN")
    hooked.run()
    [invoice] = hooked.invoices(subscription)
    [charge] = hooked.charges(subscription)
    refunding.refund_invoice(hooked.context, invoice["id"], 10_000, Actor("shop", "sorry"))
    crediting.grant(hooked.context, customer, 5_000, Actor("shop", "sorry"))
    hooked.run()
    tick(hooked)
    tick(hooked)

    found, database = received(receiver), hooked.context.database
    with database.transaction() as connection:
        plan = listing.plan(connection, "P")
        invoice_row = listing.invoice(connection, invoice["id"])
        charge_row = listing.charge(connection, str(charge["id"]))
        customer_row = listing.customer(connection, customer)
        subscription_row = listing.subscription(connection, subscription)
        [refund] = listing.refunds_of(connection, [invoice["id"]])
        wallet = listing.wallet_of(connection, customer)
    assert plan and invoice_row and charge_row and customer_row and wallet  # noqa: PT018
    for each in receiver.received:
        hooks.EVENT.model_validate_json(each.body)
    wanted = {
        "plan.created": plan, "wallet.linked": wallet, "subscription.activated": subscription_row,
        "invoice.paid": invoice_row, "charge.succeeded": read_models.of_charge(charge_row),
        "refund.succeeded": refund, "customer.created": read_models.masked(customer_row),
    }  # fmt: skip
    for kind, row in wanted.items():
        assert found[kind]["object"] == as_shown(row), kind
        assert found[kind]["object_type"] == kind.partition(".")[0]
    assert found["coupon.redeemed"]["object"]["percent"] == 10
    assert found["credit.given"]["object"]["amount"] == 5_000
    assert found["invoice.paid"]["object"]["status"] == "paid"
    assert found["refund.succeeded"]["object"]["amount"] == 10_000
    assert found["invoice.opened"]["object_type"] == "invoice"


def test_an_event_has_the_same_names_everywhere(hooked: Engine, receiver: Receiver) -> None:
    """In the feed, in the list, and in a webhook, which has the rest of the feed's row as data."""
    create(hooked, receiver.url)
    _, subscription = hooked.begun()
    hooked.run()
    tick(hooked)
    feed = event_feed.read_events(hooked.context, 0, 1000, subscription_id=subscription).events
    by_position = {each.position: as_shown(each) for each in feed}
    sent = [each.document for each in receiver.received
            if each.document["data"]["subscription"] == str(subscription)]  # fmt: skip

    assert sent
    for each in sent:
        data = {name: value for name, value in each["data"].items() if name not in ABOUT}
        assert set(each) == {*OUTSIDE, "data"}
        row = {**data, "type": each["type"], "timestamp": each["timestamp"]}
        assert row == by_position[data["position"]]
    listed = model_of(listing_rows.Event).model_fields.keys()
    assert listed == model_of(FeedEvent).model_fields.keys() == by_position.popitem()[1].keys()


def test_every_type_says_what_it_is_about() -> None:
    """A noun is a resource, or the event is of the engine, access, a request or an endpoint."""
    without = {kind.partition(".")[0] for kind in KINDS if resource_of(kind) is None}

    assert without == {"key", "person", "approval", "engine", "gateway", "clock", "webhook"}
    assert resource_of("invoice.upcoming") is Resource.SUBSCRIPTION
    assert resource_of("period.skipped") is Resource.SUBSCRIPTION
    assert resource_of("dunning.step_missed") is Resource.INVOICE


def test_an_event_of_the_engine_has_no_object(hooked: Engine, receiver: Receiver) -> None:
    """`engine.charging_stopped` tells who and why."""
    create(hooked, receiver.url, "engine.*")
    kill_switch.stop_charging(hooked.context, Actor("shop", "fire"))
    kill_switch.start_charging(hooked.context, OPERATOR)
    tick(hooked)

    stopped = received(receiver)["engine.charging_stopped"]
    assert (stopped["object_type"], stopped["object"]) == (None, None)
    assert (stopped["actor"], stopped["reason"]) == ("shop", "fire")


def test_a_retry_sends_what_the_first_attempt_sent(hooked: Engine, receiver: Receiver) -> None:
    """Also when the resource changed in between; afterwards nothing of it is stored."""
    receiver.answer = status(500)
    endpoint, _ = create(hooked, receiver.url, "customer.created")
    customer = hooked.customer(linked=False)
    tick(hooked)
    subscribing.update_customer(hooked.context, customer, name="Budi", by=OPERATOR)
    receiver.answer = status(200)
    later(hooked)
    tick(hooked)

    first, second = receiver.received
    assert first.body == second.body
    assert first.document["data"]["object"]["name"] == "Ani"
    assert [row["body"] for row in rows(hooked, endpoint)] == [None]
    resending.resend(hooked.context, rows(hooked, endpoint)[0]["id"], OPERATOR)
    tick(hooked)
    assert receiver.received[-1].document["data"]["object"]["name"] == "Budi"


def test_an_erasure_removes_stored_bodies(hooked: Engine, receiver: Receiver) -> None:
    """The next attempt has the same id, and nothing personal."""
    receiver.answer = status(500)
    endpoint, _ = create(hooked, receiver.url, "customer.created", "subscription.created")
    customer, subscription = hooked.begun()
    other = hooked.customer(linked=False)
    hooked.run()
    for _ in range(4):
        tick(hooked)
    assert sum(row["body"] is not None for row in rows(hooked, endpoint)) == 3
    canceling.cancel(hooked.context, subscription, OPERATOR)
    erasing.erase(hooked.context, customer, OPERATOR)
    hooked.run()
    assert hooked.one("SELECT erased_at FROM customers WHERE id = :id", id=customer) is not None
    assert sum(row["body"] is not None for row in rows(hooked, endpoint)) == 1

    receiver.answer = status(200)
    for _ in range(4):
        later(hooked)
        tick(hooked)

    last = {each.webhook_id: each.document for each in receiver.received}
    names = {each["data"]["customer"]: each["data"]["object"]["name"] for each in last.values()
             if each["type"] == "customer.created"}  # fmt: skip
    assert names == {customer: "", other: "Ani"}
    assert {row["status"] for row in rows(hooked, endpoint)} == {"succeeded"}


def test_an_erasure_during_an_attempt_leaves_no_body(hooked: Engine, receiver: Receiver) -> None:
    """The body was built before the erasure, and its attempt fails after it."""
    endpoint, _ = create(hooked, receiver.url, "customer.created")
    customer = hooked.customer(linked=False)

    def erase_first(handler: Any) -> None:
        erasing.erase(hooked.context, customer, OPERATOR)
        status(500)(handler)

    receiver.answer = erase_first
    tick(hooked)

    [row] = rows(hooked, endpoint)
    assert (row["status"], row["attempts"], row["body"]) == ("pending", 1, None)


def test_a_wallet_event_without_an_id_has_the_live_wallet(hooked: Engine) -> None:
    """Such as a request to unlink: the wallet is that of the customer."""
    customer = hooked.customer()
    hooked.execute(
        "INSERT INTO events (at, kind, actor, customer_id)"
        " VALUES (now(), 'wallet.unlink_stuck', 'x', :customer),"
        " (now(), 'wallet.unlink_stuck', 'x', 'nobody'), (now(), 'refund.sent', 'x', 'nobody')",
        customer=customer,
    )
    found = event_feed.read_events(hooked.context, 0, 1000).events[-3:]
    with hooked.context.database.transaction() as connection:
        from billing.store.queries.deliveries import events_of

        made = payloads.bodies(connection, events_of(connection, [each.id for each in found]))
    objects = [json.loads(made[each.id])["data"]["object"] for each in found]

    [wallet] = hooked.wallets(customer)
    assert UUID(objects[0]["id"]) == wallet["id"]
    assert objects[1:] == [None, None]

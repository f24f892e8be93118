"""Webhooks arrive at real receivers: signed, repeated until accepted, and each on its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from billing.domain.errors import NotConfigured
from billing.domain.events import OPERATOR, Actor
from billing.outbound import posting
from billing.sandbox.process import SandboxProcess
from billing.services.money import crediting
from billing.services.wallets import erasing
from billing.services.webhooks import endpoints, fanout, resending, sending
from billing.store.queries import deliveries as delivery_rows
from tests.integration.engine import Engine, running
from tests.integration.hooked import create, later, rows, tick
from tests.integration.kept import Kept
from tests.integration.receiver import Receiver, receiving, status


@pytest.fixture(name="slow_is_over_soon")
def _slow_is_over_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests end after half a second instead of fifteen."""
    plain = posting.Poster.post
    monkeypatch.setattr(
        posting.Poster, "post", lambda *args, **more: plain(*args, **more, total_seconds=0.5)
    )


def test_a_renewal_arrives_signed_and_in_order(hooked: Engine, receiver: Receiver) -> None:
    """Each event after the creation arrives once, with its objects and its sequence."""
    hooked.plan()
    endpoint, secret = create(hooked, f"{receiver.url}/hook?x=1")
    customer = hooked.customer()
    subscription = hooked.subscribe(customer)
    hooked.run()
    tick(hooked)
    tick(hooked)

    for each in receiver.received:
        each.verify(secret)
        assert each.path == "/hook?x=1"
    mine = [
        each.document for each in receiver.received
        if each.document["data"].get("subscription") == str(subscription)
    ]  # fmt: skip
    in_order = sorted(mine, key=lambda each: int(each["data"]["sequence"]))
    assert [each["data"]["sequence"] for each in in_order] == list(range(1, len(mine) + 1))
    recorded = hooked.rows(
        "SELECT kind FROM events WHERE subscription_id = :id ORDER BY id", id=subscription
    )
    assert [each["type"] for each in in_order] == [row["kind"] for row in recorded]
    [paid] = [each for each in in_order if each["type"] == "invoice.paid"]
    [charge] = hooked.charges(subscription)
    assert paid["data"]["customer"] == customer
    assert paid["data"]["invoice"] == str(charge["invoice_id"])
    assert paid["data"]["details"]["amount"] == 50_000
    assert paid["timestamp"] == "2026-01-31T02:00:00+00:00"
    assert "plan.created" not in receiver.kinds()
    assert {row["status"] for row in rows(hooked, endpoint)} == {"succeeded"}
    assert len(receiver.received) == len({each.webhook_id for each in receiver.received})


def test_an_erasure_wins_over_a_delivery_that_is_attempted_again(
    hooked: Engine, receiver: Receiver
) -> None:
    """
    The same `webhook-id` and the same facts, without the text of the person who was erased.

    Attempts before it have the same bytes as each other.
    """
    endpoint, secret = create(hooked, receiver.url, "credit.given")
    customer = hooked.customer(linked=False)
    receiver.answer = status(500)
    crediting.grant(hooked.context, customer, 900, Actor("shop", "Zulfikar was promised it"))
    tick(hooked)
    later(hooked)
    tick(hooked)
    erasing.erase(hooked.context, customer, OPERATOR)
    receiver.answer = status(200)
    later(hooked)
    tick(hooked)

    first, second, third = receiver.received
    assert first.webhook_id == second.webhook_id == third.webhook_id
    assert first.body == second.body
    assert b"Zulfikar" in first.body
    assert b"Zulfikar" not in third.body
    third.verify(secret)
    before, after = first.document, third.document
    assert after["data"]["details"] == before["data"]["details"] | {"why": "erased"}
    assert after["data"]["position"] == before["data"]["position"]
    assert [row["status"] for row in rows(hooked, endpoint)] == ["succeeded"]


def test_an_endpoint_receives_its_types_only(hooked: Engine, receiver: Receiver) -> None:
    """By kind, or by noun."""
    create(hooked, receiver.url, "plan.created", "subscription.*")
    hooked.begun()
    hooked.run()
    tick(hooked)

    assert set(receiver.kinds()) == {
        "plan.created", "subscription.created", "subscription.activated"
    }  # fmt: skip


@pytest.mark.parametrize("code", [300, 302, 400, 404, 429, 500, 503])
def test_a_failed_attempt_is_repeated_with_the_same_id_and_body(
    hooked: Engine, receiver: Receiver, code: int
) -> None:
    """The timestamp and the signature are new; a redirect is not followed."""
    receiver.answer = status(code, f"{receiver.url}/elsewhere")
    endpoint, secret = create(hooked, receiver.url, "plan.created")
    hooked.plan()
    tick(hooked)
    [row] = rows(hooked, endpoint)
    assert (row["status"], row["last_status_code"]) == ("pending", code)
    assert row["last_error"] in {f"http_{code}", f"redirect_{code}"}
    assert tick(hooked) == 0  # not due for five seconds
    receiver.answer = status(204)
    later(hooked)
    tick(hooked)

    first, *more = receiver.of(f"msg_{row['id'].hex}")
    assert [each.body for each in more] == [first.body] * len(more)
    assert len(more) == 1
    first.verify(secret)
    more[0].verify(secret)
    assert {each.path for each in receiver.received} == {"/"}
    assert {row["status"] for row in rows(hooked, endpoint)} == {"succeeded"}


def test_the_last_failure_ends_a_delivery_and_it_can_be_sent_again(
    hooked: Engine, receiver: Receiver
) -> None:
    """Ten attempts, then failed and visible; a resend begins again with the same id."""
    receiver.answer = status(500)
    endpoint, _ = create(hooked, receiver.url, "plan.created")
    hooked.plan()
    for _ in range(12):
        tick(hooked)
        later(hooked)
    [row] = rows(hooked, endpoint)
    assert (row["status"], row["attempts"], row["next_attempt_at"]) == ("failed", 10, None)
    assert len(receiver.received) == 10

    receiver.answer = status(200)
    resending.resend(hooked.context, row["id"], OPERATOR)
    tick(hooked)

    assert rows(hooked, endpoint)[0]["status"] == "succeeded"
    assert {each.webhook_id for each in receiver.received} == {f"msg_{row['id'].hex}"}


def test_gone_disables_the_endpoint(hooked: Engine, receiver: Receiver) -> None:
    """410: no further attempt; the pending deliveries are canceled, and an event says so."""
    receiver.answer = status(410)
    endpoint, _ = create(hooked, receiver.url)
    hooked.plan()
    hooked.plan("Q")
    tick(hooked)
    assert [event["data"]["why"] for event in hooked.told("webhook.disabled")] == [
        "the endpoint answered 410 Gone"
    ]
    before = len(receiver.received)
    later(hooked)
    tick(hooked)

    assert len(receiver.received) == before
    assert {row["status"] for row in rows(hooked, endpoint)} == {"canceled"}
    assert endpoints.one(hooked.context.database, endpoint).disabled_at is not None
    hooked.dead_ends = {"disabled"}


def test_five_days_of_failures_disable_the_endpoint(hooked: Engine, receiver: Receiver) -> None:
    """Without one success; a success in between begins the days again."""
    receiver.answer = status(500)
    endpoint, _ = create(hooked, receiver.url)
    hooked.plan()
    tick(hooked)
    hooked.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days 23 h'")
    later(hooked)
    tick(hooked)
    assert hooked.told("webhook.disabled") == []
    receiver.answer = status(200)
    later(hooked)
    tick(hooked)
    assert endpoints.one(hooked.context.database, endpoint).first_failed_at is None

    receiver.answer = status(500)
    hooked.plan("Q")
    tick(hooked)
    hooked.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '5 days'")
    later(hooked)
    tick(hooked)

    assert len(hooked.told("webhook.disabled")) == 1
    hooked.dead_ends = {"disabled"}


@pytest.mark.usefixtures("slow_is_over_soon")
def test_a_dead_and_a_slow_endpoint_delay_no_other(hooked: Engine, receiver: Receiver) -> None:
    """One is not there, one never answers: the third gets everything at once."""
    create(hooked, "http://127.0.0.1:9/")
    with receiving() as slow:
        slow.answer = slow.silent
        create(hooked, slow.url)
        create(hooked, receiver.url)
        hooked.begun()
        hooked.run()
        began = monotonic()
        tick(hooked)
        took = monotonic() - began

    wanted = hooked.one("SELECT count(*) FROM events WHERE kind NOT LIKE 'webhook.%'")
    assert sum(not kind.startswith("webhook.") for kind in receiver.kinds()) == wanted - 1
    assert took < 5
    assert len(slow.received) <= sending.AT_ONCE


def test_a_failing_endpoint_gets_one_attempt_at_a_time(hooked: Engine, receiver: Receiver) -> None:
    """A backlog of a dead endpoint is not thrown at it."""
    receiver.answer = status(500)
    endpoint, _ = create(hooked, receiver.url)
    for number in range(20):
        hooked.plan(f"P{number}")
    tick(hooked)
    assert len(receiver.received) <= sending.AT_ONCE
    before = len(receiver.received)
    for _ in range(3):
        tick(hooked)

    assert len(receiver.received) == before + 3
    receiver.answer = status(200)
    tick(hooked)
    later(hooked)
    tick(hooked)
    assert {row["status"] for row in rows(hooked, endpoint)} == {"succeeded"}


def test_a_killed_sender_repeats_the_delivery_with_its_id(
    hooked: Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the answer and its record: after the lease it is sent again."""
    endpoint, _ = create(hooked, receiver.url, "plan.created")
    hooked.plan()

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr(delivery_rows, "settle", dies)
        with pytest.raises(KeyboardInterrupt):
            tick(hooked)
    assert tick(hooked) == 0  # the leases hold
    hooked.execute("UPDATE webhook_deliveries SET leased_until = now() - interval '1 second'")
    hooked.execute("UPDATE webhook_endpoints SET leased_until = now() - interval '1 second'")
    tick(hooked)

    first, second = receiver.received
    assert first.webhook_id == second.webhook_id
    assert first.body == second.body
    assert rows(hooked, endpoint)[0]["status"] == "succeeded"


def test_two_senders_send_each_delivery_once(hooked: Engine, receiver: Receiver) -> None:
    """A message that came twice, at the same moment."""
    endpoint, _ = create(hooked, receiver.url)
    for number in range(30):
        hooked.plan(f"P{number}")
    fanout.fan_out(hooked.context)
    barrier = threading.Barrier(3)

    def send() -> None:
        barrier.wait(10)
        sending.send_due(hooked.context, endpoint, 5)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(send) for _ in range(3)]:
            done.result(30)
    tick(hooked)

    assert len(receiver.received) == len({each.webhook_id for each in receiver.received}) >= 30


def test_a_lost_key_is_a_failure_that_is_listed(
    hooked: Engine, emptied: Kept, gateway: SandboxProcess, receiver: Receiver
) -> None:
    """No request without a signature, and no task that fails without end."""
    endpoint, _ = create(hooked, receiver.url, "plan.created")
    hooked.plan()
    other = "A" * 43 + "="
    with running(emptied, gateway, token_key=other, webhook_allowed_hosts="127.0.0.1") as lost:
        lost.audited = False
        tick(lost)

    assert rows(hooked, endpoint)[0]["last_error"] == "secret_not_decrypted"
    assert receiver.received == []


def test_a_copy_that_is_pointed_elsewhere_sends_no_webhook(
    hooked: Engine, emptied: Kept, gateway: SandboxProcess, receiver: Receiver
) -> None:
    """A staging copy of production does not tell production's receivers what it does."""
    endpoint, _ = create(hooked, receiver.url)
    hooked.begun()
    hooked.run()
    here = "127.0.0.1"
    with running(emptied, gateway, doku_client_id="X", webhook_allowed_hosts=here) as copy:
        copy.audited = False
        assert tick(copy) == 0
        assert not sending.send_due(copy.context, endpoint)
        with pytest.raises(NotConfigured):
            endpoints.send_test(copy.context, endpoint)
    assert receiver.received == []

    tick(hooked)
    assert "invoice.paid" in receiver.kinds()


def test_an_event_whose_body_cannot_be_built_delays_no_other(
    hooked: Engine, receiver: Receiver
) -> None:
    """It fails visibly and is attempted again; the events around it arrive."""
    hooked.plan("SPOILT")
    hooked.plan("P")
    create(hooked, receiver.url, "charge.succeeded")
    hooked.subscribe(hooked.customer(), "SPOILT")
    hooked.subscribe(hooked.customer(), "P")
    hooked.run()
    hooked.execute("UPDATE plans SET timezone = 'Mars/Base' WHERE code = 'SPOILT'")
    tick(hooked)
    later(hooked)
    tick(hooked)
    failed = hooked.rows("SELECT last_error FROM webhook_deliveries WHERE status = 'pending'")
    hooked.execute("UPDATE plans SET timezone = 'Asia/Jakarta' WHERE code = 'SPOILT'")

    assert len(receiver.received) == 1
    assert [row["last_error"] for row in failed] == ["body_not_built"]

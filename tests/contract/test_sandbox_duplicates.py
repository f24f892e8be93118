"""Repeated Request-Ids and invoice numbers: money moves once, also when they are sent twice."""

import functools
import threading
from collections.abc import Iterator

import pytest

from billing.sandbox.process import SandboxProcess, start
from tests.contract import sandbox_client as client
from tests.contract.sandbox_client import Merchant, Reply
from tests.waits import wait_until


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with start() as process:
        yield process


@pytest.fixture
def merchant(sandbox: SandboxProcess) -> Iterator[Merchant]:
    yield Merchant(sandbox)
    sandbox.control("DELETE", "scripts")
    sandbox.control("PUT", "defaults", {"repeat_answer": "original"})


def test_the_same_request_again_gets_the_original_body_with_409(merchant: Merchant) -> None:
    """Money moves once; the original answer comes back signed, as often as it is asked for."""
    customer = merchant.linked()
    body = customer.payment(5_000, points=False, first=True)
    first = merchant.post(client.PAY, body, request_id="same-1")

    for _ in range(3):
        again = merchant.post(client.PAY, body, request_id="same-1")
        assert (again.status, again.raw) == (409, first.raw)
        assert again.is_signed_with(merchant.sandbox.secret_key)
    assert merchant.balances(customer) == (95_000, 0)
    assert [row["moves"] for row in merchant.ledger(customer=customer.id, kind="payment")] == [1]


def test_a_declined_request_again_gets_the_original_refusal(merchant: Merchant) -> None:
    """A decline is an answer like any other: it is remembered, not tried again."""
    customer = merchant.linked(cash=0)
    body = customer.payment(5_000, points=False, first=None)
    first = merchant.post(client.PAY, body, request_id="same-2")
    merchant.sandbox.control("PUT", f"wallets/{customer.id}", {"cash": 9_000})

    again = merchant.post(client.PAY, body, request_id="same-2")

    assert (again.status, again.raw) == (409, first.raw)
    assert merchant.balances(customer) == (9_000, 0)


def test_a_used_request_id_with_another_body_or_path_is_idempotent_request(
    merchant: Merchant,
) -> None:
    """The id belongs to one request; one byte more is another request."""
    customer = merchant.linked()
    body = customer.payment(5_000, points=False, first=None)
    merchant.post(client.PAY, body, request_id="same-3")

    for target, other in [
        (client.PAY, body | {"additional_info": {}}),
        (client.PAY, b"nonsense"),
        (client.UNBIND, customer.unbinding()),
    ]:
        reply = merchant.post(target, other, request_id="same-3")
        assert (reply.status, reply.code) == (409, "idempotent_request")
    assert merchant.balances(customer) == (95_000, 0)


def test_every_status_query_needs_its_own_request_id(merchant: Merchant) -> None:
    """A reused id is 409 for a GET, whether a GET or the payment itself used it before."""
    customer = merchant.linked()
    paid = merchant.pay(customer, 5_000, number="INV-TWICE", request_id="pay-id")
    assert paid.status == 201

    assert merchant.status("INV-TWICE", request_id="get-id").status == 200
    for used in ("get-id", "pay-id"):
        reply = merchant.status("INV-TWICE", request_id=used)
        assert (reply.status, reply.code) == (409, "idempotent_request")


def test_an_invoice_number_is_used_once_per_client(merchant: Merchant) -> None:
    """A repeat under a new Request-Id is refused, also after a decline."""
    customer = merchant.linked(cash=5_000)
    merchant.pay(customer, 5_000, number="INV-ONCE")
    merchant.pay(customer, 5_000, number="INV-BROKE")
    merchant.sandbox.control("PUT", f"wallets/{customer.id}", {"cash": 50_000})

    for number in ("INV-ONCE", "INV-BROKE"):
        reply = merchant.pay(customer, 5_000, number=number)
        assert (reply.status, reply.code) == (400, "invoice_already_used")
        assert reply.json["error"]["message"] == "INVOICE ALREADY USED"
    assert merchant.balances(customer) == (50_000, 0)


def test_a_refused_body_has_used_its_request_id(merchant: Merchant) -> None:
    """It reached the body, so the id is spent; a later good body needs a new one."""
    customer = merchant.linked()
    bad = customer.payment(0, points=False, first=None)
    good = customer.payment(1_000, points=False, first=None)
    first = merchant.post(client.PAY, bad, request_id="same-4")

    again = merchant.post(client.PAY, bad, request_id="same-4")
    assert (again.status, again.raw) == (409, first.raw)
    assert merchant.post(client.PAY, good, request_id="same-4").code == "idempotent_request"


def test_repeats_can_be_told_to_answer_with_the_bare_error(merchant: Merchant) -> None:
    """Third parties saw `idempotent_request` instead of the original body: both can be played."""
    customer = merchant.linked()
    body = customer.payment(5_000, points=False, first=None)
    merchant.post(client.PAY, body, request_id="same-5")
    merchant.sandbox.control("PUT", "defaults", {"repeat_answer": "idempotent_request"})

    reply = merchant.post(client.PAY, body, request_id="same-5")

    assert (reply.status, reply.code) == (409, "idempotent_request")


@pytest.mark.parametrize("work", ["done", "later"])
def test_a_repeat_during_a_held_request_does_not_pay_twice(merchant: Merchant, work: str) -> None:
    """The first request still has no answer when the second comes; money moves once."""
    customer = merchant.linked()
    body = customer.payment(5_000, points=False, first=None)
    merchant.script("hold", "pay", seconds=2.5, work=work, customer_id=customer.id)
    replies: dict[str, Reply] = {}

    def first() -> None:
        replies["first"] = merchant.post(client.PAY, body, request_id=f"held-{work}")

    thread = threading.Thread(target=first)
    thread.start()
    scripts = functools.partial(merchant.sandbox.control, "GET", "scripts")
    wait_until(lambda: scripts()["scripts"][0]["met"] > 0, "the first request is held")
    busy = merchant.sandbox.control("GET", "health")["busy"]
    second = merchant.post(client.PAY, body, request_id=f"held-{work}")
    thread.join(timeout=40)

    assert busy == (work == "later")
    assert merchant.sandbox.control("GET", "health")["busy"] == 0
    assert replies["first"].status == 201
    assert second.status == 409
    assert (second.raw == replies["first"].raw) == (work == "done")
    assert merchant.balances(customer) == (95_000, 0)

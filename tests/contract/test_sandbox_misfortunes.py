"""Every scripted fault, from both sides: the merchant's answer and the sandbox's ledger."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from billing.sandbox.process import SandboxProcess, start
from tests.contract import sandbox_client as client
from tests.contract.sandbox_client import Merchant
from tests.waits import wait_until


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with start() as process:
        yield process


@pytest.fixture
def merchant(sandbox: SandboxProcess) -> Iterator[Merchant]:
    yield Merchant(sandbox)
    sandbox.control("DELETE", "scripts")
    sandbox.control("PUT", "clock", {"now": None})
    sandbox.control("PUT", "defaults", {"delay_ms": 0})


def test_a_script_meets_only_what_it_matches_and_only_so_often(merchant: Merchant) -> None:
    """Call, customer and number must all match; `skip` passes, then `times` are met."""
    customer, other = merchant.linked(), merchant.linked()
    merchant.script("decline", "pay", customer_id=customer.id, skip=1, times=2)
    merchant.script("decline", "pay", number="INV-MARKED", code="marked")

    assert merchant.pay(other, 1_000).status == 201
    assert merchant.pay(other, 1_000, number="INV-MARKED").code == "marked"
    seen = [merchant.pay(customer, 1_000).status for _ in range(4)]
    assert seen == [201, 400, 400, 201]
    listed = merchant.sandbox.control("GET", "scripts")["scripts"]
    assert [script["met"] for script in listed] == [2, 1]


def test_a_script_without_times_meets_for_ever_until_cleared(merchant: Merchant) -> None:
    """A `times` of null has no end; DELETE does."""
    customer = merchant.linked()
    merchant.script("decline", "pay", times=None)

    assert [merchant.pay(customer, 1_000).status for _ in range(5)] == [400] * 5
    merchant.sandbox.control("DELETE", "scripts")
    assert merchant.pay(customer, 1_000).status == 201


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"action": {"kind": "explode"}}, "action.kind must be one of"),
        ({"action": {"kind": "hold", "second": 1}}, "has no second"),
        ({"action": {"kind": "notify"}}, "url must begin with http://"),
        (
            {"action": {"kind": "notify", "url": "http://x/", "amount": "other"}},
            "amount must be one of",
        ),
        ({"action": {"kind": "hold", "seconds": "1"}}, "seconds"),
        ({"action": {"kind": "hold", "work": "none"}}, "work must be one of"),
        ({"action": {"kind": "decline", "http_status": 99}}, "http_status"),
        ({"action": {"kind": "pending", "end": "SUCCESS"}}, "after_queries"),
        ({"action": {"kind": "pending", "after_seconds": 5}}, "after_queries"),
        ({"action": {"kind": "pending"}, "match": {"call": "refund"}}, "can happen to: pay"),
        ({"action": {"kind": "empty"}, "match": {"customer": "C1"}}, "has no customer"),
        ({"action": {"kind": "empty"}, "times": -1}, "times"),
        ({"action": {"kind": "empty"}, "nth": 2}, "has no nth"),
        ([7], "a script is an object"),
    ],
)
def test_a_script_that_cannot_happen_is_refused_with_its_reason(
    merchant: Merchant, script: object, reason: str
) -> None:
    """A misspelt fault is refused, because otherwise it would silently never happen."""
    with pytest.raises(ValueError, match=reason):
        merchant.sandbox.control("POST", "scripts", script)
    assert merchant.sandbox.control("GET", "scripts") == {"scripts": []}


def test_a_decline_is_recorded_failed_with_its_code(merchant: Merchant) -> None:
    """Any status, code and message; nothing moves, and the status query says FAILED."""
    customer = merchant.linked()
    merchant.script("decline", "pay", http_status=403, code="do_not_honour", message="No")

    reply = merchant.pay(customer, 5_000, number="INV-DECLINED")

    assert (reply.status, reply.json["error"]["code"]) == (403, "do_not_honour")
    assert reply.json["error"]["message"] == "No"
    row = merchant.ledger(number="INV-DECLINED")[0]
    assert (row["status"], row["code"], row["moves"]) == ("FAILED", "do_not_honour", 0)
    assert merchant.shown("INV-DECLINED") == "FAILED"


@pytest.mark.parametrize("call", ["bind", "tokens", "balance", "unbind", "refund", "status"])
def test_every_call_can_be_declined(merchant: Merchant, call: str) -> None:
    """The envelope is the same everywhere, and a declined call has changed nothing."""
    customer = merchant.linked()
    paid = merchant.pay(customer, 5_000)
    before = merchant.sandbox.control("GET", f"wallets/{customer.id}")
    merchant.script("decline", call, code="limit_reached", http_status=422)

    reply = _call(merchant, customer, paid, call)

    assert (reply.status, reply.code) == (422, "limit_reached")
    assert merchant.sandbox.control("GET", f"wallets/{customer.id}") == before


def _call(merchant: Merchant, customer: Any, paid: client.Reply, call: str) -> client.Reply:
    account = {"customer": {"id": customer.id}, "ovo_account": {"token_id": customer.token_id}}
    posts = {
        "bind": (client.BIND, customer.binding()),
        "tokens": (client.TOKENS, {"customer": {"id": customer.id}}),
        "balance": (client.BALANCE, account),
        "unbind": (client.UNBIND, customer.unbinding()),
        "refund": (client.REFUND, customer.refund(paid, 1_000)),
    }
    if call == "status":
        return merchant.status(paid.json["order"]["invoice_number"])
    return merchant.post(*posts[call])


def test_failed_is_a_good_answer_with_bad_news(merchant: Merchant) -> None:
    """201 with FAILED in it, for a payment, a refund and an unbinding; nothing has happened."""
    customer = merchant.linked()
    paid = merchant.pay(customer, 5_000)
    merchant.script("failed", times=3, customer_id=customer.id)

    failed = merchant.pay(customer, 5_000, number="INV-FAILED")
    refund = merchant.post(client.REFUND, customer.refund(paid, 5_000))
    unbind = merchant.post(client.UNBIND, customer.unbinding())

    assert (failed.status, failed.json["payment"]) == (201, {"status": "FAILED"})
    assert (refund.status, refund.json["refund"]["status"]) == (201, "FAILED")
    assert (unbind.status, unbind.json["ovo_account"]["status"]) == (201, "FAILED")
    assert merchant.shown("INV-FAILED") == "FAILED"
    assert merchant.balances(customer) == (95_000, 0)
    assert merchant.pay(customer, 1_000).status == 201


@pytest.mark.parametrize(
    ("end", "cash_after"), [("SUCCESS", 95_000), ("FAILED", 100_000), ("EXPIRED", 100_000)]
)
def test_a_pending_payment_ends_after_so_many_queries(
    merchant: Merchant, end: str, cash_after: int
) -> None:
    """Two queries say PENDING, the third and all later ones the end; only then money moves."""
    customer = merchant.linked()
    merchant.script("pending", "pay", end=end, after_queries=2)
    number = f"INV-PEND-{end}"

    reply = merchant.pay(customer, 5_000, number=number)

    assert (reply.status, reply.json["payment"]) == (201, {"status": "PENDING"})
    assert merchant.balances(customer) == (100_000, 0)
    assert [merchant.shown(number) for _ in range(4)] == ["PENDING", "PENDING", end, end]
    assert merchant.balances(customer) == (cash_after, 0)
    rows = merchant.ledger(number=number)
    assert [(row["kind"], row["status"]) for row in rows] == [("payment", end), ("end", end)]
    assert rows[0]["moves"] == (1 if end == "SUCCESS" else 0)


def test_a_pending_payment_ends_by_the_clock_or_never(merchant: Merchant) -> None:
    """after_seconds uses the business clock; a payment without an end stays open."""
    merchant.sandbox.control("PUT", "clock", {"now": "2026-01-31T02:00:00Z"})
    customer = merchant.linked()
    merchant.script("pending", "pay", end="SUCCESS", after_seconds=90)
    merchant.script("pending", "pay")
    merchant.pay(customer, 5_000, number="INV-CLOCK")
    merchant.pay(customer, 5_000, number="INV-NEVER")

    merchant.sandbox.control("PUT", "clock", {"now": "2026-01-31T02:01:29Z"})
    assert merchant.shown("INV-CLOCK") == "PENDING"
    merchant.sandbox.control("PUT", "clock", {"now": "2026-01-31T02:01:30Z"})
    assert merchant.ledger(number="INV-CLOCK")[0]["status"] == "SUCCESS"
    merchant.sandbox.control("PUT", "clock", {"now": "2030-01-31T02:00:00Z"})
    assert merchant.shown("INV-NEVER") == "PENDING"


def test_a_pending_payment_cannot_succeed_without_money(merchant: Merchant) -> None:
    """The money is taken at the end; if it is gone by then the end is FAILED."""
    customer = merchant.linked()
    merchant.script("pending", "pay", end="SUCCESS", after_queries=0)
    merchant.pay(customer, 5_000, number="INV-GONE")
    merchant.sandbox.control("PUT", f"wallets/{customer.id}", {"cash": 0})

    assert merchant.shown("INV-GONE") == "FAILED"
    assert merchant.balances(customer) == (0, 0)


def test_token_expired_for_good_needs_a_new_binding(merchant: Merchant) -> None:
    """Nothing shows, the token is dead from now on, and the customer can be bound again."""
    customer = merchant.linked()
    merchant.script("token_expired", "pay")

    reply = merchant.pay(customer, 5_000, number="INV-EXPIRED")

    assert (reply.status, reply.json["payment"]) == (201, {"status": "TOKEN_EXPIRED"})
    assert merchant.shown("INV-EXPIRED") == "not_found"
    assert merchant.pay(customer, 5_000).json["payment"]["status"] == "TOKEN_EXPIRED"
    assert merchant.post(client.BIND, customer.binding()).status == 201


def test_token_expired_may_still_proceed(merchant: Merchant) -> None:
    """With an end the customer types the PIN after all: 404 first, SUCCESS later."""
    customer = merchant.linked()
    merchant.script("token_expired", "pay", end="SUCCESS", after_queries=1)
    merchant.pay(customer, 5_000, number="INV-PIN")

    assert [merchant.shown("INV-PIN") for _ in range(2)] == ["not_found", "SUCCESS"]
    assert merchant.balances(customer) == (95_000, 0)


def test_status_can_say_anything_while_the_ledger_knows_better(merchant: Merchant) -> None:
    """TIMEOUT, FAILED, or nothing at all for a payment that has succeeded."""
    customer = merchant.linked()
    merchant.pay(customer, 5_000, number="INV-LIES")
    for said in ("TIMEOUT", "FAILED", "NOT_FOUND"):
        merchant.script("status_says", "status", status=said, number="INV-LIES")

    seen = [merchant.shown("INV-LIES") for _ in range(4)]

    assert seen == ["TIMEOUT", "FAILED", "not_found", "SUCCESS"]


@pytest.mark.parametrize("by", ["call", "number"])
@pytest.mark.parametrize("kind", ["refuse", "drop_before", "drop_after"])
def test_a_lost_answer_may_or_may_not_have_moved_money(
    merchant: Merchant, kind: str, by: str
) -> None:
    """The merchant sees a dead connection each time; only drop_after has paid."""
    customer, number = merchant.linked(), f"INV-{kind}-{by}"
    body = customer.payment(5_000, number, points=False, first=None)
    merchant.script(kind, "pay", **({"number": number} if by == "number" else {}))

    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        merchant.post(client.PAY, body, request_id=number)

    paid = kind == "drop_after"
    assert merchant.balances(customer) == (95_000 if paid else 100_000, 0)
    assert merchant.post(client.PAY, body, request_id=number).status == (409 if paid else 201)
    assert merchant.balances(customer) == (95_000, 0)


@pytest.mark.parametrize(
    "code",
    [
        "invalid_signature",
        "invalid_client_id",
        "request_time_out_of_range",
        "invalid_header_request",
    ],
)
def test_turned_away_has_left_no_trace(merchant: Merchant, code: str) -> None:
    """It is rejected as for a wrong header; the same request is accepted afterwards."""
    customer = merchant.linked()
    body = customer.payment(5_000, points=False, first=None)
    merchant.script("turn_away", "pay", code=code)

    refused = merchant.post(client.PAY, body, request_id=f"away-{code}")

    assert (refused.status, refused.code) == (400, code)
    assert merchant.ledger(customer=customer.id, kind="payment") == []
    assert merchant.post(client.PAY, body, request_id=f"away-{code}").status == 201


@pytest.mark.parametrize("work", ["done", "later"])
def test_a_held_request_is_worked_on_even_if_the_merchant_has_left(
    merchant: Merchant, work: str
) -> None:
    """The client times out; the money moves before or after that, but it moves."""
    customer = merchant.linked()
    merchant.script("hold", "pay", seconds=2.5, work=work)

    with pytest.raises(TimeoutError):
        merchant.pay(customer, 5_000, number=f"INV-HOLD-{work}", timeout=0.2)

    assert merchant.balances(customer)[0] == (95_000 if work == "done" else 100_000)
    wait_until(lambda: merchant.balances(customer)[0] == 95_000, "the money moves")
    assert merchant.shown(f"INV-HOLD-{work}") == "SUCCESS"


SPOILED = ["http_500", "html", "garbage", "empty", "conflict", "rate_limited"]


@pytest.mark.parametrize("work", ["done", "none"])
@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_answer_says_nothing_about_the_money(
    merchant: Merchant, kind: str, work: str
) -> None:
    """Each of these comes with the work done or not done, as the script says."""
    customer, number = merchant.linked(), f"INV-{kind}-{work}"
    merchant.script(kind, "pay", work=work)

    reply = merchant.pay(customer, 5_000, number=number)

    check: dict[str, Callable[[], bool]] = {
        "http_500": lambda: reply.status == 500 and reply.json["error"] == "Internal Server Error",
        "html": lambda: reply.status == 200 and reply.raw.startswith(b"<!doctype html>"),
        "garbage": lambda: reply.status == 201 and not _is_json(reply.raw),
        "empty": lambda: reply.status == 201 and reply.raw == b"",
        "conflict": lambda: reply.status == 409 and reply.code == "idempotent_request",
        "rate_limited": lambda: reply.status == 429 and reply.headers["Retry-After"] == "1",
    }
    assert check[kind]()
    assert merchant.shown(number) == ("SUCCESS" if work == "done" else "not_found")
    assert merchant.balances(customer)[0] == (95_000 if work == "done" else 100_000)


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def test_an_invoice_can_be_called_used_although_it_was_not(merchant: Merchant) -> None:
    """The answer is that of a real repeat."""
    customer = merchant.linked()
    merchant.script("conflict", "pay", code="invoice_already_used")

    reply = merchant.pay(customer, 5_000, number="INV-SAID-USED")

    assert (reply.status, reply.code) == (400, "invoice_already_used")
    assert merchant.shown("INV-SAID-USED") == "not_found"


def test_signatures_can_be_wrong_or_missing_over_a_true_answer(merchant: Merchant) -> None:
    """The work is done and the body is correct, but it has no valid signature."""
    customer = merchant.linked()
    merchant.script("wrong_signature", "pay")
    merchant.script("no_signature", "pay")

    wrong, missing = merchant.pay(customer, 5_000), merchant.pay(customer, 5_000)

    assert wrong.headers["Signature"].startswith("HMACSHA256=")
    assert not wrong.is_signed_with(merchant.sandbox.secret_key)
    assert missing.headers["Signature"] is None
    assert wrong.json["payment"] == missing.json["payment"] == {"status": "SUCCESS"}
    assert merchant.balances(customer) == (90_000, 0)


def test_an_amount_can_be_wrong_in_a_signed_answer(merchant: Merchant) -> None:
    """One rupiah more in payment, refund and status, rightly signed; the ledger has the truth."""
    customer = merchant.linked()
    merchant.script("wrong_amount", times=3)

    paid = merchant.pay(customer, 5_000, number="INV-AMOUNT")
    refund = merchant.post(client.REFUND, customer.refund(paid, 1_000))
    shown = merchant.status("INV-AMOUNT")

    assert paid.json["order"]["amount"] == shown.json["order"]["amount"] == 5_001
    assert refund.json["refund"]["amount"] == 1_001
    assert all(reply.is_signed_with(merchant.sandbox.secret_key) for reply in (paid, refund, shown))
    assert merchant.balances(customer) == (96_000, 0)


def test_a_decision_and_an_accident_can_meet_in_one_request(merchant: Merchant) -> None:
    """A decline whose answer is lost is FAILED in the ledger."""
    customer = merchant.linked()
    merchant.script("decline", "pay", number="INV-BOTH")
    merchant.script("drop_after", "pay", number="INV-BOTH")

    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        merchant.pay(customer, 5_000, number="INV-BOTH")

    assert merchant.shown("INV-BOTH") == "FAILED"


def test_a_delay_slows_each_answer_and_none_waits_for_another(merchant: Merchant) -> None:
    """Twenty answers of half a second at once take less than the ten seconds of one by one."""
    customers = [merchant.linked() for _ in range(20)]
    merchant.sandbox.control("PUT", "defaults", {"delay_ms": 500})
    began = time.monotonic()

    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda customer: merchant.pay(customer, 1_000), customers))

    assert {reply.status for reply in replies} == {201}
    assert 0.5 <= time.monotonic() - began < 20 * 0.5

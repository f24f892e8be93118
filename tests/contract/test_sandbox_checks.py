"""What the sandbox refuses: headers in the gateway's order, bodies by field, and broken HTTP."""

import copy
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from billing.sandbox.process import SandboxProcess, start
from tests.contract import sandbox_client as client
from tests.contract.sandbox_client import Customer, Merchant


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with start() as process:
        yield process


@pytest.fixture
def merchant(sandbox: SandboxProcess) -> Merchant:
    return Merchant(sandbox)


# A number means a timestamp this many seconds from now.
WRONG_HEADERS: list[tuple[str, str | int | None, str]] = [
    ("Client-Id", None, "invalid_header_request"),
    ("Request-Id", None, "invalid_header_request"),
    ("Request-Timestamp", None, "invalid_header_request"),
    ("Signature", None, "invalid_header_request"),
    ("Request-Id", "x" * 129, "invalid_header_request"),
    ("Request-Timestamp", "2026-01-31 09:00:00Z", "invalid_header_request"),
    ("Request-Timestamp", "2026-01-31T09:00:00+07:00", "invalid_header_request"),
    ("Request-Timestamp", "2026-01-31T09:00:00.000Z", "invalid_header_request"),
    ("Request-Timestamp", "2026-02-30T09:00:00Z", "invalid_header_request"),
    ("Request-Timestamp", 3_700, "request_time_out_of_range"),
    ("Request-Timestamp", -3_700, "request_time_out_of_range"),
    ("Client-Id", "MCH-SOMEBODY-ELSE", "invalid_client_id"),
    ("Signature", "HMACSHA256=" + "A" * 43 + "=", "invalid_signature"),
    ("Request-Timestamp", -1_800, "invalid_signature"),
]


@pytest.mark.parametrize(("name", "value", "code"), WRONG_HEADERS)
def test_a_wrong_header_is_turned_away_and_leaves_no_trace(
    merchant: Merchant, name: str, value: str | int | None, code: str
) -> None:
    """400 with DOKU's code and envelope; the same Request-Id is as good as new afterwards."""
    customer, request_id = merchant.linked(), f"{name}-{code}-{value}"[:100].replace(" ", "_")
    body = customer.payment(5_000, points=False, first=None)

    header = client.stamp(value) if isinstance(value, int) else value
    refused = merchant.post(client.PAY, body, request_id=request_id, change={name: header})

    assert (refused.status, refused.code) == (400, code)
    assert refused.json["error"].keys() == {"code", "message", "type"}
    assert merchant.ledger(customer=customer.id, kind="payment") == []
    assert merchant.post(client.PAY, body, request_id=request_id).status == 201


def test_the_checks_come_in_the_gateway_order(merchant: Merchant) -> None:
    """Presence, then time, then client, then signature, then body: each hides the later ones."""
    wrong: dict[str, str | None] = {
        "Signature": None,
        "Request-Timestamp": client.stamp(-7_200),
        "Client-Id": "MCH-SOMEBODY-ELSE",
    }
    seen = []
    for name, repaired in [
        ("Signature", "HMACSHA256=wrong"),
        ("Request-Timestamp", client.stamp()),
        ("Client-Id", merchant.sandbox.client_id),
    ]:
        seen.append(merchant.post(client.PAY, {}, change=wrong).code)
        wrong[name] = repaired
    seen += [merchant.post(client.PAY, {}, change=wrong).code, merchant.post(client.PAY, {}).code]

    assert seen == [
        "invalid_header_request",
        "request_time_out_of_range",
        "invalid_client_id",
        "invalid_signature",
        "invalid_parameter",
    ]


WRONG_FIELDS: list[tuple[str, str, str, Any]] = [
    (client.PAY, "order", "amount", "5000"),
    (client.PAY, "order", "amount", 5000.0),
    (client.PAY, "order", "amount", 0),
    (client.PAY, "order", "amount", -1),
    (client.PAY, "order", "amount", True),
    (client.PAY, "order", "amount", 10_000_000_000),
    (client.PAY, "order", "amount", None),
    (client.PAY, "order", "invoice_number", "AB"),
    (client.PAY, "order", "invoice_number", "A" * 33),
    (client.PAY, "order", "invoice_number", "INV/1"),
    (client.PAY, "order", "invoice_number", "INV-1\n"),
    (client.PAY, "order", "line_items", [{"name": "Netflix", "price": 5000}]),
    (client.PAY, "order", "line_items", [{"price": 50.5, "quantity": 1}]),
    (client.PAY, "customer", "id", ""),
    (client.PAY, "customer", "id", "x" * 51),
    (client.PAY, "customer", "id", 7),
    (client.PAY, "customer", "name", "x" * 51),
    (client.PAY, "customer", "email", "nobody"),
    (client.PAY, "customer", "phone", "0" * 21),
    (client.PAY, "customer", "additional_info", "x" * 21),
    (client.PAY, "customer", "additional_info", {}),
    (client.PAY, "ovo_account", "token_id", None),
    (client.PAY, "ovo_account", "payment_use_ovo_point", "true"),
    (client.PAY, "ovo_account", "first_payment", "false"),
    (client.PAY, "", "additional_info", "text"),
    (client.PAY, "", "order", [1]),
    (client.BIND, "ovo_account", "account_mobile_phone", "+6281234567890"),
    (client.BIND, "ovo_account", "success_registration_url", None),
    (client.BIND, "ovo_account", "failed_registration_url", "ftp://merchant.example"),
    (client.BIND, "", "service_type", "ONCE"),
    (client.REFUND, "refund", "amount", "1000"),
    (client.REFUND, "refund", "reason", "x" * 256),
    (client.REFUND, "payment", "original_request_id", None),
    (client.UNBIND, "customer", "name", None),
    (client.UNBIND, "ovo_account", "token_id", "x" * 129),
    (client.TOKENS, "customer", "id", None),
    (client.TOKENS, "token_data", "type", "CASH"),
    (client.BALANCE, "customer", "id", "x" * 51),
]
GOOD: dict[str, dict[str, Any]] = {
    client.PAY: Customer("C-000000000000a", "t" * 32).payment(5_000, points=True, first=True),
    client.BIND: Customer("C-000000000000a").binding(),
    client.REFUND: client.PAGE_REFUND,
    client.UNBIND: client.PAGE_UNBINDING,
    client.TOKENS: client.PAGE_TOKENS,
    client.BALANCE: client.PAGE_BALANCE,
}


@pytest.mark.parametrize(("target", "section", "name", "value"), WRONG_FIELDS)
def test_a_wrong_field_is_refused_by_name(
    merchant: Merchant, target: str, section: str, name: str, value: Any
) -> None:
    """Types, mandatory fields and the smallest lengths of the page; the message names the field."""
    body = copy.deepcopy(GOOD[target])
    (body.setdefault(section, {}) if section else body)[name] = value

    refused = merchant.post(target, body)

    assert (refused.status, refused.code) == (400, "invalid_parameter")
    assert name in refused.json["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"amount": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(merchant: Merchant, body: bytes) -> None:
    """A correctly signed invalid body is rejected for its body."""
    assert merchant.post(client.PAY, body).code == "invalid_parameter"


def test_query_strings_bodies_of_gets_and_other_media_are_refused(merchant: Merchant) -> None:
    """What the page does not describe is not understood."""
    assert merchant.status("INV-1?verbose=1").code == "invalid_header_request"
    assert merchant.call("GET", client.STATUS + "INV-1", {}).code == "invalid_parameter"
    form: dict[str, str | None] = {"Content-Type": "application/x-www-form-urlencoded"}
    assert merchant.post(client.TOKENS, GOOD[client.TOKENS], change=form).status == 415
    bare: dict[str, str | None] = {"Content-Type": None}
    assert merchant.post(client.TOKENS, GOOD[client.TOKENS], change=bare).status == 200


def test_unknown_paths_and_methods_have_their_own_envelopes(merchant: Merchant) -> None:
    """An unknown path gets only a message; a wrong method gets an error that is a text."""
    unrouted = merchant.post("/ovo-open-api/v1/nothing", {})
    assert (unrouted.status, unrouted.json.keys()) == (404, {"message"})
    wrong = merchant.call("GET", client.PAY)
    assert (wrong.status, wrong.json["error"]) == (405, "Method Not Allowed")
    assert merchant.status("a/b").status == 404


def _exchange(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        with suppress(OSError):  # it may have ended the connection already
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_request_that_is_not_http_ends_the_connection(sandbox: SandboxProcess) -> None:
    """Invalid HTTP and oversized heads or bodies get one answer; no second request is read."""
    pair = b"GET /_sandbox/health HTTP/1.1\r\nHost: x\r\n\r\n"

    assert _exchange(sandbox.port, b"NONSENSE\r\n\r\n" + pair).startswith(b"HTTP/1.1 400 ")
    long_head = b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n"
    assert _exchange(sandbox.port, long_head).startswith(b"HTTP/1.1 431 ")
    long_body = b"POST / HTTP/1.1\r\nContent-Length: 1100000\r\n\r\n" + b"x" * 1_100_000
    assert _exchange(sandbox.port, long_body).startswith(b"HTTP/1.1 413 ")
    assert sandbox.control("GET", "health")["status"] == "ok"


def test_pipelined_requests_are_answered_in_their_order(sandbox: SandboxProcess) -> None:
    """Many requests in one packet come back one by one, the last closes as it asked."""
    names = ["health", "totals", "clock"] * 50
    sent = b"".join(f"GET /_sandbox/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for name in names)
    sent += b"GET /_sandbox/defaults HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    received = _exchange(sandbox.port, sent)

    marks = [b'"status":"ok"', b'"debits"', b'"frozen"'] * 50 + [b'"repeat_answer"']
    position = 0
    for mark in marks:
        position = received.index(mark, position) + 1
    assert received.count(b"HTTP/1.1 200 OK") == len(marks)

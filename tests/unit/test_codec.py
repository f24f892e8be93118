"""Request bodies: the shapes of the API page, within the gateway's limits."""

import dataclasses
import json
from typing import Any

import pytest

from billing.domain.errors import InvalidValue
from billing.domain.outcomes import Binding, Payer, Payment, RefundOrder
from billing.gateway import codec
from billing.gateway.urls import is_private_url

PAYER = Payer("CUST_UAT_31", "QA Shifter", "087123123021", "qa@example.com")
PAYMENT = Payment(
    payer=PAYER,
    number="INVR_2021_7105",
    amount=100000,
    token="c15d437b56b918abaa3951b0beb48a57",
    use_points=False,
    first_payment=True,
    description="Netflix",
)
BINDING = Binding("request-1", PAYER, "6287123123021", "https://shop.id/ok", "https://shop.id/no")
REFUND = RefundOrder("refund-1", "82014", "INV_NUMBER_D009", 1000, "Cancel Order")


def test_payment_is_written_as_the_page_shows_it() -> None:
    """Whole amounts, JSON booleans, one line item that sums up to the amount."""
    assert json.loads(codec.payment(PAYMENT)) == {
        "customer": {
            "id": "CUST_UAT_31",
            "name": "QA Shifter",
            "phone": "087123123021",
            "email": "qa@example.com",
        },
        "order": {
            "invoice_number": "INVR_2021_7105",
            "line_items": [{"name": "Netflix", "price": 100000, "quantity": 1}],
            "amount": 100000,
        },
        "ovo_account": {
            "token_id": "c15d437b56b918abaa3951b0beb48a57",
            "payment_use_ovo_point": False,
            "first_payment": True,
        },
    }


def test_empty_optional_fields_are_left_out() -> None:
    """What we do not know is not sent: no empty string, no null, no "None"."""
    bare = dataclasses.replace(PAYMENT, payer=Payer("c1", " "), description="")

    body = codec.payment(bare)

    assert json.loads(body)["customer"] == {"id": "c1"}
    assert "line_items" not in json.loads(body)["order"]
    assert b"None" not in body
    assert b"null" not in body


def test_equal_payments_give_equal_bytes() -> None:
    """A retry has to repeat the original bytes, so writing is a function of the value."""
    assert codec.payment(PAYMENT) == codec.payment(dataclasses.replace(PAYMENT))
    assert codec.payment(PAYMENT).startswith(b'{"customer":{"id":"CUST_UAT_31","name":')


def test_text_outside_ascii_is_sent_as_utf8() -> None:
    """Names are sent as people write them."""
    named = dataclasses.replace(PAYMENT, payer=Payer("c1", "Siti Nurhalïza 🙂"))

    assert "Siti Nurhalïza 🙂".encode() in codec.payment(named)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 0}, "order.amount"),
        ({"amount": -1}, "order.amount"),
        ({"amount": 10_000_000_000}, "order.amount"),
        ({"amount": True}, "order.amount"),
        ({"amount": 1000.0}, "order.amount"),
        ({"number": "ab"}, "number"),
        ({"number": "a" * 33}, "number"),
        ({"number": "INV 1"}, "number"),
        ({"number": "INV/1"}, "number"),
        ({"number": "INV-é"}, "number"),
        ({"number": "INV-1\n"}, "number"),
        ({"token": ""}, "token_id"),
        ({"token": "t" * 129}, "token_id"),
        ({"payer": Payer("", "n")}, "customer.id"),
        ({"payer": Payer("i" * 51, "n")}, "customer.id"),
        ({"payer": Payer("i", "n" * 51)}, "customer.name"),
        ({"payer": Payer("i", "n", phone="0" * 21)}, "customer.phone"),
        ({"payer": Payer("i", "n", email="e" * 256)}, "customer.email"),
        ({"payer": Payer("i", "\ud800")}, "UTF-8"),
    ],
)
def test_payment_outside_a_limit_is_refused_in_one_line(change: dict[str, Any], field: str) -> None:
    """Every limit of the page is checked here, so that the gateway never has to say it."""
    with pytest.raises(InvalidValue) as refused:
        codec.payment(dataclasses.replace(PAYMENT, **change))

    assert field in str(refused.value)
    assert "\n" not in str(refused.value)


def test_payment_at_every_limit_is_accepted() -> None:
    """The limits themselves are allowed."""
    payer = Payer("i" * 50, "n" * 50, "0" * 20, "e" * 255)

    for number in ("abc", "A" * 32, "a-Z_0"):
        full = dataclasses.replace(
            PAYMENT, payer=payer, amount=9_999_999_999, number=number, token="t" * 128
        )
        assert json.loads(codec.payment(full))["order"]["amount"] == 9_999_999_999


def test_long_description_is_shortened_and_never_stops_a_charge() -> None:
    """The item's name is for their risk engine only; the page sets it no limit."""
    body = codec.payment(dataclasses.replace(PAYMENT, description="d" * 400))

    assert json.loads(body)["order"]["line_items"][0]["name"] == "d" * 255


def test_binding_is_written_as_the_page_shows_it() -> None:
    """A binding is for recurring charges, with the wallet's own phone."""
    assert json.loads(codec.binding(BINDING)) == {
        "customer": {
            "id": "CUST_UAT_31",
            "name": "QA Shifter",
            "phone": "087123123021",
            "email": "qa@example.com",
        },
        "ovo_account": {
            "account_email": "qa@example.com",
            "account_mobile_phone": "6287123123021",
            "success_registration_url": "https://shop.id/ok",
            "failed_registration_url": "https://shop.id/no",
        },
        "service_type": "RECURRING",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"wallet_phone": ""},
        {"wallet_phone": "+6287123"},
        {"wallet_phone": "6" * 21},
        {"success_url": ""},
        {"success_url": "javascript:alert(1)"},
        {"failure_url": "https://shop.id/" + "x" * 2048},
        {"failure_url": "https://shop.id/a b"},
    ],
)
def test_binding_outside_a_limit_is_refused(change: dict[str, Any]) -> None:
    """A phone is digits, and a URL that a customer is sent to is http(s) and short enough."""
    with pytest.raises(InvalidValue):
        codec.binding(dataclasses.replace(BINDING, **change))


def test_refund_is_written_as_the_page_shows_it() -> None:
    """A refund names the charge by number and Request-Id; a reason is optional."""
    assert json.loads(codec.refund(REFUND)) == {
        "order": {"invoice_number": "INV_NUMBER_D009"},
        "payment": {"original_request_id": "82014"},
        "refund": {"amount": 1000, "reason": "Cancel Order"},
    }
    unreasoned = codec.refund(dataclasses.replace(REFUND, reason=""))
    assert json.loads(unreasoned)["refund"] == {"amount": 1000}


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0},
        {"number": "x"},
        {"reason": "r" * 256},
        {"charge_request_id": ""},
        {"charge_request_id": "i" * 129},
    ],
)
def test_refund_outside_a_limit_is_refused(change: dict[str, Any]) -> None:
    """A refund obeys the same limits as a payment."""
    with pytest.raises(InvalidValue):
        codec.refund(dataclasses.replace(REFUND, **change))


def test_inquiries_ask_about_one_customer_and_one_wallet() -> None:
    """Tokens are asked for recurring wallets only; a balance needs the token."""
    assert json.loads(codec.token_list("CUST_UAT_31")) == {
        "customer": {"id": "CUST_UAT_31"},
        "token_data": {"type": "WALLET_RECURRING"},
    }
    assert json.loads(codec.balance("c1", "t1")) == {
        "customer": {"id": "c1"},
        "ovo_account": {"token_id": "t1"},
    }


def test_unbinding_always_has_a_name() -> None:
    """The name is mandatory there, so a customer without one goes by the id."""
    named = json.loads(codec.unbinding(PAYER, "t1"))
    nameless = json.loads(codec.unbinding(Payer("c1", ""), "t1"))

    assert named["customer"] == {"id": "CUST_UAT_31", "name": "QA Shifter"}
    assert nameless["customer"] == {"id": "c1", "name": "c1"}


@pytest.mark.parametrize("value", ["", "i" * 129, "a b", "a\r\nX-Evil: 1", "é"])
def test_request_id_that_would_break_a_header_is_refused(value: str) -> None:
    """A Request-Id travels as a header, and is signed."""
    with pytest.raises(InvalidValue):
        codec.checked_request_id(value)


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        ("https://api.doku.com", True),
        ("https://jokul.doku.com/a/b?c=d", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:9/x", True),
        ("http://localhost/x", True),
        ("http://api.doku.com", False),
        ("http://127.0.0.1.evil.example/x", False),
        ("http://localhost@evil.example/x", False),
        ("https://user:secret@api.doku.com", False),
        ("https://", False),
        ("https://[", False),
        ("https://host:99999/", False),
        ("ftp://127.0.0.1/x", False),
        ("//api.doku.com/x", False),
        ("https://a.b/\nX", False),
        ("", False),
    ],
)
def test_only_private_urls_are_trusted(url: str, is_private: bool) -> None:
    """Https anywhere, plain http to this machine only, and no credentials or tricks inside."""
    assert is_private_url(url) is is_private


def test_plain_http_to_the_named_host_only_is_private() -> None:
    """The host of a simulated gateway; without one, no empty host is meant."""
    assert is_private_url("http://sandbox:9001/x", "sandbox")
    assert not is_private_url("http://sandbox.evil.example/x", "sandbox")
    assert not is_private_url("http://sandbox/x")
    assert not is_private_url("http:///x")

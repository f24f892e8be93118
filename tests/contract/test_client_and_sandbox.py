"""The DOKU client against the sandbox, and both against the API page's own examples.

Neither was written with the other in view: what they agree on is what the page says.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from billing.clock import real_now
from billing.domain.outcomes import (
    Balance,
    Binding,
    BindingStarted,
    Declined,
    Fault,
    NotFound,
    Payer,
    Payment,
    RefundOrder,
    SealedPayment,
    Succeeded,
    Token,
    Tokens,
    Unsent,
)
from billing.gateway.doku import DokuGateway
from billing.sandbox.process import SandboxProcess
from tests.unit.gateway_peer import CLIENT_ID, SECRET, Line, Peer, signed_reply

PAYER = Payer("CUST_UAT_31", "QA Shifter OVO Recurring", "087123123021", "qa@example.com")
BINDING = Binding(
    request_id="bind-1",
    payer=PAYER,
    wallet_phone="6287123123021",
    success_url="https://sandbox.doku.com/bo/login",
    failure_url="https://www.seleniumeasy.com/test",
)
PAGE_TOKEN = "c15d437b56b918abaa3951b0beb48a57"


def payment(token: str, *, first: bool = False) -> Payment:
    """The page's payment, with items that add up."""
    return Payment(PAYER, "INVR_2021_7105", 100_000, token, False, first, "Netflix")


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[DokuGateway]:
    """The engine's client, pointed at the sandbox."""
    made = DokuGateway(sandbox.url, sandbox.client_id, sandbox.secret_key, 5, real_now)
    with closing(made):
        yield made


def linked(client: DokuGateway, sandbox: SandboxProcess, cash: int) -> str:
    """Link the page's customer, and return the token."""
    sandbox.control("PUT", "defaults", {"auto_confirm_seconds": 0, "cash": cash})
    assert isinstance(client.bind(BINDING), BindingStarted)
    found = client.list_tokens(PAYER.id)
    assert isinstance(found, Tokens)
    [token] = found.tokens
    return token.token


def test_all_seven_calls_understand_each_other(
    client: DokuGateway, sandbox: SandboxProcess
) -> None:
    """Bind, token list, balance, payment, status, refund, unbind: the life of one payment."""
    token = linked(client, sandbox, 150_000)
    assert client.balance(PAYER.id, token) == Balance(150_000, 0)
    body = client.compose(payment(token, first=True))
    sealed = SealedPayment("pay-1", "INVR_2021_7105", 100_000, body)
    assert client.check_status("INVR_2021_7105", "INVR_2021_7105", 100_000) == NotFound()
    assert client.pay(sealed) == Succeeded()
    assert client.pay(sealed) == Succeeded(), "409 with the original answer"
    assert client.check_status("INVR_2021_7105", "INVR_2021_7105", 100_000) == Succeeded()
    refund = RefundOrder("refund-1", "pay-1", "INVR_2021_7105", 1_000, "Cancel Order")
    assert client.refund(refund) == Succeeded()
    assert client.refund(refund) == Succeeded(), "409 with the original answer"
    assert client.check_status("refund-1", "INVR_2021_7105", 1_000) == Succeeded()
    assert client.unbind(PAYER, token, "unbind-1") == Succeeded()
    assert client.unbind(PAYER, token, "unbind-2") == Succeeded(), "gone is gone"
    assert client.list_tokens(PAYER.id) == Tokens(())

    rows = sandbox.control("GET", "ledger")["rows"]
    [paid] = [row for row in rows if row["kind"] == "payment"]
    assert (paid["moves"], paid["amount"], paid["first_payment"]) == (1, 100_000, True)
    assert [row["moves"] for row in rows if row["kind"] == "refund"] == [1]


def test_a_decline_and_a_wrong_key_are_told_apart(
    client: DokuGateway, sandbox: SandboxProcess
) -> None:
    """Too little money is a decline with its class; a wrong secret has sent nothing."""
    token = linked(client, sandbox, 10)
    body = client.compose(payment(token))
    sealed = SealedPayment("pay-1", "INVR_2021_7105", 100_000, body)
    declined = client.pay(sealed)
    assert isinstance(declined, Declined)
    assert declined.fault is Fault.INSUFFICIENT_FUNDS
    stranger = DokuGateway(sandbox.url, sandbox.client_id, "another", 5, real_now)
    with closing(stranger):
        assert stranger.pay(sealed) == Unsent("invalid_signature")


PAGE_ANSWERS: dict[str, str] = {
    "bind": """{
    "customer": {"id": "CUSTOMER_OVOxDOKU", "name": "TESTINGQA", "email": "test@example.com",
        "phone": "087872180555", "additional_info": "None"},
    "ovo_account": {
        "registration_url": "https://jokul.doku.com/ovo-open-api/registration/sessionId/2781",
        "status": "PENDING",
    }
}""",
    "tokens": """{"customer": {"id": "CUST_UAT_31", "name": "QA Shifter OVO Recurring"},
    "token_data": {"type": "WALLET_RECURRING"},
    "wallet": {"issuer": "OVO", "token_id": "c15d437b56b918abaa3951b0beb48a57",
        "masked_phone_number": "****3021"}}""",
    "balance": """{"customer": {"id": "1232131321", "name": "Joko", "email": "joko@example.com",
        "phone": "081287458232", "additional_info": ""},
    "ovo_account" : {"ovo_cash_balance" : 100000, "ovo_point_balance" : 100000}}""",
    "pay": """{"customer": {"id": "CUST_UAT_31", "name": "QA Shifter OVO Recurring"},
    "additional_info": {},
    "order": {"invoice_number": "INVR_2021_7105",
        "line_items": [{"name": "Netflix", "price": 5000, "quantity": 1}], "amount": 100000},
    "payment": {"status": "SUCCESS"}}""",
    "refund": """{"order": {"invoice_number": "INV_NUMBER_D009"},
    "payment": {"original_request_id": "82014"},
    "refund": {"amount": 1000, "reason": "Cancel Order", "status": "SUCCESS",
        "message": "SUCCESS"}}""",
    "unbind": """{"customer": {"id": "TEST-CIMBXDOKU-05", "name": "DOKUXCIMB"},
    "ovo_account": {"token_id": "1614dc147e404f41f6d2de877fda1f94", "status": "SUCCESS",
        "message": "Success Unbinding Ovo Account"}}""",
}
MEANING: dict[str, Any] = {
    "bind": BindingStarted("https://jokul.doku.com/ovo-open-api/registration/sessionId/2781"),
    "tokens": Tokens((Token(PAGE_TOKEN, "****3021"),)),
    "balance": Balance(100_000, 100_000),
    "pay": Succeeded(),
    "refund": Succeeded(),
    "unbind": Succeeded(),
}


def asked(client: DokuGateway, call: str) -> Any:
    """Make the call of one of the page's examples."""
    match call:
        case "bind":
            return client.bind(BINDING)
        case "tokens":
            return client.list_tokens("CUST_UAT_31")
        case "balance":
            return client.balance("1232131321", "fc72c4b0aedff916ab92e39cb80d3111")
        case "pay":
            body = client.compose(payment(PAGE_TOKEN))
            return client.pay(SealedPayment("pay-1", "INVR_2021_7105", 100_000, body))
        case "refund":
            order = RefundOrder("refund-1", "82014", "INV_NUMBER_D009", 1_000, "Cancel Order")
            return client.refund(order)
        case _:
            payer = Payer("TEST-CIMBXDOKU-05", "DOKUXCIMB")
            return client.unbind(payer, "1614dc147e404f41f6d2de877fda1f94", "unbind-1")


@pytest.mark.parametrize("call", PAGE_ANSWERS)
def test_the_client_reads_the_answers_of_the_page(call: str) -> None:
    """Each answer the page prints is understood, signed, with its stray comma and blanks."""

    def script(line: Line) -> None:
        request = line.read()
        assert request is not None
        status = 200 if call == "tokens" else 201
        line.write(signed_reply(request, PAGE_ANSWERS[call].encode(), status))

    with Peer(script) as peer:
        client = DokuGateway(peer.url, CLIENT_ID, SECRET, 5, real_now)
        with closing(client):
            assert asked(client, call) == MEANING[call]


def test_the_clients_payment_has_the_fields_of_the_page(client: DokuGateway) -> None:
    """The payment's body is the page's sample, but for the amount's type and the item's price."""
    sent = json.loads(client.compose(payment(PAGE_TOKEN)))
    sample = {
        "customer": {
            "id": "CUST_UAT_31",
            "name": "QA Shifter OVO Recurring",
            "phone": "087123123021",
            "email": "qa@example.com",
        },
        "order": {
            "invoice_number": "INVR_2021_7105",
            "line_items": [{"name": "Netflix", "price": 100_000, "quantity": 1}],
            "amount": 100_000,
        },
        "ovo_account": {
            "token_id": PAGE_TOKEN,
            "payment_use_ovo_point": False,
            "first_payment": False,
        },
    }
    assert sent == sample

"""The seven calls of the sandbox, answered on their merits, by a merchant that signs for itself."""

import http.client
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.sandbox.process import SandboxProcess, start
from billing.sandbox.protocol.signatures import Credentials, signature
from tests.contract import sandbox_client as client
from tests.contract.sandbox_client import Customer, Merchant


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with start() as process:
        yield process


@pytest.fixture
def merchant(sandbox: SandboxProcess) -> Iterator[Merchant]:
    yield Merchant(sandbox)
    sandbox.control("PUT", "clock", {"now": None})
    sandbox.control("PUT", "defaults", {"auto_confirm_seconds": None})


COMMON = ["Client-Id:MCH-0001-10791114622547", "Request-Id:15022aab-444f-4b04-afa8-ddfce89432ec"]
ORDER = b'{"order":{"invoice_number":"INVR_2021_7105","amount":100000},'
VECTORS = {
    "V1": (
        "Request-Timestamp:2020-08-11T08:45:42Z",
        client.PAY,
        ORDER + b'"ovo_account":{"token_id":"c15d437b56b918abaa3951b0beb48a57"}}',
        "HMACSHA256=cw8mousSklhMtMLG4sXV0scLiLpx/IlcMaznIUtqq08=",
    ),
    "V2": (
        "Request-Timestamp:2020-08-11T08:45:42Z",
        client.STATUS + "INVR_2021_7105",
        None,
        "HMACSHA256=dLGej4SpQ+g0C49YOHolHM0YiNk0zyeRMEtgUvN3e60=",
    ),
    "V3": (
        "Response-Timestamp:2020-08-11T08:45:42Z",
        client.PAY,
        ORDER + b'"payment":{"status":"SUCCESS"}}',
        "HMACSHA256=NyR7V0a9Sxf6Y2seGHTOOudAmgbWjfIYwAF5OzcEYdE=",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_test_client_and_sandbox_both_reproduce_the_known_signatures(name: str) -> None:
    """A request, a GET without Digest and a response sign to the values computed by OpenSSL."""
    line, target, body, expected = VECTORS[name]

    assert (
        client.sign("unit-test-secret-key", [*COMMON, line, f"Request-Target:{target}"], body)
        == expected
    )
    assert (
        signature(
            Credentials("MCH-0001-10791114622547", b"unit-test-secret-key"),
            request_id="15022aab-444f-4b04-afa8-ddfce89432ec",
            stamp_line=line,
            target=target,
            body=body,
        )
        == expected
    )


def test_the_samples_of_the_api_page_are_accepted_in_order(merchant: Merchant) -> None:
    """Bind, list, pay: the page's own bodies work, with the ids that this sandbox has made."""
    bound = merchant.post(client.BIND, client.PAGE_BINDING)
    assert bound.status == 201
    assert bound.json["customer"] == client.PAGE_BINDING["customer"]
    assert bound.json["ovo_account"]["status"] == "PENDING"
    merchant.sandbox.control("POST", "wallets/CUST_UAT_31/confirm")

    listed = merchant.post(client.TOKENS, client.PAGE_TOKENS)
    assert listed.status == 200
    token = listed.json["wallet"]["token_id"]
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert listed.json == {
        "customer": {"id": "CUST_UAT_31", "name": "QA Shifter OVO Recurring"},
        "token_data": {"type": "WALLET_RECURRING"},
        "wallet": {"issuer": "OVO", "token_id": token, "masked_phone_number": "****3021"},
    }

    body: dict[str, Any] = client.PAGE_PAYMENT | {
        "order": client.PAGE_PAYMENT["order"] | {"amount": 100000},
        "ovo_account": client.PAGE_PAYMENT["ovo_account"] | {"token_id": token},
    }
    paid = merchant.post(client.PAY, body)
    assert paid.status == 201
    assert paid.json == {
        "customer": body["customer"],
        "additional_info": {},
        "order": body["order"],
        "payment": {"status": "SUCCESS"},
    }


def test_the_samples_about_things_unknown_pass_the_form_checks(merchant: Merchant) -> None:
    """Balance, refund and unbind samples are well-formed: only their ids are not known here."""
    assert merchant.post(client.BALANCE, client.PAGE_BALANCE).code == "invalid_token"
    assert merchant.post(client.REFUND, client.PAGE_REFUND).code == "not_found"
    assert merchant.post(client.UNBIND, client.PAGE_UNBINDING).code == "not_found"


def test_the_page_sample_with_its_amount_as_text_is_refused(merchant: Merchant) -> None:
    """The page's table says number; its sample's "100000" is not one."""
    refused = merchant.post(client.PAY, client.PAGE_PAYMENT)

    assert (refused.status, refused.code) == (400, "invalid_parameter")
    assert "order.amount" in refused.json["error"]["message"]


def test_every_good_answer_is_signed_and_a_get_without_digest(merchant: Merchant) -> None:
    """The 2xx of all seven calls verify against the merchant's own signing."""
    customer = merchant.linked()
    account = {"customer": {"id": customer.id}, "ovo_account": {"token_id": customer.token_id}}
    paid = merchant.pay(customer, 5_000)
    replies = [
        merchant.post(client.BIND, Customer("C-0000000000abc").binding()),
        merchant.post(client.TOKENS, {"customer": {"id": customer.id}}),
        merchant.post(client.BALANCE, account),
        paid,
        merchant.status(paid.json["order"]["invoice_number"]),
        merchant.post(client.REFUND, customer.refund(paid, 5_000)),
        merchant.post(client.UNBIND, customer.unbinding()),
    ]

    assert [reply.status for reply in replies] == [201, 200, 201, 201, 200, 201, 201]
    assert all(reply.is_signed_with(merchant.sandbox.secret_key) for reply in replies)
    assert not any(reply.is_signed_with("another") for reply in replies)


def test_errors_are_not_signed_unless_asked_for(merchant: Merchant) -> None:
    """Whether real errors are signed is not known, so both can be played."""
    assert merchant.status("NO-SUCH").headers["Signature"] is None
    merchant.sandbox.control("PUT", "defaults", {"sign_errors": True})
    signed = merchant.status("NO-SUCH")
    merchant.sandbox.control("PUT", "defaults", {"sign_errors": False})

    assert signed.is_signed_with(merchant.sandbox.secret_key)


def test_a_token_appears_only_when_the_customer_has_opened_the_page(merchant: Merchant) -> None:
    """PENDING until the registration page was visited; a second visit changes nothing."""
    customer = Customer("C-0000000a00b1c")
    url = merchant.post(client.BIND, customer.binding()).json["ovo_account"]["registration_url"]
    ask = {"customer": {"id": customer.id}}
    assert "wallet" not in merchant.post(client.TOKENS, ask).json

    place = urlsplit(url)
    assert place.netloc == f"127.0.0.1:{merchant.sandbox.port}"
    for _ in range(2):
        visit = http.client.HTTPConnection(place.netloc)
        visit.request("GET", place.path)
        page = visit.getresponse()
        assert page.status == 200
        assert b"https://merchant.example/linked" in page.read()
        visit.close()

    assert merchant.post(client.TOKENS, ask).json["wallet"]["issuer"] == "OVO"
    assert [row["kind"] for row in merchant.ledger(customer=customer.id)] == ["bind", "confirm"]


def test_bindings_complete_by_themselves_when_told_to(merchant: Merchant) -> None:
    """auto_confirm_seconds counts on the business clock; 0 is at once."""
    merchant.sandbox.control("PUT", "clock", {"now": "2026-01-31T09:00:00+07:00"})
    merchant.sandbox.control("PUT", "defaults", {"auto_confirm_seconds": 60})
    slow, quick = Customer("C-0000000a00b2c"), Customer("C-0000000a00b3c")
    merchant.post(client.BIND, slow.binding())
    merchant.sandbox.control("PUT", "defaults", {"auto_confirm_seconds": 0})
    merchant.post(client.BIND, quick.binding())

    def status(customer: Customer) -> str:
        return str(merchant.sandbox.control("GET", f"wallets/{customer.id}")["status"])

    assert (status(slow), status(quick)) == ("pending", "bound")
    merchant.sandbox.control("PUT", "clock", {"now": "2026-01-31T09:01:00+07:00"})
    assert status(slow) == "bound"


def test_an_ovo_account_and_a_customer_are_bound_to_each_other_only(merchant: Merchant) -> None:
    """A linked customer cannot be bound again, nor a linked phone elsewhere, until unbound."""
    customer, other = merchant.linked(), Customer("C-0000000a00b4c")
    local = "0" + customer.phone[2:]

    assert merchant.post(client.BIND, customer.binding()).code == "account_error"
    assert merchant.post(client.BIND, other.binding(phone=local)).code == "account_error"
    merchant.post(client.UNBIND, customer.unbinding())
    assert merchant.post(client.BIND, other.binding(phone=local)).status == 201
    assert merchant.post(client.BIND, customer.binding()).status == 201


def test_a_newer_registration_voids_the_older(merchant: Merchant) -> None:
    """Only the last registration page can link the wallet."""
    customer = Customer("C-0000000a00b5c")
    first, second = (
        urlsplit(merchant.post(client.BIND, customer.binding()).json["ovo_account"][key]).path
        for key in ("registration_url", "registration_url")
    )

    assert merchant.call("POST", first).status == 409
    assert merchant.call("POST", second).status == 200


def test_a_token_ends_after_a_year_and_the_payment_does_not_show(merchant: Merchant) -> None:
    """TOKEN_EXPIRED in a 201, nothing paid, 404 when asked; a new binding makes a new token."""
    merchant.sandbox.control("PUT", "clock", {"now": "2026-01-31T02:00:00Z"})
    customer = merchant.linked()
    merchant.sandbox.control("PUT", "clock", {"now": "2027-01-31T02:00:00Z"})

    answer = merchant.pay(customer, 5_000)
    assert (answer.status, answer.json["payment"]["status"]) == (201, "TOKEN_EXPIRED")
    assert merchant.shown(answer.json["order"]["invoice_number"]) == "not_found"
    assert merchant.balances(customer) == (100_000, 0)
    assert "wallet" not in merchant.post(client.TOKENS, {"customer": {"id": customer.id}}).json

    assert merchant.post(client.BIND, customer.binding()).status == 201
    renewed = merchant.sandbox.control("POST", f"wallets/{customer.id}/confirm")
    assert renewed["token_id"] != customer.token_id
    assert renewed["token_expires_at"] == "2028-01-31T02:00:00Z"


def test_balance_shows_cash_and_points_as_numbers(merchant: Merchant) -> None:
    """The answer has the two balances of the API page, and 201."""
    customer = merchant.linked(cash=70_000, points=1_500)
    ask = {"customer": {"id": customer.id}, "ovo_account": {"token_id": customer.token_id}}

    answer = merchant.post(client.BALANCE, ask)

    assert answer.status == 201
    assert answer.json["ovo_account"] == {"ovo_cash_balance": 70_000, "ovo_point_balance": 1_500}


def test_points_are_used_first_and_given_back_first(merchant: Merchant) -> None:
    """Points then cash, only when asked for; refunds return points before cash."""
    customer = merchant.linked(cash=10_000, points=3_000)
    merchant.pay(customer, 1_000)
    assert merchant.balances(customer) == (9_000, 3_000)

    paid = merchant.pay(customer, 5_000, points=True, first=True)
    assert merchant.balances(customer) == (7_000, 0)
    row = merchant.ledger(number=paid.json["order"]["invoice_number"])[0]
    assert (row["points"], row["cash"], row["first_payment"], row["moves"]) == (3000, 2000, True, 1)

    merchant.post(client.REFUND, customer.refund(paid, 2_000))
    assert merchant.balances(customer) == (7_000, 2_000)
    merchant.post(client.REFUND, customer.refund(paid, 3_000))
    assert merchant.balances(customer) == (9_000, 3_000)


def test_a_payment_that_the_wallet_cannot_pay_is_declined_and_shows_failed(
    merchant: Merchant,
) -> None:
    """400 insufficient_funds, FAILED in ledger and status, nothing moved, number used up."""
    customer = merchant.linked(cash=4_999)

    declined = merchant.pay(customer, 5_000, number="INV-SHORT")

    assert (declined.status, declined.code) == (400, "insufficient_funds")
    assert merchant.shown("INV-SHORT") == "FAILED"
    row = merchant.ledger(number="INV-SHORT")[0]
    assert (row["status"], row["moves"], row["code"]) == ("FAILED", 0, "insufficient_funds")
    merchant.sandbox.control("POST", f"wallets/{customer.id}/top-up", {"amount": 1})
    assert merchant.pay(customer, 5_000, number="INV-SHORT").code == "invoice_already_used"
    assert merchant.pay(customer, 5_000).status == 201


def test_a_deleted_or_foreign_token_is_declined(merchant: Merchant) -> None:
    """A token pays for its own customer, and only until it is unbound."""
    customer, other = merchant.linked(), merchant.linked()
    thief = Customer(other.id, customer.token_id)
    assert merchant.pay(thief, 1_000).code == "invalid_token"

    unbound = merchant.post(client.UNBIND, customer.unbinding())
    assert unbound.json["ovo_account"]["status"] == "SUCCESS"
    assert merchant.pay(customer, 1_000).code == "invalid_token"
    again = merchant.post(client.UNBIND, customer.unbinding())
    assert (again.status, again.code) == (404, "not_found")


def test_a_status_query_finds_by_number_and_by_request_id(merchant: Merchant) -> None:
    """Both identifiers give the same answer, with the fields that other channels show."""
    merchant.sandbox.control("PUT", "clock", {"now": "2026-01-31T09:00:00+07:00"})
    customer = merchant.linked()
    paid = merchant.pay(customer, 5_000, number="INV-STATUS")

    by_number, by_id = merchant.status("INV-STATUS"), merchant.status(paid.request_id)

    assert by_number.json == by_id.json
    assert by_number.json == {
        "order": {"invoice_number": "INV-STATUS", "amount": 5_000},
        "transaction": {
            "status": "SUCCESS",
            "type": "SALE",
            "date": "2026-01-31T02:00:00Z",
            "original_request_id": paid.request_id,
        },
        "service": {"id": "EMONEY"},
        "acquirer": {"id": "OVO", "name": "OVO"},
        "channel": {"id": "EMONEY_OVO"},
    }


def test_refunds_never_give_back_more_than_was_paid(merchant: Merchant) -> None:
    """Partial refunds leave SUCCESS, the last makes REFUNDED, and one rupiah more is FAILED."""
    customer = merchant.linked()
    paid = merchant.pay(customer, 5_000, number="INV-BACK")

    first = merchant.post(client.REFUND, customer.refund(paid, 4_000))
    assert first.status == 201
    assert first.json["refund"] == {
        "amount": 4_000,
        "reason": "Cancel Order",
        "status": "SUCCESS",
        "message": "SUCCESS",
    }
    assert merchant.shown("INV-BACK") == "SUCCESS"
    too_much = merchant.post(client.REFUND, customer.refund(paid, 1_001))
    assert (too_much.status, too_much.json["refund"]["status"]) == (201, "FAILED")
    assert merchant.post(client.REFUND, customer.refund(paid, 1_000)).status == 201
    assert merchant.shown("INV-BACK") == "REFUNDED"
    assert merchant.balances(customer) == (100_000, 0)

    shown = merchant.status(first.request_id).json
    assert shown["order"] == {"invoice_number": "INV-BACK", "amount": 4_000}
    assert shown["transaction"]["type"] == "REFUND"
    assert shown["transaction"]["original_request_id"] == paid.request_id
    assert merchant.shown(too_much.request_id) == "FAILED"


def test_a_refund_names_its_payment_by_number_and_request_id(merchant: Merchant) -> None:
    """Number and original_request_id must belong to one payment; a declined one has no refund."""
    customer = merchant.linked()
    paid, other = merchant.pay(customer, 5_000), merchant.pay(customer, 5_000)
    crossed = customer.refund(paid, 1_000, original=other.request_id)
    declined = merchant.pay(customer, 999_999, number="INV-NOT-PAID")
    unpaid = customer.refund(paid, 1, number="INV-NOT-PAID", original=declined.request_id)

    assert merchant.post(client.REFUND, crossed).code == "not_found"
    assert merchant.post(client.REFUND, unpaid).json["refund"]["status"] == "FAILED"


def test_a_refund_works_after_unbinding_and_the_order_is_on_record(merchant: Merchant) -> None:
    """A refund reaches the wallet without a token; `seq` gives the order of the rows."""
    customer = merchant.linked()
    paid = merchant.pay(customer, 5_000)
    merchant.post(client.UNBIND, customer.unbinding())

    assert merchant.post(client.REFUND, customer.refund(paid, 5_000)).status == 201
    rows = merchant.ledger(customer=customer.id)
    kinds = ["bind", "confirm", "payment", "unbind", "refund"]
    assert [row["kind"] for row in rows] == kinds
    assert sorted(row["seq"] for row in rows) == [row["seq"] for row in rows]
    assert merchant.balances(customer) == (100_000, 0)

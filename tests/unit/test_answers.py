"""What an answer to a charge or refund means: only a signed one about our order counts."""

import json
from typing import Any

import pytest

from billing.domain.outcomes import (
    Declined,
    Fault,
    Outcome,
    Pending,
    RefundOrder,
    RefundOutcome,
    Succeeded,
    Unknown,
    Unsent,
    Waiting,
)
from billing.gateway import answers
from billing.gateway.faults import Faults
from billing.gateway.refusals import Answer, Trust

NUMBER = "INVR_2021_7105"
REFUND = RefundOrder("refund-1", "82014", "INV_NUMBER_D009", 1000, "Cancel Order")


def paid(status: object = "SUCCESS", number: str = NUMBER, amount: object = 100000) -> bytes:
    """Write a payment's answer in the page's shape."""
    document: dict[str, Any] = {
        "customer": {"id": "CUST_UAT_31", "additional_info": "None"},
        "additional_info": {},
        "order": {"invoice_number": number, "amount": amount},
        "payment": {"status": status},
    }
    return json.dumps(document).encode()


def refunded(status: str = "SUCCESS", **changes: object) -> bytes:
    """Write a refund's answer in the page's shape."""
    document: dict[str, Any] = {
        "order": {"invoice_number": changes.get("number", "INV_NUMBER_D009")},
        "payment": {"original_request_id": changes.get("original", "82014")},
        "refund": {
            "amount": changes.get("amount", 1000),
            "status": status,
            "message": "call 081234567890",
        },
    }
    return json.dumps(document).encode()


def judge(
    body: bytes, status: int = 201, trust: Trust = Trust.VERIFIED, retry_after: str = ""
) -> Outcome:
    """Judge an answer to our charge of 100,000 rupiah."""
    answer = Answer(status, body, trust, retry_after)
    return answers.payment(answer, NUMBER, 100000, Faults({}))


def judge_refund(body: bytes, status: int = 201, trust: Trust = Trust.VERIFIED) -> RefundOutcome:
    """Judge an answer to our refund of 1,000 rupiah."""
    return answers.refund(Answer(status, body, trust), REFUND, Faults({}))


def error(code: str, message: str = "because", about: str = "") -> bytes:
    """Write DOKU's documented error envelope, and the order beside it when it names one."""
    document: dict[str, Any] = {"error": {"code": code, "message": message, "type": "some_error"}}
    if about:
        document["order"] = {"invoice_number": about}
    return json.dumps(document).encode()


@pytest.mark.parametrize("http_status", [200, 201, 202])
@pytest.mark.parametrize("amount", [100000, "100000", "100000.00"])
def test_signed_success_of_our_order_is_success(http_status: int, amount: object) -> None:
    """Any 2xx is an answer, and the amount may come in any spelling."""
    assert judge(paid(amount=amount), http_status) == Succeeded()
    assert judge(paid("success", amount=amount), http_status) == Succeeded()


def test_decimal_amount_is_ours_too() -> None:
    """DOKU writes .00 at times."""
    assert judge(paid().replace(b"100000", b"100000.00")) == Succeeded()


@pytest.mark.parametrize(
    ("status", "waiting"),
    [
        ("PENDING", Waiting.CUSTOMER),
        ("pending", Waiting.CUSTOMER),
        ("TOKEN_EXPIRED", Waiting.TOKEN_EXPIRED),
        ("Token Expired", Waiting.TOKEN_EXPIRED),
    ],
)
def test_the_gateway_may_wait_for_the_customer(status: str, waiting: Waiting) -> None:
    """PENDING and TOKEN_EXPIRED are no declines."""
    assert judge(paid(status)) == Pending(waiting)


@pytest.mark.parametrize("status", ["FAILED", "EXPIRED", "VOIDED", "SUCCESSFUL", "", None, 7, {}])
def test_any_other_status_is_unknown(status: object) -> None:
    """The page names three; a live FAILED may not be final, so a status query follows."""
    assert isinstance(judge(paid(status)), Unknown)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (paid(number="INVR_2021_7106"), "other_number"),
        (paid(amount=99999), "other_amount"),
        (paid(amount="100000.01"), "other_amount"),
        (paid(amount=None), "other_amount"),
        (b'{"payment": {"status": "SUCCESS"}}', "other_number"),
        (b"<html>ok</html>", "http_201 unreadable"),
        (b"", "http_201 unreadable"),
        (paid()[:-1], "http_201 unreadable"),
    ],
)
def test_success_of_something_else_is_unknown(body: bytes, reason: str) -> None:
    """Only a readable answer with our own number and amount settles."""
    assert judge(body) == Unknown(reason)


@pytest.mark.parametrize("trust", [Trust.MISSING, Trust.WRONG])
@pytest.mark.parametrize("status", ["SUCCESS", "PENDING"])
def test_unsigned_result_is_unknown(trust: Trust, status: str) -> None:
    """Every result without a valid signature is unknown."""
    assert judge(paid(status), trust=trust) == Unknown(trust)


def test_conflict_with_our_own_payment_is_the_original_answer() -> None:
    """DOKU repeats the first body with 409; it is read like the first answer."""
    assert judge(paid(), 409) == Succeeded()
    assert judge(paid("PENDING"), 409) == Pending(Waiting.CUSTOMER)


@pytest.mark.parametrize(
    ("body", "trust"),
    [
        (paid(), Trust.MISSING),
        (paid(), Trust.WRONG),
        (paid(number="INVR_2021_7106"), Trust.VERIFIED),
        (paid(amount=5), Trust.VERIFIED),
        (error("idempotent_request"), Trust.VERIFIED),
        (error("insufficient_funds"), Trust.MISSING),
        (error("invalid_signature"), Trust.MISSING),
        (b"", Trust.MISSING),
    ],
)
def test_any_other_conflict_is_unknown(body: bytes, trust: Trust) -> None:
    """A 409 never says that a payment failed."""
    assert isinstance(judge(body, 409, trust), Unknown)


def test_conflict_says_what_it_is_about() -> None:
    """A conflict without our payment keeps the gateway's own code as its reason."""
    unsigned = judge(error("idempotent_request"), 409, Trust.MISSING)
    assert unsigned == Unknown("http_409 idempotent_request")
    assert judge(error("idempotent_request"), 409) == Unknown("http_409 idempotent_request")
    assert judge(error("oops"), 201) == Unknown("http_201 oops")


@pytest.mark.parametrize("http_status", [400, 404, 409, 422, 500])
@pytest.mark.parametrize(
    "body",
    [
        error("idempotent_request"),
        error("DUPLICATE_TRANSACTION"),
        error("E1", "INVOICE ALREADY USED"),
        error("E1", "invoice_number has already been paid"),
        error("invoice_number_exists"),
        error("E1", "invoice_number must be unique"),
        error("E1", "x" * 200 + " INVOICE ALREADY USED"),
        b'{"message": ["INVOICE ALREADY USED"]}',
    ],
)
def test_a_request_seen_before_may_have_been_paid(http_status: int, body: bytes) -> None:
    """An "already used" with any HTTP status leads to a status query, never to another charge."""
    assert isinstance(judge(body, http_status, Trust.MISSING), Unknown)
    assert isinstance(judge(body, http_status, Trust.VERIFIED), Unknown)


@pytest.mark.parametrize("trust", [Trust.MISSING, Trust.VERIFIED])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("duplicate_transaction", "because"),
        ("E1", "invoice_number has already been paid"),
        ("insufficient_funds", "INVOICE ALREADY USED"),
    ],
)
def test_a_decline_of_a_repeated_request_is_unknown(code: str, message: str, trust: Trust) -> None:
    """Signed, with our own order, or with a known code: the first sending may have paid."""
    assert isinstance(judge(error(code, message, about=NUMBER), 400, trust), Unknown)
    repeated = error(code, message, about=REFUND.number)
    assert isinstance(judge_refund(repeated, 400, trust), Unknown)


@pytest.mark.parametrize(
    "code",
    [
        "invalid_header_request",
        "request_time_out_of_range",
        "invalid_client_id",
        "invalid_signature",
        "INVALID_SIGNATURE",
    ],
)
def test_request_turned_away_at_the_door_is_unsent(code: str) -> None:
    """DOKU checks headers, time, client and signature before it reads the body."""
    assert judge(error(code), 400, Trust.MISSING) == Unsent(code)
    assert judge(error(code), 401, Trust.MISSING) == Unsent(code)


def test_rate_limit_is_unsent_and_says_how_long() -> None:
    """Nothing was done, with or without a readable body."""
    assert judge(b"", 429, Trust.MISSING) == Unsent("rate_limited")
    waiting = judge(error("TOO_MANY_REQUESTS"), 429, Trust.MISSING, "30")
    assert waiting == Unsent("rate_limited retry_after=30")
    assert judge(b"", 429, Trust.MISSING, "soon\nish") == Unsent("rate_limited")


@pytest.mark.parametrize("http_status", [400, 401, 403, 404, 422])
def test_readable_refusal_is_a_decline_with_its_reason(http_status: int) -> None:
    """A documented error with a known code need not be signed."""
    outcome = judge(error("INSUFFICIENT_FUNDS", "Low balance"), http_status, Trust.MISSING)

    assert outcome == Declined(Fault.INSUFFICIENT_FUNDS, "INSUFFICIENT_FUNDS", "Low balance")


@pytest.mark.parametrize("trust", [Trust.MISSING, Trust.VERIFIED])
@pytest.mark.parametrize("about", ["", NUMBER, "INVR_2021_7106"])
def test_unknown_code_is_a_decline_only_when_it_is_surely_about_us(
    about: str, trust: Trust
) -> None:
    """It names our own order, or it is signed; any other one is unknown and is queried."""
    outcome = judge(error("E1", about=about), 400, trust)

    sure = about == NUMBER or trust is Trust.VERIFIED
    assert outcome == (Declined(Fault.OTHER, "E1", "because") if sure else Unknown("http_400 E1"))


@pytest.mark.parametrize(
    "message",
    [
        "Saldo tidak mencukupi",
        "Token has expired",
        "blocked for fraud",
        "limit exceeded",
        "Forbidden",
    ],
)
def test_words_end_nothing(message: str) -> None:
    """A message that looks like a reason counts for nothing; an unlisted code stays unknown."""
    assert judge(error("E1", message, about=NUMBER), 403, Trust.MISSING) == Declined(
        Fault.OTHER, "E1", message
    )
    assert isinstance(judge(error("E1", message), 403, Trust.MISSING), Unknown)
    assert isinstance(judge(error(message, "x"), 403, Trust.MISSING), Unknown)


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"code": "insufficient_funds", "message": "x"}},
        {"error": {"code": "insufficient_funds", "type": "x"}},
        {"error": {"code": "insufficient_funds", "message": ["x"], "type": "x"}},
        {"error": {"code": 4035714, "message": "x", "type": "x"}},
        {"error": "insufficient_funds", "message": "x", "type": "x"},
        {"code": "insufficient_funds", "message": "x", "type": "x"},
        {"status": "FAILED", "response_code": "INVALID_TOKEN", "message": "x"},
        {"message": "insufficient_funds"},
        {"message": ["INSUFFICIENT FUNDS"]},
        {"error_messages": ["insufficient_funds"]},
        {
            "error": {"code": "insufficient_funds", "message": "x", "type": "x"},
            "payment": {"status": "SUCCESS"},
        },
    ],
)
@pytest.mark.parametrize("trust", list(Trust))
def test_only_the_documented_envelope_declines(document: dict[str, Any], trust: Trust) -> None:
    """An object `error` with code, message and type as text; no other shape settles anything."""
    body = json.dumps({"order": {"invoice_number": NUMBER}, **document}).encode()

    outcome = judge(body, 400, trust)

    assert isinstance(outcome, Unknown)
    assert outcome.unrecognised


def test_decline_tells_nothing_about_the_customer() -> None:
    """The stored text of a refusal is scrubbed."""
    said = "Token c15d437b56b918abaa3951b0beb48a57 of 081234567890, a@b.id expired"

    outcome = judge(error("invalid_token", said), 400, Trust.MISSING)

    assert isinstance(outcome, Declined)
    assert outcome.fault is Fault.WALLET
    for private in ("c15d", "0812", "a@b"):
        assert private not in outcome.message


@pytest.mark.parametrize(
    "body",
    [
        error("request_timeout"),
        error("E1", "Transaction is still in progress"),
        error("E1", "Payment pending"),
        error("E1", "Internal server error"),
        error("E1", "Success"),
    ],
)
def test_refusal_that_does_not_know_is_unknown(body: bytes) -> None:
    """Time-outs and payments in progress are no declines, even in a 4xx."""
    assert isinstance(judge(body, 400, Trust.MISSING), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Not Found</html>",
        b'{"message": "No static resource ovo-open-api/v1/payment-recurring."}',
        b'{"timestamp": 1, "status": 400, "error": "Bad Request", "path": "/x"}',
        paid(),
    ],
)
def test_refusal_without_a_readable_error_is_unknown(body: bytes) -> None:
    """A 4xx counts only when it comes from DOKU's business logic."""
    assert isinstance(judge(body, 400, Trust.MISSING), Unknown)


@pytest.mark.parametrize("http_status", [100, 301, 302, 307, 408, 500, 502, 503, 504, 599])
@pytest.mark.parametrize(
    "body", [b"", paid(), error("insufficient_funds"), error("invalid_signature")]
)
def test_redirects_and_server_errors_are_unknown(http_status: int, body: bytes) -> None:
    """After any 3xx or 5xx the payment may have happened."""
    assert isinstance(judge(body, http_status), Unknown)


def test_refusal_with_a_wrong_signature_is_unknown() -> None:
    """A refusal need not be signed, but a forged one is not believed."""
    body = error("insufficient_funds")

    assert judge(body, 400, Trust.WRONG) == Unknown("wrong_signature")


def test_wrong_secret_is_unsent_although_their_signature_cannot_fit() -> None:
    """With a wrong key no answer verifies, and nothing was charged."""
    assert judge(error("invalid_signature"), 400, Trust.WRONG) == Unsent("invalid_signature")


@pytest.mark.parametrize("http_status", [200, 201, 409])
def test_signed_refund_success_is_success(http_status: int) -> None:
    """Number, Request-Id and amount are ours; 409 repeats the original answer."""
    assert judge_refund(refunded(), http_status) == Succeeded()
    assert judge_refund(refunded("Success", amount="1000.00"), http_status) == Succeeded()


def test_failed_refund_is_declined_with_a_scrubbed_reason() -> None:
    """The page names FAILED for refunds, in a 201."""
    assert judge_refund(refunded("FAILED")) == Declined(Fault.OTHER, "refund_failed", "call […]")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (refunded("PENDING"), "status_pending"),
        (refunded(""), "status_missing"),
        (refunded(amount=999), "other_amount"),
        (refunded(number="INV_OTHER"), "other_number"),
        (refunded(original="82015"), "other_request"),
        (paid(), "other_number"),
    ],
)
def test_refund_of_something_else_is_unknown(body: bytes, reason: str) -> None:
    """Only the answer to this refund settles it."""
    assert judge_refund(body) == Unknown(reason)


def test_unsigned_refund_result_is_unknown() -> None:
    """The rules of charges apply to refunds."""
    assert judge_refund(refunded(), trust=Trust.MISSING) == Unknown("no_signature")
    assert judge_refund(refunded("FAILED"), trust=Trust.WRONG) == Unknown("wrong_signature")


def test_refused_refund_follows_the_rules_of_a_charge() -> None:
    """Readable refusals decline, doubts stay unknown."""
    over = error("refund_window_over", about="INV_NUMBER_D009")
    refused = judge_refund(over, 400, Trust.MISSING)
    assert refused == Declined(Fault.OTHER, "refund_window_over", "because")
    assert isinstance(judge_refund(error("refund_window_over"), 400, Trust.MISSING), Unknown)
    repeated = judge_refund(error("E1", "already refunded"), 400, Trust.MISSING)
    assert isinstance(repeated, Unknown)
    assert isinstance(judge_refund(b"", 500), Unknown)

"""The answers of Check Status, and which of them settle a charge."""

import json
from typing import Any

import pytest

from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    Pending,
    StatusOutcome,
    Succeeded,
    Unknown,
    Waiting,
)
from billing.gateway.refusals import Answer, Trust
from billing.gateway.statuses import status

NUMBER = "INVR_2021_7105"
REQUEST_ID = "15022aab-444f-4b04-afa8-ddfce89432ec"


def known(said: object = "SUCCESS", **transaction: object) -> dict[str, Any]:
    """Write an answer in the shape recorded from DOKU's sandbox."""
    return {
        "order": {"invoice_number": NUMBER, "amount": 100000, "status": "ORDER_GENERATED"},
        "transaction": {
            "status": said,
            "type": "SALE",
            "date": "2020-08-11T08:45:40Z",
            "original_request_id": REQUEST_ID,
            **transaction,
        },
        "service": {"id": None},
        "channel": {"id": "EMONEY_OVO"},
    }


def judge(
    document: object,
    http_status: int = 200,
    trust: Trust = Trust.VERIFIED,
    identifier: str = NUMBER,
) -> StatusOutcome:
    """Judge an answer about our charge of 100,000 rupiah."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return status(Answer(http_status, body, trust), identifier, NUMBER, 100000)


@pytest.mark.parametrize("trust", [Trust.VERIFIED, Trust.MISSING])
@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("SUCCESS", Succeeded()),
        ("Success", Succeeded()),
        ("REFUNDED", Succeeded()),
        ("PENDING", Pending(Waiting.CUSTOMER)),
        ("REDIRECT", Pending(Waiting.CUSTOMER)),
        ("FAILED", Declined(Fault.OTHER, "failed")),
        ("EXPIRED", Declined(Fault.OTHER, "expired")),
    ],
)
def test_known_statuses_have_one_meaning(said: str, outcome: StatusOutcome, trust: Trust) -> None:
    """Signed, or unsigned but naming our number and amount: the GET's signature is unproven."""
    assert judge(known(said), trust=trust) == outcome


@pytest.mark.parametrize("said", ["TIMEOUT", "VOIDED", "REVERSED", "CANCELLED", "ODD", "", None])
def test_other_statuses_book_nothing(said: object) -> None:
    """An operator or another status query decides, not a guess."""
    assert isinstance(judge(known(said)), Unknown)


def test_wrong_signature_is_never_believed() -> None:
    """Not on an answer, and not on a 404."""
    not_found = {"error": {"code": "not_found", "message": "Order not found", "type": "x"}}

    assert judge(known(), trust=Trust.WRONG) == Unknown("wrong_signature")
    assert judge({}, trust=Trust.WRONG) == Unknown("wrong_signature")
    assert judge(not_found, 404, Trust.WRONG) == Unknown("wrong_signature")


@pytest.mark.parametrize("missing", ["invoice_number", "amount"])
@pytest.mark.parametrize("said", ["SUCCESS", "FAILED"])
def test_unsigned_answer_must_name_number_and_amount(missing: str, said: str) -> None:
    """Only they prove an unsigned answer; a signed one may omit them, as DOKU does."""
    document = known(said)
    del document["order"][missing]

    assert judge(document, trust=Trust.MISSING) == Unknown("no_signature")
    assert not isinstance(judge(document), Unknown)


@pytest.mark.parametrize("trust", [Trust.VERIFIED, Trust.MISSING])
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("invoice_number", "INVR_2021_7106", "other_number"),
        ("amount", 100001, "other_amount"),
        ("amount", "100000.50", "other_amount"),
    ],
)
def test_answer_about_something_else_is_unknown(
    field: str, value: object, reason: str, trust: Trust
) -> None:
    """Neither another order's success nor its failure is ours."""
    document = known()
    document["order"][field] = value

    assert judge(document, trust=trust) == Unknown(reason)


def test_amount_may_come_in_any_spelling() -> None:
    """The same order was seen with a string, a number and .00."""
    for spelling in ("100000", "100000.00", 100000.0):
        document = known()
        document["order"]["amount"] = spelling
        assert judge(document) == Succeeded()


@pytest.mark.parametrize("code", ["not_found", "TRANSACTION_NOT_FOUND"])
@pytest.mark.parametrize("trust", [Trust.MISSING, Trust.VERIFIED])
def test_documented_404_with_a_known_code_means_no_such_payment(code: str, trust: Trust) -> None:
    """Whether to believe it yet is decided elsewhere, by its age."""
    document = {"error": {"code": code, "message": "x", "type": "y"}}

    assert judge(document, 404, trust) == NotFound()


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"code": "NO_SUCH_THING", "message": "x", "type": "y"}},
        {"error": {"code": "not_found", "message": "Order not found"}},
        {"error": {"message": "Order not found"}},
    ],
)
def test_other_404_errors_are_believed_only_when_signed(document: object) -> None:
    """DOKU's own 404 is not known; a signature over our Request-Id says that it is DOKU's."""
    assert isinstance(judge(document, 404, Trust.MISSING), Unknown)
    assert judge(document, 404, Trust.VERIFIED) == NotFound()


@pytest.mark.parametrize("trust", [Trust.MISSING, Trust.VERIFIED])
@pytest.mark.parametrize(
    "document",
    [
        {"code": "TRANSACTION_NOT_FOUND", "message": "x", "type": "y"},
        {"message": ["ORDER NOT FOUND"]},
        {"message": "Not Found"},
        {"error": "not_found"},
    ],
)
def test_404_in_another_shape_says_nothing(document: object, trust: Trust) -> None:
    """A proxy that finds no route says the same."""
    assert isinstance(judge(document, 404, trust), Unknown)


@pytest.mark.parametrize(
    "document",
    [
        {"message": "No static resource orders/v1/status/INVR_2021_7105."},
        {"timestamp": 1, "status": 404, "error": "Not Found", "path": "/orders"},
        {"error": {"code": "invalid_client_id", "message": "x"}},
        b"<html>404</html>",
        b"",
    ],
)
def test_404_of_an_unrouted_path_says_nothing(document: object) -> None:
    """Otherwise a wrong base URL would make every payment disappear."""
    assert isinstance(judge(document, 404, Trust.MISSING), Unknown)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"transaction": None},
        {"order": {"invoice_number": NUMBER, "amount": 100000}},
        {"error": {"code": "not_found", "message": "x", "type": "y"}},
    ],
)
def test_signed_answer_without_a_transaction_is_not_found(document: object) -> None:
    """One official shop plugin expects a 2xx without a transaction for an unknown order."""
    assert judge(document) == NotFound()
    assert judge(document, trust=Trust.MISSING) == Unknown("no_signature")


@pytest.mark.parametrize("document", [{}, {"status": "ok"}, {"data": None}, {"message": "ok"}])
def test_blank_answer_without_a_signature_is_unknown(document: object) -> None:
    """A health page, or a proxy's `{}`, must not write a payment off."""
    assert isinstance(judge(document, trust=Trust.MISSING), Unknown)


@pytest.mark.parametrize(
    "document",
    [
        {"order": {"invoice_number": NUMBER, "status": "ORDER_GENERATED"}},
        {"order": {"status": "ORDER_EXPIRED"}, "transaction": None},
        {"order": {"invoice_number": "INVR_2021_7106"}},
        {"order": {"invoice_number": NUMBER}, "payment": {"status": "SUCCESS"}},
        {"transaction": "SUCCESS"},
        {"error": {"code": "internal", "message": "try later"}},
        b"[]",
        b"<html></html>",
        b"",
    ],
)
def test_order_or_error_without_a_transaction_is_unknown(document: object) -> None:
    """An order that exists is not "not found", nor is an error or a payment in another shape."""
    assert isinstance(judge(document), Unknown)


@pytest.mark.parametrize("http_status", [302, 400, 401, 403, 409, 429, 500, 503])
def test_every_other_http_status_is_unknown(http_status: int) -> None:
    """This holds for every body."""
    assert isinstance(judge(known(), http_status), Unknown)


def test_question_by_request_id_gets_its_own_answer() -> None:
    """The payment's record is never taken for its refund's; a refund's record is."""
    mine = "refund-request-1"
    refund = {**known(type="Refund"), "refund": {"amount": "100000.00"}}
    partial = {**known(type="REFUND"), "refund": {"amount": 1}}

    assert judge(known(), identifier=REQUEST_ID) == Succeeded()
    assert judge(known(), identifier=mine) == Unknown("other_request")
    assert judge(known(original_request_id=mine), identifier=mine) == Succeeded()
    assert judge(refund, identifier=mine) == Succeeded()
    assert judge(partial, identifier=mine) == Unknown("other_amount")


MINE = "refund-request-1"


@pytest.mark.parametrize("trust", [Trust.VERIFIED, Trust.MISSING])
@pytest.mark.parametrize("said", ["SUCCESS", "REFUNDED", "FAILED", "PENDING", "EXPIRED"])
@pytest.mark.parametrize(
    "transaction",
    [
        {"original_request_id": None},
        {"original_request_id": ""},
        {"original_request_id": None, "type": None},
        {"type": "SALE"},
        {"type": "PAYMENT", "original_request_id": None},
    ],
)
def test_a_record_that_does_not_say_that_it_is_the_refund_is_none(
    trust: Trust, said: str, transaction: dict[str, object]
) -> None:
    """It may be the payment's own record with the same amount: the refund stays unknown."""
    assert judge(known(said, **transaction), trust=trust, identifier=MINE) == Unknown(
        "other_request"
    )


def test_a_sale_that_tells_of_its_refunds_is_not_the_refund() -> None:
    """A block about a refund does not make the payment's record the refund's."""
    record = {**known(), "refund": {"amount": 100000}}

    assert judge(record, identifier=MINE) == Unknown("other_request")


@pytest.mark.parametrize(
    ("transaction", "outcome"),
    [
        ({"type": "REFUND"}, Unknown("other_request")),
        ({"type": "REFUND", "original_request_id": None}, Unknown("other_request")),
        ({"type": "REFUND", "original_request_id": MINE}, Succeeded()),
        ({"original_request_id": MINE}, Succeeded()),
    ],
)
def test_refunded_is_what_a_payment_is(
    transaction: dict[str, object], outcome: StatusOutcome
) -> None:
    """DOKU lists it as a payment's status: another refund may be why, unless ours is named."""
    assert judge(known("REFUNDED", **transaction), identifier=MINE) == outcome


@pytest.mark.parametrize("trust", [Trust.VERIFIED, Trust.MISSING])
@pytest.mark.parametrize("said", ["SUCCESS", "PENDING", "FAILED", "EXPIRED", "REFUNDED", "VOIDED"])
def test_another_amount_under_our_number_says_whether_it_is_held(said: str, trust: Trust) -> None:
    """An operator must see the amount, and when the gateway has none of it any more."""
    document = known(said)
    document["order"]["amount"] = 30_000

    found = judge(document, trust=trust)

    assert isinstance(found, Unknown)
    ends = {"FAILED", "EXPIRED", "REFUNDED"}
    assert found.reason == f"other_amount_{said.lower()}" if said in ends else "other_amount"
    assert found.amount == 30_000


@pytest.mark.parametrize("said", ["FAILED", "EXPIRED"])
def test_a_failure_says_whether_it_was_signed(said: str) -> None:
    """An end that cannot be undone needs a signature, so the outcome must keep that fact."""
    for trust, is_signed in ((Trust.VERIFIED, True), (Trust.MISSING, False)):
        found = judge(known(said), trust=trust)
        assert isinstance(found, Declined)
        assert found.is_signed is is_signed

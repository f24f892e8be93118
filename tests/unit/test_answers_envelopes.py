"""Reading DOKU's answers: every envelope that was seen, and the scrubbed texts."""

import json

import pytest

from billing.domain.outcomes import Fault
from billing.gateway.envelopes import Complaint, complaint, fold, parse, scrub, whole
from billing.gateway.faults import Faults

BINDING_SAMPLE = b"""{
    "ovo_account": {
        "registration_url": "https://jokul.doku.com/ovo-open-api/registration/sessionId/2781",
        "status": "PENDING",
    }
}"""


@pytest.mark.parametrize(
    ("value", "rupiah"),
    [
        ("100000", 100000),
        ("100000.00", 100000),
        ('"100000"', 100000),
        ('"100000.00"', 100000),
        ('" 100000 "', 100000),
        ("1E5", 100000),
        ("0", 0),
        ("100000.01", None),
        ("100000.00000000000000001", None),
        ('"100000.50"', None),
        ('"100,000"', None),
        ('"IDR 100000"', None),
        ('"١٠٠"', None),
        ('""', None),
        ("true", None),
        ("null", None),
        ("[]", None),
        ("-1", None),
        ("1e999999", None),
        ("10000000000", None),
    ],
)
def test_amounts_are_read_as_whole_rupiah_or_not_at_all(value: str, rupiah: int | None) -> None:
    """An integer, a decimal and a numeric string can be equal; a fraction is not read."""
    document = parse(b'{"amount": ' + value.encode() + b"}")

    assert document is not None
    assert whole(document["amount"]) == rupiah


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<html><body>Bad Gateway</body></html>",
        b'{"order":',
        b"[]",
        b'"text"',
        b"null",
        b"NaN",
        b'{"amount": NaN}',
        b'{"amount": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        BINDING_SAMPLE,
    ],
)
def test_a_body_that_is_not_a_json_object_is_none(body: bytes) -> None:
    """Invalid text of any kind is read as None and never raises."""
    assert parse(body) is None


def test_trailing_commas_are_forgiven_only_when_asked() -> None:
    """The page's binding sample has one; a comma inside a text stays where it is."""
    forgiven = parse(BINDING_SAMPLE, trailing_commas=True)
    text = parse(rb'{"a": ",}", "b": "\",]", "c": [1, ], }', trailing_commas=True)

    assert forgiven is not None
    assert forgiven["ovo_account"]["status"] == "PENDING"  # type: ignore[index] # read as a test
    assert text == {"a": ",}", "b": '",]', "c": [1]}


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        (
            {"error": {"code": "invalid_token", "message": "Token is bad", "type": "x"}},
            "invalid_token",
            "Token is bad",
        ),
        ({"code": "E1", "message": "No", "type": "x"}, "E1", "No"),
        ({"error": {"code": 4031, "message": ["No", "way"]}}, "4031", "No; way"),
        ({"error": {"message": "Order not found"}}, "order_not_found", "Order not found"),
        (
            {"message": ["PAYMENT CHANNEL IS INACTIVE"]},
            "payment_channel_is_inactive",
            "PAYMENT CHANNEL IS INACTIVE",
        ),
        (
            {"error_messages": ["ORDER.AMOUNT IS MANDATORY"]},
            "order_amount_is_mandatory",
            "ORDER.AMOUNT IS MANDATORY",
        ),
        (
            {"error": "insufficient_funds", "message": "Top up"},
            "insufficient_funds",
            "Top up",
        ),
        (
            {"status": "FAILED", "response_code": "INVALID_TOKEN", "message": "x"},
            "INVALID_TOKEN",
            "x",
        ),
        ({"message": "Balance too low"}, "balance_too_low", "Balance too low"),
    ],
)
def test_every_error_envelope_is_read(document: dict[str, object], code: str, message: str) -> None:
    """An error is an object or a string, a message a string or a list, wrapped or at the top."""
    assert complaint(json.dumps(document).encode()) == Complaint(code, message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>404</html>",
        b"{}",
        b'{"message": ""}',
        b'{"error": {}}',
        b'{"error": null, "message": []}',
        b'{"message": "No static resource ovo-open-api/v1/payment-recurring."}',
        b'{"message": "no Route matched with those values"}',
        b'{"message": "Not Found"}',
        b'{"error": "Not Found", "status": 404}',
        b'{"timestamp": 1, "status": 400, "error": "Bad Request", "path": "/ovo-open-api/v1/x"}',
        b'{"order": {"invoice_number": "INV-1"}}',
    ],
)
def test_error_pages_and_unrouted_paths_are_no_complaints(body: bytes) -> None:
    """A message of a framework or a proxy says nothing about a payment."""
    assert complaint(body) is None


def test_words_that_leave_have_lost_whom_they_are_about() -> None:
    """Phones, e-mail addresses and tokens are cut out; a line stays a short line."""
    said = scrub(
        "Customer budi.s@example.co.id with +62 812-3456-7890 and ****3021\n"
        "token c15d437b56b918abaa3951b0beb48a57 is over the limit of 2000\x00" + "x" * 300
    )

    for private in ("budi", "812", "7890", "c15d", "\n", "\x00"):
        assert private not in said
    assert "over the limit of 2000" in said
    assert len(said) <= 120


def test_token_at_the_edge_of_a_long_text_is_not_shown_in_half() -> None:
    """A text is cut between words before it is scrubbed."""
    token = "c15d437b56b918abaa3951b0beb48a57"
    said = scrub(" ".join([token] * 15))

    assert said
    assert token[:6] not in said


def test_code_with_a_phone_or_token_inside_is_scrubbed() -> None:
    """A code is the gateway's text too."""
    body = b'{"error": {"code": "user 081234567890 a@b.id", "message": "x"}}'

    said = complaint(body)

    assert said is not None
    assert "0812" not in said.code
    assert "@" not in said.code


@pytest.mark.parametrize("spelling", ["CREDIT CARD", "credit_card", " Credit-Card "])
def test_spellings_fold_to_one_word(spelling: str) -> None:
    """Case, blanks, dashes and underscores make no difference."""
    assert fold(spelling) == "credit_card"


@pytest.mark.parametrize(
    ("code", "message", "fault"),
    [
        ("insufficient_funds", "", Fault.INSUFFICIENT_FUNDS),
        ("OVO-41", "Saldo tidak mencukupi", Fault.OTHER),
        ("4035714", "", Fault.INSUFFICIENT_FUNDS),
        ("4035702", "", Fault.LIMIT),
        ("4035704", "", Fault.LIMIT),
        ("4035703", "", Fault.HARD),
        ("4035705", "", Fault.OTHER),
        ("4035706", "", Fault.TECHNICAL),
        ("4035709", "", Fault.WALLET),
        ("4015702", "", Fault.WALLET),
        ("4015700", "", Fault.OTHER),
        ("AMOUNT_LIMIT_EXCEEDED", "", Fault.OTHER),
        ("blocked", "Your IP address is blocked", Fault.OTHER),
        ("suspected_fraud", "", Fault.HARD),
        ("INVALID_TOKEN", "", Fault.WALLET),
        ("account_error", "OVO account is inactive", Fault.OTHER),
        ("payment_channel_is_inactive", "PAYMENT CHANNEL IS INACTIVE", Fault.OTHER),
        ("MERCHANT_NOT_ACTIVE", "", Fault.TECHNICAL),
        ("account_error", "", Fault.OTHER),
        ("never_heard_of", "of this", Fault.OTHER),
    ],
)
def test_complaints_are_classed_by_one_table(code: str, message: str, fault: Fault) -> None:
    """It is classified by its whole code, never by its message; a code in no table is OTHER."""
    assert Faults({}).of(Complaint(code, message)) is fault


def test_settings_overrule_the_table_in_any_spelling() -> None:
    """DOKU publishes no list, so the settings win, even over a number."""
    faults = Faults({"E-41": Fault.LIMIT, "4035714": Fault.TECHNICAL})

    assert faults.of(Complaint("e_41", "insufficient balance")) is Fault.LIMIT
    assert faults.of(Complaint("4035714", "")) is Fault.TECHNICAL

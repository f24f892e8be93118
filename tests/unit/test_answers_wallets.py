"""Answers about wallets: registration URLs, tokens, balances and unbinding."""

import json

import pytest

from billing.domain.outcomes import (
    Balance,
    BindingStarted,
    Declined,
    Fault,
    Succeeded,
    Token,
    Tokens,
    Unknown,
    Unsent,
)
from billing.gateway import answers
from billing.gateway.faults import Faults
from billing.gateway.refusals import Answer, Trust

FAULTS = Faults({})
TOKEN = "c15d437b56b918abaa3951b0beb48a57"
WALLET = {"issuer": "OVO", "token_id": TOKEN, "masked_phone_number": "****3021"}


def answer(document: object, status: int = 201, trust: Trust = Trust.VERIFIED) -> Answer:
    """Wrap a document, or raw bytes, as an answer."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(status, body, trust)


def account(**fields: object) -> dict[str, object]:
    """Write the block that all wallet answers share."""
    return {"customer": {"id": "c1"}, "ovo_account": fields}


def test_page_sample_of_a_binding_is_understood() -> None:
    """It has a trailing comma and lacks the phone that the table calls mandatory."""
    body = b"""{"customer": {"id": "CUSTOMER_OVOxDOKU", "additional_info": "None"},
        "ovo_account": {
            "registration_url": "https://jokul.doku.com/ovo-open-api/registration/2781",
            "status": "PENDING",
        }
    }"""

    url = "https://jokul.doku.com/ovo-open-api/registration/2781"
    assert answers.binding(answer(body), FAULTS) == BindingStarted(url)


@pytest.mark.parametrize("url", ["https://x.doku.com/r", "http://127.0.0.1:9/r"])
def test_registration_url_may_have_any_host_when_private(url: str) -> None:
    """Https anywhere, http on this machine."""
    found = answers.binding(answer(account(registration_url=url)), FAULTS)

    assert found == BindingStarted(url)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"registration_url": ""},
        {"registration_url": "http://x.doku.com/r"},
        {"registration_url": "javascript:alert(1)"},
        {"registration_url": 5},
        {"registration_url": "https://x.doku.com/r", "status": "FAILED"},
    ],
)
def test_binding_without_a_private_url_is_unknown(fields: dict[str, object]) -> None:
    """A customer is never sent to an unencrypted URL."""
    assert isinstance(answers.binding(answer(account(**fields)), FAULTS), Unknown)


def test_binding_that_is_refused_says_why() -> None:
    """A phone that is registered already is a plain refusal here: no money depends on it."""
    said = {"code": "account_error", "message": "Phone already used", "type": "x"}
    error = {"error": said}

    outcome = answers.binding(answer(error, 400, Trust.MISSING), FAULTS)

    assert outcome == Declined(Fault.OTHER, "account_error", "Phone already used")
    url = account(registration_url="https://x.doku.com/r")
    assert answers.binding(answer(url, 201, Trust.MISSING), FAULTS) == Unknown("no_signature")
    assert answers.binding(answer(b"", 429), FAULTS) == Unsent("rate_limited")


@pytest.mark.parametrize(
    "listing",
    [
        {"wallet": WALLET},
        {"wallet": [WALLET]},
        {"wallets": [WALLET]},
        {"tokens": [WALLET]},
        {"wallet": WALLET, "tokens": [WALLET]},
        {"wallet": {**WALLET, "issuer": "ovo", "type": "wallet recurring"}},
        {"wallets": [{**WALLET, "issuer": "DANA", "token_id": "x"}, WALLET]},
        {"wallets": [{**WALLET, "status": "INACTIVE", "token_id": "x"}, WALLET]},
        {"wallets": [{**WALLET, "type": "CREDIT CARD", "token_id": "x"}, WALLET]},
    ],
)
def test_tokens_are_found_in_every_container(listing: dict[str, object]) -> None:
    """One object, a list, `wallets` or `tokens`; only live recurring OVO tokens count."""
    document = {"customer": {"id": "c1"}, "token_data": {"type": "WALLET_RECURRING"}, **listing}

    found = answers.tokens(answer(document, 200), "c1", FAULTS)

    assert found == Tokens((Token(TOKEN, "****3021"),))


def test_several_tokens_keep_their_order() -> None:
    """Which of them is the wallet's is decided by its masked phone, elsewhere."""
    second = {**WALLET, "token_id": "t2", "masked_phone_number": "****9999"}

    found = answers.tokens(answer({"wallet": [WALLET, second]}), "c1", FAULTS)

    assert found == Tokens((Token(TOKEN, "****3021"), Token("t2", "****9999")))


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"customer": {"id": "c1"}}, 200),
        ({"wallet": None}, 200),
        ({"wallet": {}}, 200),
        ({"tokens": []}, 200),
        ({"token_data": {"type": "WALLET"}, "wallet": WALLET}, 200),
        ({"error": {"code": "not_found", "message": "Customer not found", "type": "x"}}, 404),
    ],
)
def test_customer_without_a_wallet_has_no_tokens(document: object, status: int) -> None:
    """None linked yet is an answer, not an error."""
    assert answers.tokens(answer(document, status), "c1", FAULTS) == Tokens(())


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"wallet": {"issuer": "OVO"}}, 200),
        ({"wallet": {**WALLET, "token_id": "t" * 129}}, 200),
        ({"wallet": {**WALLET, "token_id": "a b"}}, 200),
        ({"wallet": "none"}, 200),
        ({"customer": {"id": "c2"}, "wallet": WALLET}, 200),
        ({"message": "No static resource tokenization/v1/tokens."}, 404),
        (b"[]", 200),
        (b"", 500),
    ],
)
def test_unreadable_token_list_is_not_an_empty_one(document: object, status: int) -> None:
    """A wallet must not seem unlinked after an answer that is garbled or about another customer."""
    assert isinstance(answers.tokens(answer(document, status), "c1", FAULTS), Unknown)


def test_unsigned_token_list_is_unknown() -> None:
    """A token decides whose wallet is charged."""
    unsigned = answer({"wallet": WALLET}, 200, Trust.MISSING)

    assert answers.tokens(unsigned, "c1", FAULTS) == Unknown("no_signature")


def test_forged_absence_is_unknown() -> None:
    """A wrongly signed "not found" neither unlinks a wallet nor confirms an unbinding."""
    error = {"error": {"code": "not_found", "message": "Token not found", "type": "x"}}
    forged = answer(error, 404, Trust.WRONG)

    assert answers.tokens(forged, "c1", FAULTS) == Unknown("wrong_signature")
    assert answers.unbinding(forged, TOKEN, FAULTS) == Unknown("wrong_signature")


@pytest.mark.parametrize(
    ("cash", "points", "expected"),
    [
        (100000, 5000, Balance(100000, 5000)),
        ("100000", "5000.00", Balance(100000, 5000)),
        (0, None, Balance(0, 0)),
    ],
)
def test_balance_is_read_in_whole_rupiah(cash: object, points: object, expected: Balance) -> None:
    """Numbers or numeric strings; without a points programme there are no points."""
    document = account(ovo_cash_balance=cash, ovo_point_balance=points)

    assert answers.balance(answer(document), FAULTS) == expected


@pytest.mark.parametrize(
    "fields", [{}, {"ovo_cash_balance": -5}, {"ovo_cash_balance": 5, "ovo_point_balance": "few"}]
)
def test_unreadable_balance_is_unknown(fields: dict[str, object]) -> None:
    """No balance is better than a wrong one."""
    assert isinstance(answers.balance(answer(account(**fields)), FAULTS), Unknown)


@pytest.mark.parametrize("status", ["SUCCESS", "DELETED", "DELETED Token", "Inactive"])
def test_every_spelling_of_an_unbinding_is_success(status: str) -> None:
    """Table, sample and the next version of the API each use another word."""
    document = account(token_id=TOKEN, status=status, message="Success Unbinding Ovo Account")

    assert answers.unbinding(answer(document), TOKEN, FAULTS) == Succeeded()


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        ("not_found", "Token not found", 404),
        ("invalid_token", "bad", 400),
        ("INVALID_TOKEN", "bad", 401),
        ("token_not_found", "x", 400),
    ],
)
def test_token_that_is_already_gone_counts_as_unbound(code: str, message: str, status: int) -> None:
    """An unbinding is repeated until it is confirmed; a token that is already gone counts."""
    error = {"error": {"code": code, "message": message, "type": "x"}}

    gone = answers.unbinding(answer(error, status, Trust.MISSING), TOKEN, FAULTS)

    assert gone == Succeeded()


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (account(token_id=TOKEN, status="PENDING"), 201),
        (account(token_id="other", status="SUCCESS"), 201),
        ({"message": "No static resource ovo-open-api/v1/token-delete."}, 404),
        ({"message": "Not Found"}, 404),
        ({"error": {"code": "not_found", "message": "Token not found"}}, 404),
        ({"message": "Missing Authentication Token"}, 403),
        (b"<html></html>", 404),
        (b"", 500),
        ({"error": {"code": "not_found", "message": "Token not found"}}, 500),
        ({"error": {"code": "not_found", "message": "Token not found"}, "wallet": WALLET}, 201),
    ],
)
def test_unclear_unbinding_is_unknown(document: object, status: int) -> None:
    """An unrouted path is not a deleted token."""
    assert isinstance(answers.unbinding(answer(document, status), TOKEN, FAULTS), Unknown)


def test_words_about_a_token_unlink_nothing() -> None:
    """Only a known code does, in the documented envelope."""
    error = {"error": {"code": "E1", "message": "Token already deleted", "type": "x"}}

    unclear = answers.unbinding(answer(error, 400, Trust.MISSING), TOKEN, FAULTS)

    assert unclear == Unknown("http_400 E1")


def test_refused_unbinding_is_declined() -> None:
    """A refusal in either form carries its reason."""
    failed = answer(account(token_id=TOKEN, status="FAILED", message="later"))
    said = {"code": "account_error", "message": "no", "type": "x"}
    refused = answer({"error": said}, 400, Trust.MISSING)

    assert answers.unbinding(failed, TOKEN, FAULTS) == Declined(
        Fault.OTHER, "unbind_failed", "later"
    )
    assert answers.unbinding(refused, TOKEN, FAULTS) == Declined(Fault.OTHER, "account_error", "no")

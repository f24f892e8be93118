"""The whole DOKU client with a scripted server: its requests, and how it reads answers."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from billing.domain.errors import InvalidValue
from billing.domain.outcomes import (
    Balance,
    Binding,
    BindingStarted,
    Declined,
    Fault,
    Gateway,
    NotFound,
    Payer,
    Payment,
    Pending,
    RefundOrder,
    SealedPayment,
    Succeeded,
    Token,
    Tokens,
    Unknown,
    Unsent,
    Waiting,
)
from billing.gateway import signing
from billing.gateway.doku import DokuGateway
from tests.unit.gateway_peer import (
    ANSWERED_AT,
    CLIENT_ID,
    NOW,
    SECRET,
    Line,
    Peer,
    Request,
    reply,
    signed_reply,
    unused_port,
)

NUMBER = "INVR_2021_7105"
TOKEN = "c15d437b56b918abaa3951b0beb48a57"
PAYER = Payer("CUST_UAT_31", "QA Shifter", "087123123021", "qa@example.com")
PAYMENT = Payment(PAYER, NUMBER, 100000, TOKEN, False, False, "Netflix")

Answerer = Callable[[Request], bytes]


def signed_without_digest(request: Request) -> bytes:
    """Answer a payment with a signature that leaves the body out."""
    component = signing.response_component(
        CLIENT_ID, request.headers["request-id"], ANSWERED_AT, request.target
    )
    signature = signing.sign(SECRET.encode(), component).decode()
    body = json.dumps(paid()).encode()
    return reply(body, 201, Response_Timestamp=ANSWERED_AT, Signature=signature)


@contextmanager
def gateway(
    url: str, *, seconds: float = 5, now: datetime = NOW, faults: dict[str, Fault] | None = None
) -> Iterator[DokuGateway]:
    """Make a client of the peer, and leave no socket open."""
    made = DokuGateway(url, CLIENT_ID, SECRET, seconds, lambda: now, fault_overrides=faults)
    with closing(made):
        yield made


def peer_that(answer: Answerer) -> Peer:
    """Make a peer that answers each request with what `answer` makes of it."""

    def script(line: Line) -> None:
        while (request := line.read()) is not None:
            line.write(answer(request))

    return Peer(script)


def signed(document: object, status: int = 201) -> Answerer:
    """Answer with a signed document."""
    body = json.dumps(document).encode()
    return lambda request: signed_reply(request, body, status)


def unsigned(document: object, status: int, **headers: str) -> Answerer:
    """Answer with an unsigned document."""
    return lambda _: reply(json.dumps(document).encode(), status, **headers)


def sealed(made: DokuGateway, request_id: str = "req-1") -> SealedPayment:
    """Compose our payment and fix what goes on the wire."""
    return SealedPayment(request_id, NUMBER, 100000, made.compose(PAYMENT))


def paid(status: str = "SUCCESS") -> dict[str, Any]:
    """Write the answer to our payment."""
    return {
        "order": {"invoice_number": NUMBER, "amount": 100000},
        "payment": {"status": status},
    }


def test_client_is_a_gateway() -> None:
    """It satisfies the protocol of the domain."""
    with gateway("http://127.0.0.1:1") as made:
        checked: Gateway = made

    assert checked is made


def test_charge_is_signed_over_the_bytes_that_arrive() -> None:
    """The composed bytes are sent as they are, stamped now, with a signature that verifies."""
    jakarta = NOW.astimezone(timezone(timedelta(hours=7)))
    with peer_that(signed(paid())) as peer, gateway(peer.url, now=jakarta) as made:
        payment = sealed(made)
        assert made.pay(payment) == Succeeded()

    (request,) = peer.requests
    assert (request.method, request.target) == ("POST", "/ovo-open-api/v1/payment-recurring")
    assert request.body == payment.body
    assert request.headers["client-id"] == CLIENT_ID
    assert request.headers["request-id"] == "req-1"
    assert request.headers["request-timestamp"] == "2020-08-11T08:45:42Z"
    assert request.headers["content-type"] == "application/json"
    component = signing.request_component(
        CLIENT_ID,
        "req-1",
        "2020-08-11T08:45:42Z",
        request.target,
        signing.digest(request.body),
    )
    assert signing.verify(SECRET.encode(), component, request.headers["signature"].encode())


def test_same_payment_is_sent_as_the_same_bytes() -> None:
    """A second sending repeats id, number and body; only stamp and signature may differ."""
    with peer_that(signed(paid("PENDING"))) as peer, gateway(peer.url) as made:
        payment = sealed(made)
        assert made.pay(payment) == made.pay(payment) == Pending(Waiting.CUSTOMER)

    first, second = peer.requests
    assert first.body == second.body
    assert first.headers["request-id"] == second.headers["request-id"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: signed_reply(request, json.dumps(paid()).encode(), secret="other"),
        lambda request: signed_reply(request, json.dumps(paid()).encode()).replace(
            b"SUCCESS", b"SUCCEZZ"
        ),
        lambda request: signed_reply(request, json.dumps(paid()).encode()).replace(
            ANSWERED_AT.encode(), b"2020-08-11T08:45:44Z"
        ),
        lambda request: signed_reply(
            Request("POST", request.target, {"request-id": "req-2"}, b""),
            json.dumps(paid()).encode(),
        ),
        lambda request: reply(json.dumps(paid()).encode(), 201, Signature="HMACSHA256=é"),
        signed_without_digest,
    ],
)
def test_spoilt_signature_is_unknown(spoil: Answerer) -> None:
    """Another key, body, time or request, no base64, no digest: no answer to this request."""
    with peer_that(spoil) as peer, gateway(peer.url) as made:
        assert made.pay(sealed(made)) == Unknown("wrong_signature")


def test_answer_that_ends_in_its_headers_is_unknown() -> None:
    """The library takes half a head for a whole answer; without a signature it is unknown."""

    def script(line: Line) -> None:
        line.read()
        line.write(b"HTTP/1.1 201 Created\r\nContent-Len")

    with Peer(script) as peer, gateway(peer.url) as made:
        assert made.pay(sealed(made)) == Unknown("no_signature")


def test_unsigned_success_is_unknown() -> None:
    """Without a signature a success is unknown."""
    with peer_that(unsigned(paid(), 201)) as peer, gateway(peer.url) as made:
        assert made.pay(sealed(made)) == Unknown("no_signature")


def test_repeated_charge_gets_the_original_answer() -> None:
    """A signed 409 with our payment is the first answer again."""
    with peer_that(signed(paid(), 409)) as peer, gateway(peer.url) as made:
        assert made.pay(sealed(made)) == Succeeded()


def test_refusals_carry_the_settings_fault() -> None:
    """The settings win over the table."""
    error = {"error": {"code": "E41", "message": "no", "type": "x"}}
    with (
        peer_that(unsigned(error, 400)) as peer,
        gateway(peer.url, faults={"e41": Fault.LIMIT}) as made,
    ):
        assert made.pay(sealed(made)) == Declined(Fault.LIMIT, "E41", "no")


def test_rate_limit_carries_the_wait() -> None:
    """The header reaches the outcome's reason; the message that no body was read proves nothing."""
    with peer_that(unsigned({}, 429, Retry_After="7")) as peer, gateway(peer.url) as made:
        limited = made.pay(sealed(made))
    assert limited == Unsent("rate_limited retry_after=7")
    assert isinstance(limited, Unsent)
    assert limited.by_answer


def test_dead_and_deaf_gateways_are_told_apart() -> None:
    """A refused connection charged nothing; a silent one may have."""
    with gateway(f"http://127.0.0.1:{unused_port()}") as made:
        refused = made.pay(sealed(made))
        assert refused == Unsent("not_connected")
        assert isinstance(refused, Unsent)
        assert not refused.by_answer
        assert made.list_tokens("c1") == Unsent("not_connected")
        assert made.check_status(NUMBER, NUMBER, 100000) == Unknown("connection_lost")

    with Peer(lambda line: (line.read(), peer.done.wait(10))) as peer:
        with gateway(peer.url, seconds=0.2) as made:
            assert made.pay(sealed(made)) == Unknown("read_timeout")
        peer.done.set()


def test_binding_leads_to_a_registration_url() -> None:
    """The customer confirms on OVO's page."""
    answer = {
        "ovo_account": {"registration_url": "https://jokul.doku.com/r/1", "status": "PENDING"}
    }
    binding = Binding("bind-1", PAYER, "6287123123021", "https://a.id/y", "https://a.id/n")
    with peer_that(signed(answer)) as peer, gateway(peer.url) as made:
        assert made.bind(binding) == BindingStarted("https://jokul.doku.com/r/1")

    assert peer.requests[0].target == "/ovo-open-api/v1/token"
    assert peer.requests[0].headers["request-id"] == "bind-1"


def test_wallet_is_inquired_with_fresh_request_ids() -> None:
    """Tokens and balance are asked with an id of their own each time."""
    answer = {
        "wallet": {"issuer": "OVO", "token_id": TOKEN, "masked_phone_number": "****3021"},
        "ovo_account": {"ovo_cash_balance": 100000, "ovo_point_balance": 5},
    }
    with peer_that(signed(answer, 200)) as peer, gateway(peer.url) as made:
        assert made.list_tokens("CUST_UAT_31") == Tokens((Token(TOKEN, "****3021"),))
        assert made.balance("CUST_UAT_31", TOKEN) == Balance(100000, 5)
        assert made.balance("CUST_UAT_31", TOKEN) == Balance(100000, 5)

    assert [request.target for request in peer.requests] == [
        "/tokenization/v1/tokens",
        "/ovo-open-api/v1/balance",
        "/ovo-open-api/v1/balance",
    ]
    assert len({request.headers["request-id"] for request in peer.requests}) == 3


def test_refund_and_unbinding_use_the_given_request_id() -> None:
    """They are repeated under the same id until they are confirmed."""
    order = RefundOrder("refund-1", "req-1", NUMBER, 1000, "Cancel Order")
    answer = {
        "order": {"invoice_number": NUMBER},
        "payment": {"original_request_id": "req-1"},
        "refund": {"amount": 1000, "status": "SUCCESS"},
        "ovo_account": {"token_id": TOKEN, "status": "SUCCESS"},
    }
    with peer_that(signed(answer)) as peer, gateway(peer.url) as made:
        assert made.refund(order) == Succeeded()
        assert made.unbind(PAYER, TOKEN, "unbind-1") == Succeeded()

    assert [(r.target, r.headers["request-id"]) for r in peer.requests] == [
        ("/ovo-open-api/v1/payment-refund", "refund-1"),
        ("/ovo-open-api/v1/token-delete", "unbind-1"),
    ]


def test_status_is_asked_by_a_signed_get_without_a_body() -> None:
    """Four signed lines, a fresh Request-Id for each question, no body."""
    error = {"code": "not_found", "message": "Order not found", "type": "x"}
    answer = unsigned({"error": error}, 404)
    with peer_that(answer) as peer, gateway(peer.url) as made:
        assert made.check_status(NUMBER, NUMBER, 100000) == NotFound()
        assert made.check_status("req-1", NUMBER, 100000) == NotFound()

    first, second = peer.requests
    assert (first.method, first.target) == ("GET", f"/orders/v1/status/{NUMBER}")
    assert second.target == "/orders/v1/status/req-1"
    assert first.headers["request-id"] != second.headers["request-id"]
    assert first.body == b""
    assert "content-type" not in first.headers
    component = signing.request_component(
        CLIENT_ID, first.headers["request-id"], "2020-08-11T08:45:42Z", first.target
    )
    assert signing.verify(SECRET.encode(), component, first.headers["signature"].encode())


@pytest.mark.parametrize("with_digest", [True, False])
def test_status_may_be_signed_with_or_without_a_digest(with_digest: bool) -> None:
    """DOKU's pages do not say which for a GET; anything else is wrong."""
    body = json.dumps(
        {
            "order": {"invoice_number": NUMBER, "amount": "100000.00"},
            "transaction": {"status": "SUCCESS"},
        }
    ).encode()

    def answer(request: Request, secret: str = SECRET) -> bytes:
        component = signing.response_component(
            CLIENT_ID,
            request.headers["request-id"],
            ANSWERED_AT,
            request.target,
            signing.digest(body) if with_digest else None,
        )
        signature = signing.sign(secret.encode(), component).decode()
        return reply(body, 200, Response_Timestamp=ANSWERED_AT, Signature=signature)

    with peer_that(answer) as peer, gateway(peer.url) as made:
        assert made.check_status(NUMBER, NUMBER, 100000) == Succeeded()
    with peer_that(lambda request: answer(request, "other")) as peer, gateway(peer.url) as made:
        assert made.check_status(NUMBER, NUMBER, 100000) == Unknown("wrong_signature")


@pytest.mark.parametrize("identifier", ["", "a/b", "a?b", "a b", "../x", "a" * 129])
def test_identifier_that_would_change_the_path_is_not_asked(identifier: str) -> None:
    """The signed path is the requested one, without escaping."""
    with gateway("http://127.0.0.1:1") as made:
        outcome = made.check_status(identifier, NUMBER, 100000)

    assert outcome == Unknown("identifier_not_askable")


def test_value_past_a_limit_is_refused_before_anything_is_sent() -> None:
    """Composing raises; every other call answers with a refusal that says what is wrong."""
    long = Payer("i" * 51, "n")
    with peer_that(signed({})) as peer, gateway(peer.url) as made:
        with pytest.raises(InvalidValue):
            made.compose(Payment(long, NUMBER, 1, TOKEN, False, False, ""))
        refused = [
            made.bind(Binding("b", long, "62", "https://a.id", "https://a.id")),
            made.list_tokens("i" * 51),
            made.balance("c1", ""),
            made.refund(RefundOrder("r", "req-1", NUMBER, 0, "")),
            made.unbind(long, TOKEN, "u"),
            made.pay(SealedPayment("not\r\na: header", NUMBER, 1, b"{}")),
        ]

    assert peer.requests == []
    assert all(isinstance(outcome, Declined) for outcome in refused)
    assert {outcome.code for outcome in refused if isinstance(outcome, Declined)} == {
        "invalid_value"
    }

"""The DOKU client: signs each call, sends it once and judges its answer.

The client combines codec, signing, transport and answers and decides nothing itself. It does not
know rows, or when to repeat a call.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

from billing.call_times import CallTimes
from billing.domain.errors import InvalidValue, NotConfigured
from billing.domain.outcomes import (
    BalanceOutcome,
    Binding,
    BindOutcome,
    Declined,
    Fault,
    Outcome,
    Payer,
    Payment,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    StatusOutcome,
    TokensOutcome,
    UnbindOutcome,
    Unknown,
    Unsent,
)
from billing.gateway import answers, codec, signing
from billing.gateway.faults import Faults
from billing.gateway.refusals import Answer, Trust
from billing.gateway.statuses import status
from billing.gateway.transport import Answered, NoAnswer, NotSent, Transport

BIND = "/ovo-open-api/v1/token"
TOKENS = "/tokenization/v1/tokens"
BALANCE = "/ovo-open-api/v1/balance"
PAY = "/ovo-open-api/v1/payment-recurring"
REFUND = "/ovo-open-api/v1/payment-refund"
UNBIND = "/ovo-open-api/v1/token-delete"
STATUS = "/orders/v1/status/"

# DOKU's own shop plugins wait 45 s for checkout and status. A charge waits longer: OVO itself ends
# a payment after up to 70 s (DOKU, OVO Push).
OTHER_CALLS_MAX_SECONDS = 45.0


class DokuGateway:
    """
    The gateway protocol over HTTP.

    `timeout_seconds` is how long a charge waits for its answer; other calls wait as long, but at
    most 45 s. `real_now` is real time, even with a test clock: signatures are checked against it.
    `fault_overrides` maps gateway codes to faults and takes precedence over the table. `times`
    counts how long the calls took. `plain_host` may be called by plain http, for development.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        secret_key: str,
        timeout_seconds: Decimal | float,
        real_now: Callable[[], datetime],
        *,
        fault_overrides: Mapping[str, Fault] | None = None,
        proxy: str = "",
        ca_file: str = "",
        times: CallTimes | None = None,
        plain_host: str = "",
    ) -> None:
        if not secret_key or not client_id.isascii() or not client_id.isprintable():
            raise NotConfigured("the gateway's client id or secret key is missing or garbled")
        if not client_id.strip() or timeout_seconds <= 0:
            raise NotConfigured("the gateway needs a client id and a timeout above zero")
        self._transport = Transport(
            base_url, proxy=proxy, ca_file=ca_file, times=times, plain_host=plain_host
        )
        self._plain_host = plain_host
        self._client_id = client_id
        self._secret = secret_key.encode()
        self._pay_seconds = float(timeout_seconds)
        self._other_seconds = min(OTHER_CALLS_MAX_SECONDS, self._pay_seconds)
        self._real_now = real_now
        self._faults = Faults(fault_overrides or {})
        self._base_url = base_url

    def __repr__(self) -> str:
        return f"DokuGateway({self._base_url!r}, {self._client_id!r}, secret_key=…)"

    def close(self) -> None:
        """Close this thread's connections."""
        self._transport.close()

    def bind(self, binding: Binding) -> BindOutcome:
        """Request a registration URL."""
        answer = self._post("bind", BIND, binding.request_id, lambda: codec.binding(binding))
        if not isinstance(answer, Answer):
            return answer
        return answers.binding(answer, self._faults, self._plain_host)

    def list_tokens(self, customer_id: str) -> TokensOutcome:
        """List the customer's OVO recurring tokens."""
        answer = self._post(
            "list_tokens", TOKENS, str(uuid4()), lambda: codec.token_list(customer_id)
        )
        if not isinstance(answer, Answer):
            return answer
        return answers.tokens(answer, customer_id, self._faults)

    def balance(self, customer_id: str, token: str) -> BalanceOutcome:
        """Read the wallet's cash and points."""
        answer = self._post(
            "balance", BALANCE, str(uuid4()), lambda: codec.balance(customer_id, token)
        )
        return answers.balance(answer, self._faults) if isinstance(answer, Answer) else answer

    def compose(self, payment: Payment) -> bytes:
        """Write the body of a payment; raises `InvalidValue`. Equal values give equal bytes."""
        return codec.payment(payment)

    def pay(self, payment: SealedPayment) -> Outcome:
        """Send one charge once: exactly these bytes, even if they were sent before."""
        answer = self._post("pay", PAY, payment.request_id, lambda: payment.body)
        if not isinstance(answer, Answer):
            return answer
        return answers.payment(answer, payment.number, payment.amount, self._faults)

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """Send one refund once."""
        answer = self._post("refund", REFUND, order.request_id, lambda: codec.refund(order))
        return answers.refund(answer, order, self._faults) if isinstance(answer, Answer) else answer

    def unbind(self, payer: Payer, token: str, request_id: str) -> UnbindOutcome:
        """Delete a token; a token that is already deleted counts as deleted."""
        answer = self._post("unbind", UNBIND, request_id, lambda: codec.unbinding(payer, token))
        if not isinstance(answer, Answer):
            return answer
        return answers.unbinding(answer, token, self._faults)

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        """
        Query a payment or refund by `identifier` (gateway number or Request-Id).

        Every status query has its own Request-Id: DOKU answers a repeated one with a conflict.
        """
        if not codec.is_path_segment(identifier):
            return Unknown("identifier_not_askable")
        answer = self._call("check_status", "GET", STATUS + identifier, str(uuid4()), None)
        if isinstance(answer, Answer):
            return status(answer, identifier, number, amount)
        return Unknown(answer.reason)

    def _post(
        self, call: str, target: str, request_id: str, write: Callable[[], bytes]
    ) -> Answer | Declined | Unsent | Unknown:
        """Send the body that `write` returns; a value over a limit is refused before sending."""
        try:
            body = write()
            codec.checked_request_id(request_id)
        except InvalidValue as error:
            return Declined(Fault.HARD, "invalid_value", str(error))
        return self._call(call, "POST", target, request_id, body)

    def _call(
        self, call: str, method: str, target: str, request_id: str, body: bytes | None
    ) -> Answer | Unsent | Unknown:
        timestamp = self._real_now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = None if body is None else signing.digest(body)
        component = signing.request_component(
            self._client_id, request_id, timestamp, target, digest
        )
        headers = {
            "Client-Id": self._client_id,
            "Request-Id": request_id,
            "Request-Timestamp": timestamp,
            "Signature": signing.sign(self._secret, component).decode(),
            "Accept": "application/json",
            "User-Agent": "ovo-billing",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        seconds = self._pay_seconds if target == PAY else self._other_seconds
        match self._transport.send(
            call, method, target, headers=headers, body=body, timeout_seconds=seconds
        ):
            case Answered() as answered:
                trust = self._trust(answered, request_id, target, is_get=body is None)
                retry_after = answered.headers.get("Retry-After", "")
                return Answer(answered.status, answered.body, trust, retry_after)
            case NotSent(reason):
                return Unsent(reason)
            case NoAnswer(reason):
                return Unknown(reason)

    def _trust(self, answered: Answered, request_id: str, target: str, *, is_get: bool) -> Trust:
        """Check an answer's signature; for a GET, the digest may be part of it or not."""
        signature = answered.headers.get("Signature")
        if not signature:
            return Trust.MISSING
        timestamp = answered.headers.get("Response-Timestamp", "")
        with_body = signing.digest(answered.body)
        for digest in (None, with_body) if is_get else (with_body,):
            component = signing.response_component(
                self._client_id, request_id, timestamp, target, digest
            )
            if signing.verify(self._secret, component, signature.strip().encode()):
                return Trust.VERIFIED
        return Trust.WRONG

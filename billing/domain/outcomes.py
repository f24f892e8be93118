"""Outcomes: what a gateway can answer, as values, and the calls that the engine makes.

Outcomes never raise: a refusal, a timeout and an unreadable answer are values. This module does not
know HTTP, the gateway's field names or rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Fault(StrEnum):
    """Why a charge was declined, in the fault classes that dunning uses."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT = "limit"
    WALLET = "wallet"
    HARD = "hard"
    TECHNICAL = "technical"
    OTHER = "other"


class Waiting(StrEnum):
    """What a pending charge waits for."""

    CUSTOMER = "customer"
    TOKEN_EXPIRED = "token_expired"


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The money moved. `is_refunded`: a status query says that all of it was refunded since."""

    is_refunded: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Declined:
    """The money did not move, and the gateway said why. `code` is the gateway's own.

    `is_signed` is false for the answer to a status query that only TLS protects.
    """

    fault: Fault
    code: str
    message: str = ""
    is_signed: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Unsent:
    """
    Nothing was sent, or an answer says that the body was not read.

    `by_answer` is true for the second. This answer does not prove that no money moved: a proxy may
    have forwarded an earlier copy of the same request.
    """

    reason: str
    by_answer: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """The gateway waits for the customer; status queries continue until that ends."""

    waiting: Waiting


@dataclass(frozen=True, slots=True)
class Unknown:
    """
    The outcome is not known yet; only a status query resolves it.

    `unrecognised`: an answer came in a form that the gateway is not known to use. `amount` is the
    amount that the answer gives for our number, if it is not ours.
    """

    reason: str
    unrecognised: bool = field(default=False, compare=False)
    amount: int | None = field(default=None, compare=False)


OTHER_AMOUNT = "other_amount"
"""The reason of an Unknown whose answer has our number and another amount: after a restore, an
earlier charge may have used the number, and its money may have moved."""
OTHER_AMOUNT_GONE = frozenset(f"{OTHER_AMOUNT}_{end}" for end in ("failed", "expired", "refunded"))
"""... and the same when the gateway holds no money of that amount."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """The answer to a status query: the gateway has no such payment (yet)."""


Outcome = Succeeded | Declined | Unsent | Pending | Unknown
StatusOutcome = Succeeded | Declined | Pending | NotFound | Unknown
RefundOutcome = Succeeded | Declined | Unsent | Unknown
UnbindOutcome = Succeeded | Declined | Unsent | Unknown


@dataclass(frozen=True, slots=True)
class Payer:
    """The customer as the gateway sees it. `phone` and `email` may be empty."""

    id: str
    name: str
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """One charge before it is encoded for the gateway. `amount` is whole rupiah."""

    payer: Payer
    number: str
    amount: int
    token: str
    use_points: bool
    first_payment: bool
    description: str


@dataclass(frozen=True, slots=True)
class SealedPayment:
    """One charge as it is sent: the same id, number and bytes at every sending."""

    request_id: str
    number: str
    amount: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Binding:
    """A request to link an OVO account. `wallet_phone` has the form `62…`."""

    request_id: str
    payer: Payer
    wallet_phone: str
    success_url: str
    failure_url: str


@dataclass(frozen=True, slots=True)
class BindingStarted:
    """The customer must open `registration_url` and confirm there."""

    registration_url: str


BindOutcome = BindingStarted | Declined | Unsent | Unknown


@dataclass(frozen=True, slots=True)
class Token:
    """A linked wallet's token. `masked_phone` looks like `****3021`."""

    token: str
    masked_phone: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """The OVO recurring tokens a customer has; empty when none is linked yet."""

    tokens: Sequence[Token]


TokensOutcome = Tokens | Declined | Unsent | Unknown


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet's balance in whole rupiah; it may change before a charge."""

    cash: int
    points: int


BalanceOutcome = Balance | Declined | Unsent | Unknown


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A refund before it is encoded for the gateway. `amount` is whole rupiah."""

    request_id: str
    charge_request_id: str
    number: str
    amount: int
    reason: str


class Gateway(Protocol):
    """The payment gateway. Only `compose` raises (`InvalidValue`), before anything is sent."""

    def bind(self, binding: Binding) -> BindOutcome:
        """Request a registration URL."""

    def list_tokens(self, customer_id: str) -> TokensOutcome:
        """List the customer's OVO recurring tokens."""

    def balance(self, customer_id: str, token: str) -> BalanceOutcome:
        """Read the wallet's cash and points."""

    def compose(self, payment: Payment) -> bytes:
        """Encode a payment for the gateway, and check it against the gateway's limits."""

    def pay(self, payment: SealedPayment) -> Outcome:
        """Send one charge once."""

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """Send one refund once."""

    def unbind(self, payer: Payer, token: str, request_id: str) -> UnbindOutcome:
        """Delete a token; a token that is already deleted counts as deleted."""

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        """Query a payment or refund by `identifier` (gateway number or Request-Id)."""

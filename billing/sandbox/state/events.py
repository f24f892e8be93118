"""The events of the sandbox's book, as values that are applied and journaled.

Each one has all that is needed to apply it again at the next start. They decide nothing.
"""

from dataclasses import dataclass
from typing import get_args

from billing.sandbox.protocol.answers import Json


@dataclass(slots=True)
class WalletSet:
    """A wallet was given these balances."""

    customer_id: str
    cash: int
    points: int


@dataclass(slots=True)
class BindingAsked:
    """A merchant asked to link a customer; nothing is linked until the customer confirms."""

    at: str
    request_id: str
    customer: Json
    phone: str
    session_id: str
    success_url: str
    failed_url: str
    confirm_at: str | None


@dataclass(slots=True)
class BindingConfirmed:
    """The customer typed OTP and PIN: a token exists."""

    at: str
    session_id: str
    token_id: str
    expires_at: str


@dataclass(slots=True)
class TokenExpired:
    """A token expired before the end of its year."""

    at: str
    customer_id: str


@dataclass(slots=True)
class Unbound:
    """A token was deleted."""

    at: str
    request_id: str
    customer_id: str


@dataclass(slots=True)
class PaymentMade:
    """A payment was decided; the money moves now only if the status is SUCCESS."""

    at: str
    request_id: str
    number: str
    customer_id: str
    amount: int
    use_points: bool
    first_payment: bool | None
    status: str
    code: str | None = None
    end: str | None = None
    end_after_queries: int | None = None
    end_at: str | None = None


@dataclass(slots=True)
class PaymentEnded:
    """An open payment ended; with SUCCESS the money moves now."""

    at: str
    number: str
    status: str


@dataclass(slots=True)
class RefundMade:
    """A refund was decided; with SUCCESS the money is back in the wallet."""

    at: str
    request_id: str
    number: str
    amount: int
    status: str
    code: str | None = None


@dataclass(slots=True)
class Answered:
    """A Request-Id was used up by this request and got this answer; GETs have no digest."""

    request_id: str
    target: str
    digest: str | None
    status: int
    body: str


@dataclass(slots=True)
class DefaultsSet:
    """The balances of new wallets, and how answers are sent."""

    cash: int = 1_000_000
    points: int = 0
    auto_confirm_seconds: int | None = None
    delay_ms: int = 0
    sign_errors: bool = False
    repeat_answer: str = "original"


@dataclass(slots=True)
class ClockSet:
    """The business clock was set to an instant, or released."""

    now: str | None


Event = (
    WalletSet
    | BindingAsked
    | BindingConfirmed
    | TokenExpired
    | Unbound
    | PaymentMade
    | PaymentEnded
    | RefundMade
    | Answered
    | DefaultsSet
    | ClockSet
)

EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
"""The names of the events in the journal."""

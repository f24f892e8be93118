"""A gateway in memory with its own ledger, which fails as the test says.

It is fast enough for thousands of lives. It knows nothing of the engine: it answers requests, and
stores its payments and refunds.
"""

import json
from dataclasses import dataclass, field

from billing.domain.outcomes import (
    Balance,
    BalanceOutcome,
    Binding,
    BindingStarted,
    BindOutcome,
    Declined,
    Fault,
    NotFound,
    Outcome,
    Payer,
    Payment,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    StatusOutcome,
    Succeeded,
    Token,
    Tokens,
    TokensOutcome,
    UnbindOutcome,
    Unknown,
)

LOST = Unknown("timeout")
FAILED = Declined(Fault.OTHER, "failed")


@dataclass
class Taken:
    """A payment: whether its money moved, and what of it went back."""

    number: str
    amount: int
    moved: bool
    back: int = 0


@dataclass
class Back:
    """A refund that the gateway has on record."""

    charge: str
    amount: int
    paid: bool


@dataclass
class Till:
    """The gateway. `pay_fates` and `refund_fates` are the outcomes of the next calls."""

    pay_fates: list[str] = field(default_factory=list)
    refund_fates: list[str] = field(default_factory=list)
    silent: bool = False
    payments: dict[str, Taken] = field(default_factory=dict)
    refunds: dict[str, Back] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)
    _refused_again: set[str] = field(default_factory=set)

    def bind(self, binding: Binding) -> BindOutcome:
        """Give a URL."""
        return BindingStarted(f"https://127.0.0.1/link/{binding.request_id}")

    def list_tokens(self, customer_id: str) -> TokensOutcome:
        """Every customer has confirmed."""
        return Tokens((Token(f"token-{customer_id}", "****7890"),))

    def balance(self, customer_id: str, token: str) -> BalanceOutcome:
        """Every wallet is full."""
        return Balance(10**10, 0)

    def compose(self, payment: Payment) -> bytes:
        """Put a payment into words."""
        return json.dumps({"number": payment.number, "amount": payment.amount}).encode()

    def unbind(self, payer: Payer, token: str, request_id: str) -> UnbindOutcome:
        """Delete a token."""
        return Succeeded()

    def pay(self, payment: SealedPayment) -> Outcome:
        """Take money, or not; `late` is said to have failed until `arrive`."""
        earlier = self.payments.get(payment.request_id)
        if earlier is not None:
            return Succeeded() if earlier.moved else LOST
        fate = self.pay_fates.pop(0) if self.pay_fates else "plain"
        moved = fate != "late"
        self.payments[payment.request_id] = Taken(payment.number, payment.amount, moved)
        return Succeeded() if fate == "plain" else LOST

    def arrive(self) -> None:
        """Let the payments that were said to have failed succeed after all."""
        for taken in self.payments.values():
            taken.moved = True

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """Give money back, once for each Request-Id."""
        earlier = self.refunds.get(order.request_id)
        if order.request_id in self._refused_again:
            return Declined(Fault.HARD, "invalid_access")
        if earlier is not None:
            return Succeeded() if earlier.paid else FAILED
        fate = self.refund_fates.pop(0) if self.refund_fates else "plain"
        if fate == "refused again":
            self._refused_again.add(order.request_id)
        if fate == "lost before":
            return LOST
        taken = self.payments[order.charge_request_id]
        paid = fate != "failed"
        self.refunds[order.request_id] = Back(order.charge_request_id, order.amount, paid)
        if paid:
            taken.back += order.amount
            if not taken.moved or taken.back > taken.amount:
                self.over.append(f"{taken.back} of {taken.amount} given back of {taken.number}")
        if fate in {"lost after", "refused again"}:
            return LOST
        return Succeeded() if paid else FAILED

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        """Return the outcome of a payment or refund, unless no answer is scripted."""
        if self.silent:
            return LOST
        if identifier != number:
            back = self.refunds.get(identifier)
            if back is None:
                return NotFound()
            return Succeeded() if back.paid else FAILED
        for taken in self.payments.values():
            if taken.number == number:
                return Succeeded() if taken.moved else FAILED
        return NotFound()

"""Late: a gateway that is built when it is first used.

Most commands only read or write rows. They start without the gateway's client, and work without
its keys. This module does not know the settings.
"""

from collections.abc import Callable
from functools import cached_property

from billing.domain.outcomes import (
    BalanceOutcome,
    Binding,
    BindOutcome,
    Gateway,
    Outcome,
    Payer,
    Payment,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    StatusOutcome,
    TokensOutcome,
    UnbindOutcome,
)


class LateGateway:
    """The gateway that `build` returns; `build` raises NotConfigured when its keys are missing."""

    def __init__(self, build: Callable[[], Gateway]) -> None:
        self._build = build

    @cached_property
    def _gateway(self) -> Gateway:
        return self._build()

    def bind(self, binding: Binding) -> BindOutcome:
        """Request a registration URL."""
        return self._gateway.bind(binding)

    def list_tokens(self, customer_id: str) -> TokensOutcome:
        """List the customer's OVO recurring tokens."""
        return self._gateway.list_tokens(customer_id)

    def balance(self, customer_id: str, token: str) -> BalanceOutcome:
        """Read the wallet's cash and points."""
        return self._gateway.balance(customer_id, token)

    def compose(self, payment: Payment) -> bytes:
        """Write the body of a payment."""
        return self._gateway.compose(payment)

    def pay(self, payment: SealedPayment) -> Outcome:
        """Send one charge once."""
        return self._gateway.pay(payment)

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """Send one refund once."""
        return self._gateway.refund(order)

    def unbind(self, payer: Payer, token: str, request_id: str) -> UnbindOutcome:
        """Delete a token."""
        return self._gateway.unbind(payer, token, request_id)

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        """Query a payment or refund."""
        return self._gateway.check_status(identifier, number, amount)

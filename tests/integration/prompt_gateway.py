"""A gateway inside the process: it says yes to everything, at once.

For tests about time, which make thousands of charges; what a gateway may do wrong is other tests'.
"""

from dataclasses import replace

from billing.domain.outcomes import (
    Balance,
    BalanceOutcome,
    Binding,
    BindingStarted,
    BindOutcome,
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
)
from billing.services.context import Context


class PromptGateway:
    """Implements `Gateway`."""

    def bind(self, binding: Binding) -> BindOutcome:
        return BindingStarted("https://gateway.invalid/link")

    def list_tokens(self, customer_id: str) -> TokensOutcome:
        return Tokens([Token(f"token-{customer_id}", "****0000")])

    def balance(self, customer_id: str, token: str) -> BalanceOutcome:
        return Balance(10**9, 0)

    def compose(self, payment: Payment) -> bytes:
        return b"{}"

    def pay(self, payment: SealedPayment) -> Outcome:
        return Succeeded()

    def refund(self, order: RefundOrder) -> RefundOutcome:
        return Succeeded()

    def unbind(self, payer: Payer, token: str, request_id: str) -> UnbindOutcome:
        return Succeeded()

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        return Succeeded()


def prompt(context: Context) -> Context:
    """The same engine at this gateway."""
    return replace(context, gateway=PromptGateway())
